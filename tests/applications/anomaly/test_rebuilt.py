"""Rows and their reconstructions as coordinates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.anomaly.scores import rebuild
from lowerbound.data import load
from lowerbound.fitting.assembly import assemble
from lowerbound.models.options import ModelOptions


@pytest.mark.parametrize("mixed", [False, True])
def test_unobserved_cells_are_no_distance(mixed: bool) -> None:
    """They are where the reconstruction is, and the others where they are without gaps."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    gaps = np.random.default_rng(2).random(x.shape) < 0.3
    holes = np.where(gaps, np.nan, x)
    given, gone = (
        pd.DataFrame(each, columns=list("abc")) if mixed else each for each in (x, holes)
    )
    rows = load(gone, missing="model")
    torch.manual_seed(0)
    model = assemble(rows.schema, ModelOptions(latent_dim=1)).eval()
    model.start(rows)
    found, whole = (rebuild(model, each) for each in (rows, load(given, schema=rows.schema)))
    np.testing.assert_array_equal(found.row[gaps], found.place[gaps])
    np.testing.assert_allclose(found.row[~gaps], whole.row[~gaps], rtol=1e-6)
    assert (found.row != found.place)[~gaps].mean() > 0.9
