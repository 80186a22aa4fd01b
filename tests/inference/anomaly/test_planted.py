"""Planted anomalies, and how well scores find them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lowerbound.inference.anomaly.planted import (
    MOST_TIMES,
    PLANTED_ROWS,
    SHARE,
    powers,
    several_planted,
    with_planted_cells,
)
from tests.evaluation.small_models import vectors


def test_each_planted_cell_is_of_the_same_column_of_another_row() -> None:
    rows = vectors(torch.arange(400.0).reshape(100, 4))
    odd = with_planted_cells(rows, 0)
    moved = odd.x != rows.x
    assert moved.any(1).all()
    assert moved.double().mean() == pytest.approx(SHARE + (1 - SHARE) / 4, abs=0.06)
    assert (odd.x % 4 == torch.arange(4)).all()  # the remainder is the column


@pytest.mark.parametrize(("rows", "planted"), [(40, MOST_TIMES * 40), (200, 400), (700, 700)])
def test_few_rows_are_planted_in_several_times(rows: int, planted: int) -> None:
    some = vectors(torch.randn(rows, 3, generator=torch.Generator().manual_seed(0)))
    odd = several_planted(some, 0)
    assert len(odd) == planted
    assert len(odd.x.unique(dim=0)) > min(rows, PLANTED_ROWS)


def test_the_power_is_the_area_under_the_curve() -> None:
    random = np.random.default_rng(0)
    normal = {"a": random.normal(size=50), "b": np.zeros(50)}
    planted = {"a": random.normal(size=80) + 1, "b": np.zeros(80)}
    truth = np.repeat([0, 1], [50, 80])
    expected = roc_auc_score(truth, np.concatenate([normal["a"], planted["a"]]))
    assert powers(normal, planted) == {"a": pytest.approx(expected), "b": 0.5}
