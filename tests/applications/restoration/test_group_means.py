"""Means of a column by the values of others: shrunk, without a row's fold, and stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from lowerbound.applications.restoration.group_means import FOLDS, Grouping, GroupMeans, KnownCells
from lowerbound.data import load
from lowerbound.data.dependencies.lookups import places_of

Array = np.ndarray[Any, Any]
GROUPS, EACH, WITHIN = 60, 12, 0.5
ROWS = GROUPS * EACH


@pytest.fixture(scope="module")
def cells() -> Array:
    """A group, a number with effects of it, and a number without; some are missing."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(GROUPS), EACH))
    y = rng.normal(size=GROUPS)[group] + WITHIN * rng.normal(size=ROWS)
    rows = np.stack([group, y, rng.normal(size=ROWS)], 1)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


@pytest.fixture(scope="module")
def known(cells: Array) -> KnownCells:
    frame = pd.DataFrame(cells, columns=["group", "y", "z"])
    return KnownCells(load(frame, missing="model").schema.columns, cells, 0)


def found(known: KnownCells) -> tuple[GroupMeans, Array]:
    rows = np.flatnonzero(np.isfinite(known.cells[:, 1]))
    means = known.means(1, rows)
    assert means is not None
    return means


def test_means_are_shrunk_by_the_ratio_of_variances() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(GROUPS, 1)) + WITHIN * rng.normal(size=(GROUPS, EACH))
    cells = np.stack([np.repeat(np.arange(GROUPS), EACH), y.ravel()], 1)
    columns = load(pd.DataFrame(cells, columns=["group", "y"])).schema.columns
    means, _ = found(KnownCells(columns, cells, 0))
    statistic = scipy.stats.f_oneway(*y).statistic  # of equal groups; s^2 / t^2 = n / (F - 1)
    expected = y.mean() + (1 - 1 / statistic) * (y.mean(1) - y.mean())
    np.testing.assert_allclose(means.groupings[0].means[:, 0], expected)


def test_a_row_sees_means_of_the_other_folds(known: KnownCells, cells: Array) -> None:
    means, apart = found(known)
    frame = pd.DataFrame(cells[:, :2], columns=["group", "y"]).assign(fold=known._fold)
    frame = frame.dropna(subset="y")
    table = frame.dropna().groupby("group")["y"].agg(["mean", "count"])
    shrunk = (means.groupings[0].means[:, 0] - means.overall[0]) / (
        table["mean"] - means.overall[0]
    )
    ratio = (table["count"] * (1 / shrunk - 1)).mean()  # s^2 / t^2, the same for all groups
    for place in range(0, len(frame), 29):
        row = frame.iloc[place]
        others = frame[frame["fold"] != row["fold"]]
        overall, group = others["y"].mean(), others.loc[others["group"] == row["group"], "y"]
        expected = (group.sum() + ratio * overall) / (len(group) + ratio)
        assert apart[place, 0] == pytest.approx(expected)


def test_noise_has_no_groups(known: KnownCells) -> None:
    rows = np.arange(ROWS)
    assert known.means(2, rows) is None


def test_other_values_have_the_overall_mean(known: KnownCells) -> None:
    means, _ = found(known)
    rows = np.array([[0.0, np.nan, 0.0], [GROUPS + 5.0, 0.0, 0.0], [np.nan, 0.0, 0.0]])
    answers = means.features(rows)
    np.testing.assert_allclose(answers[1:], means.overall[0])
    np.testing.assert_allclose(answers[0], means.groupings[0].means[0])


def test_levels_have_shares_of_all_but_one() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(20, size=600)
    level = (group + (rng.random(600) < 0.2)) % 3
    names = np.array(["a", "b", "c"])
    frame = pd.DataFrame({"group": group, "level": names[level], "noise": rng.random(600)})
    known = KnownCells(load(frame).schema.columns, np.stack([group, level, group], 1), 0)
    made = known.means(1, np.arange(600))
    assert made is not None
    means, apart = made
    assert means.width == apart.shape[1] == 2 * len(means.groupings)
    most = frame["level"].value_counts().index[:2]
    shares = pd.crosstab(frame["group"], frame["level"], normalize="index")[most]
    assert abs(means.groupings[0].means - shares).to_numpy().max() < 0.05


def test_stored_means_are_the_same_and_damaged_ones_are_refused(known: KnownCells) -> None:
    means, _ = found(known)
    again = GroupMeans.of(means.arrays(), 3)
    rows = np.nan_to_num(known.cells)
    np.testing.assert_array_equal(again.features(rows), means.features(rows))
    whole = means.arrays()
    wrong: dict[str, Array] = {
        "places": np.array([3]),
        "sizes": whole["sizes"] + 1,
        "values": whole["values"][::-1].copy(),
        "means": np.full_like(whole["means"], np.nan),
        "overall": np.zeros(2),
    }
    for name, array in wrong.items():
        with pytest.raises(ValueError, match="means of groups"):
            GroupMeans.of({**whole, name: array}, 3)


def test_places_are_those_of_equal_values() -> None:
    values = np.array([-2.0, 0.1, 3.0])
    cells = np.array([0.1, 3.0 * (1 + 1e-12), -2.0 * (1 - 1e-12), 7.0, -9.0, np.nan, 2.9])
    np.testing.assert_array_equal(places_of(cells, values), [1, 2, 0, 3, 3, 3, 3])


def test_folds_are_of_equal_size(known: KnownCells) -> None:
    counts = np.bincount(known._fold)
    assert len(counts) == FOLDS
    assert np.ptp(counts) <= 1
    assert Grouping(0, counts, counts).place == 0
