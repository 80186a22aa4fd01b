"""Extremely randomized trees as arrays, against scikit-learn's own predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from lowerbound.applications.restoration.extra_trees import MOST_LEAVES, TREES, ExtraTrees


def table(rows: int = 200) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(rows, 4)), 1)  # ties with thresholds
    return x, 3 + 10 * x[:, 0] * x[:, 1] + rng.normal(size=rows)


def test_means_are_those_of_scikit_learn() -> None:
    x, y = table()
    own = ExtraTrees.fit(x, y, 0, 5, 1)
    forest = ExtraTreesRegressor(TREES, max_features=1.0, min_samples_leaf=5, random_state=1)
    expected = forest.fit(x, y).predict(x)
    np.testing.assert_allclose(own.means(own.leaves(x))[:, 0], expected, atol=1e-9)


def test_probabilities_are_those_of_scikit_learn_and_sum_to_one() -> None:
    x, y = table()
    codes = np.digitize(y, [0.0, 6.0])
    own = ExtraTrees.fit(x, codes, 4, 5, 1)  # the last level has no row
    forest = ExtraTreesClassifier(TREES, min_samples_leaf=5, random_state=1).fit(x, codes)
    found = own.means(own.leaves(x))
    np.testing.assert_allclose(found[:, :3], forest.predict_proba(x), atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    assert (found[:, 3] == 0).all()


def test_draws_are_training_targets_with_the_predicted_mean() -> None:
    x, y = table()
    own = ExtraTrees.fit(x, y, 0, 5, 1)
    leaves = own.leaves(x[:6])
    uniform = (np.arange(60_000)[:, None] + 0.5) / 60_000 * np.ones(6)
    draws = own.drawn(leaves, uniform)
    assert set(draws.flatten()) <= set(y)
    np.testing.assert_allclose(draws.mean(0), own.means(leaves)[:, 0], atol=5e-3)


def test_large_tables_have_larger_leaves() -> None:
    x, y = table(4_000)
    own = ExtraTrees.fit(x, y, 0, 3, 0)
    leaves = own.count[own.count > 0]
    assert leaves.min() == 4_000 // MOST_LEAVES
    assert leaves.sum() == TREES * 4_000


def test_stored_trees_are_the_same() -> None:
    x, y = table()
    own = ExtraTrees.fit(x, y, 0, 5, 1)
    again = ExtraTrees.of(own.arrays(), 4, 0)
    np.testing.assert_array_equal(again.means(again.leaves(x)), own.means(own.leaves(x)))


@pytest.mark.parametrize(
    ("name", "place", "value", "wrong"),
    [
        ("feature", 0, 4, "features"),
        ("branches", 0, 0, "leaves"),
        ("branches", 0, 10**6, "branches"),
        ("roots", 0, -1, "roots"),
        ("count", 0, -1, "leaves"),
        ("rows", 0, 200, "rows"),
        ("target", 0, np.nan, "targets"),
        ("threshold", slice(1, None), None, "sizes"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(
    name: str, place: Any, value: Any, wrong: str
) -> None:
    x, y = table()
    arrays = {key: array.copy() for key, array in ExtraTrees.fit(x, y, 0, 5, 1).arrays().items()}
    if value is None:
        arrays[name] = arrays[name][place]
    else:
        arrays[name][place] = value
    with pytest.raises(ValueError, match=f"its trees have wrong {wrong}"):
        ExtraTrees.of(arrays, 4, 0)


def test_a_node_that_leads_back_is_refused() -> None:
    x, y = table()
    arrays = {key: array.copy() for key, array in ExtraTrees.fit(x, y, 0, 5, 1).arrays().items()}
    inner = np.flatnonzero(arrays["count"] == 0)[1]
    arrays["branches"][inner, 1] = 0  # a descent would never end
    with pytest.raises(ValueError, match="wrong branches"):
        ExtraTrees.of(arrays, 4, 0)


def test_codes_beyond_the_levels_are_refused() -> None:
    x, y = table()
    arrays = ExtraTrees.fit(x, (y > 3).astype(float), 2, 5, 1).arrays()
    with pytest.raises(ValueError, match="wrong targets"):
        ExtraTrees.of(arrays, 4, 1)
