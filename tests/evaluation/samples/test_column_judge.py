"""Boosting judges drawn rows by the values that would be written; figures of rankings by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.intervals import clopper_pearson, difference, wilson
from lowerbound.evaluation.samples.column_judge import (
    area,
    area_interval,
    at_false_positives,
    judged_columns,
)


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


def test_the_area_is_that_of_scikit_learn_ties_included() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 200) + 1.0, rng.integers(0, 9, 300) + 0.0
    both = np.concatenate([a, b])
    expected = roc_auc_score(np.repeat([1, 0], [200, 300]), both)
    assert area(a, b)[0] == pytest.approx(expected, abs=1e-12)


def test_the_standard_error_is_the_spread_over_samples() -> None:
    rng = np.random.default_rng(1)
    found = [area(rng.normal(0.5, 1, 80), rng.normal(0, 1, 120)) for _ in range(400)]
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)


def test_groups_that_do_not_overlap_have_an_interval() -> None:
    found = area_interval(np.arange(50.0) + 100, np.arange(60.0))
    assert found.value == found.high == 1.0
    assert 0.9 < found.low < 0.95


def test_true_positives_are_counted_above_the_allowed_false_ones() -> None:
    controls = np.arange(1000.0)
    members = np.concatenate([np.full(30, 5000.0), np.full(70, -1.0)])
    found = at_false_positives(members, controls, 0.01)
    assert found is not None
    assert found.reached.value == pytest.approx(0.01)
    assert found.true_positives.value == pytest.approx(0.3)
    assert at_false_positives(members, controls[:99], 0.01) is None


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (10, 10), (7, 400)])
def test_intervals_are_those_of_scipy(count: int, total: int) -> None:
    test = binomtest(count, total)
    for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        theirs = test.proportion_ci(0.95, method=method)
        found = ours(count, total)
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, table II (a): 56/70 - 48/80
    found = difference(wilson(56, 70), wilson(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_rows_with_many_scores_have_the_error_of_the_spread_over_samples_of_rows() -> None:
    def scores(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Of 60 rows, each with three scores of either group that are alike."""
        rows = np.repeat(np.arange(60), 3)
        one, other = rng.normal(size=(2, 60))
        return one[rows] + 0.8 + 0.1 * rng.normal(size=180), other[rows], rows

    found, alone = [], []
    for seed in range(300):
        positive, negative, rows = scores(np.random.default_rng(seed))
        found.append(area(positive, negative, (rows, rows)))
        alone.append(area(positive, negative)[1])
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)
    assert np.mean(alone) < 0.7 * values.std()
    positive, negative, rows = scores(np.random.default_rng(0))
    interval = area_interval(positive, negative, (rows, rows))
    half = norm.ppf(0.975) * area(positive, negative, (rows, rows))[1]
    assert (interval.low, interval.high) == pytest.approx(
        (interval.value - half, interval.value + half), abs=1e-6
    )


def test_the_threshold_of_few_false_positives_allows_no_more() -> None:
    controls = np.repeat(np.arange(50.0), 2)  # each score twice
    found = at_false_positives(np.full(10, 48.5), controls, 0.03)
    assert found is not None
    assert found.reached.value == 0.02
    assert found.true_positives.value == 1.0
