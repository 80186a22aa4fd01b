"""Errors of predicted numbers are those of the rows whose number is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import load
from lowerbound.inference.regression import judged


def test_rows_without_a_target_are_not_judged() -> None:
    price = np.array([100.0, np.nan, 300.0, 400.0, np.nan])
    frame = pd.DataFrame({"size": np.arange(5.0), "price": price})
    dataset = load(frame, label="price", regression=True)
    mean = torch.tensor([110.0, 0.0, 280.0, 400.0, 0.0]).double()
    count, quality = judged(mean, torch.full((5,), 6.0).double(), dataset)
    assert quality is not None
    assert count == 3
    assert quality.rmse == pytest.approx(np.sqrt((10**2 + 20**2) / 3), rel=1e-5)
    assert quality.r2 == pytest.approx(1 - 500 / np.var(price[[0, 2, 3]]) / 3, rel=1e-5)
    assert quality.covered == pytest.approx(2 / 3)
