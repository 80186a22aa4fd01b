"""Boosting judges drawn rows of a table by the values that would be written."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.samples.column_judge import judged_columns


def people(rows: int = 900, seed: int = 0) -> pd.DataFrame:
    """Whole numbers, a measurement with one decimal, and 300 towns."""
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": draw.integers(18, 90, rows),
            "size": np.round(draw.normal(170, 10, rows), 1),
            "town": [
                f"town {n:03d}"
                for n in np.append(np.arange(300), draw.integers(0, 300, rows))[:rows]
            ],
        }
    )


@pytest.fixture(scope="module")
def real() -> Dataset:
    return load(people(), missing="model")


def encoded(frame: pd.DataFrame, like: Dataset) -> torch.Tensor:
    return load(frame, schema=like.schema).all().filled


@pytest.mark.slow
def test_rows_of_the_same_source_cannot_be_distinguished(real: Dataset) -> None:
    """Samples off the grid, as a density draws them, are judged after they are rounded."""
    x = encoded(people(seed=1), real)
    smooth = x.clone()
    smooth[:, :2] += 0.3 * torch.rand_like(x[:, :2]) / torch.tensor([20.0, 100.0])
    found = judged_columns(real.schema, real.all().filled, smooth)
    assert found.low < 0.5 < found.high


@pytest.mark.slow
def test_the_area_of_a_shifted_column_is_that_of_the_formula(real: Dataset) -> None:
    """Of 900 rows, boosting learns the best rule almost."""
    shifted = people(seed=1).assign(size=lambda rows: rows["size"] + 20)
    found = judged_columns(real.schema, real.all().filled, encoded(shifted, real))
    best = norm.cdf(2 / sqrt(2))
    assert best - 0.06 < found.value < best + 0.02


@pytest.mark.slow
def test_complete_samples_are_compared_in_the_cells_that_real_rows_have(real: Dataset) -> None:
    x = real.all().filled.clone()
    x[::3, 1] = torch.nan
    drawn = encoded(people(seed=1), real)
    same = judged_columns(real.schema, x, drawn)
    assert same.low < 0.5 < same.high
    drawn[0, 0] = torch.nan
    gaps = judged_columns(real.schema, x, drawn)  # samples with missing cells: a third differ
    assert gaps.value == pytest.approx(0.5 + 1 / 6, abs=0.07)


@pytest.mark.slow
def test_a_column_without_a_value_is_left_out(real: Dataset) -> None:
    x = real.all().filled.clone()
    x[:, 1] = torch.nan
    found = judged_columns(real.schema, x, encoded(people(seed=1), real))
    assert found.low < 0.5 < found.high
