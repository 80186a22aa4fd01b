"""AUROC, its error, rates at few false positives, and intervals of shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from lowerbound.evaluation.intervals import clopper_pearson, difference, wilson
from lowerbound.evaluation.samples.column_judge import area, area_interval, at_false_positives


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
