"""Calibrated intervals cover as promised, on columns of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.applications.restoration.intervals import (
    LEVELS,
    SHARES,
    IntervalCalibration,
    _conformal,
    tails,
    within_observed,
)
from lowerbound.data import Dataset
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.values import value_quantiles

Array = np.ndarray[Any, Any]
COLUMNS = (
    Column("real", observed=(-9.0, 9.0)),
    Column("whole", dtype="int64", lattice=Lattice(1.0), observed=(0.0, 99.0)),
    Column("level", "ordinal", levels=(1, 2, 3, 4)),
    Column("name", "categorical", dtype="str", levels=("a", "b", "c")),
)


def drawn(rows: int, spread: float, seed: int) -> tuple[Array, Array]:
    """(truth, draws) of a model whose draws have the deviation ``spread`` and not 1."""
    rng = np.random.default_rng(seed)
    center = rng.normal(size=(rows, 4)) * [1, 8, 1, 1] + [0, 50, 1.5, 1]
    truth = center + rng.normal(size=(rows, 4)) * [1, 5, 0.7, 0]
    draws = center + spread * rng.normal(size=(400, rows, 4)) * [1, 5, 0.7, 0]
    for values in (truth, draws):
        values[..., 1:] = np.rint(values[..., 1:])
        values[..., 2] = values[..., 2].clip(0, 3)
        values[..., 3] = values[..., 3].clip(0, 2)
    return truth, draws


def quantiles(draws: Array, shares: Array) -> Array:
    """(shares, rows, columns), by shares that each column may have of its own."""
    each = np.broadcast_to(np.reshape(shares, (len(shares), -1)), (len(shares), 4))
    found = [value_quantiles(draws[..., i], each[:, i], whole=i > 0) for i in range(4)]
    return np.stack(found, -1)


def calibrated(truth: Array, draws: Array, hidden: Array | None = None) -> IntervalCalibration:
    hidden = np.ones_like(truth, dtype=bool) if hidden is None else hidden
    places = tails(draws, truth, COLUMNS)
    return IntervalCalibration.of(truth, quantiles(draws, SHARES), places, hidden, COLUMNS)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.93])
def test_new_cells_are_covered_as_promised(spread: float, level: float) -> None:
    calibration = calibrated(*drawn(800, spread, seed=0))
    new, draws = drawn(2_000, spread, seed=1)
    at = quantiles(draws, calibration.asked(level))
    low, high = calibration.interval(at, level, COLUMNS)
    covered = ((low <= new) & (new <= high)).mean(0)
    first, last = quantiles(draws, ((1 - level) / 2, (1 + level) / 2))
    own = ((first <= new) & (new <= last)).mean(0)
    assert covered[0] == pytest.approx(level, abs=0.03)
    assert (covered[1:3] > level - 0.04).all()  # steps cover more
    assert covered[1] < level + 0.05
    assert abs(own[0] - level) > 0.05 or spread == 1.0
    np.testing.assert_array_equal(low[:, 3], at[1][:, 3])
    np.testing.assert_array_equal(low[:, 1:3], np.rint(low[:, 1:3]))
    assert (low[:, 2].min(), high[:, 2].max()) == (0, 3)


def binary(rows: int, seed: int) -> tuple[Array, Array]:
    """A rare value of a column of two, in a row with any probability up to .6."""
    rng = np.random.default_rng(seed)
    rare = 0.6 * rng.random(rows) ** 2
    truth, draws = rng.random(rows) < rare, rng.random((400, rows)) < rare
    return truth.astype(float)[:, None], draws.astype(float)[..., None]


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_an_interval_is_one_value_where_the_others_are_improbable(level: float) -> None:
    columns = (Column("flag", "binary", levels=(0, 1)),)
    truth, draws = binary(4_000, 0)
    found = [value_quantiles(draws[..., 0], SHARES, whole=True)[..., None]]
    every = np.ones_like(truth, dtype=bool)
    calibration = IntervalCalibration.of(
        truth, *found, tails(draws, truth, columns), every, columns
    )
    new, draws = binary(4_000, 1)
    at = value_quantiles(draws[..., 0], calibration.asked(level)[:, 0], whole=True)[..., None]
    low, high = calibration.interval(at, level, columns)
    covered = ((low <= new) & (new <= high)).mean()
    assert covered == pytest.approx(max(level, (new == 0).mean()), abs=0.02)
    alone = low == high
    assert 0.5 < alone.mean() < 1
    # the level alone would need both values where the rare one has a twentieth
    assert draws.mean(0)[alone].max() > 0.06 or level > 0.9


def test_the_smaller_tail_of_a_value() -> None:
    draws = np.array([0.0, 0.0, 1.0, 1.0, 3.0])[:, None, None] * np.ones((1, 4, 1))
    values = np.array([[0.0], [1.0], [2.0], [4.0]])
    column = (Column("n", "count", lattice=Lattice(1.0), observed=(0.0, 9.0)),)
    at_most, at_least = tails(draws, values, column)[..., 0]
    np.testing.assert_allclose(at_most, [0.4, 0.8, 0.8, 1])
    np.testing.assert_allclose(at_least, [1, 0.6, 0.2, 0])


def test_values_outside_all_draws_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    column = (Column("n", "ordinal", levels=tuple(range(30))),)
    draws = rng.integers(14, 16, size=(200, 500, 1)).astype(float)  # 14 or 15
    truth = rng.integers(10, 20, size=(500, 1)).astype(float)
    found = value_quantiles(draws[..., 0], SHARES, whole=True)[..., None]
    every = np.ones_like(truth, dtype=bool)
    calibration = IntervalCalibration.of(truth, found, tails(draws, truth, column), every, column)
    np.testing.assert_array_equal(calibration.shares[2:], 0)
    assert (calibration.factors[2:] > 1).all()
    at = value_quantiles(draws[..., 0], calibration.asked(0.9)[:, 0], whole=True)[..., None]
    low, high = calibration.interval(at, 0.9, column)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.9


def test_a_column_with_few_hidden_cells_borrows_from_the_others() -> None:
    truth, draws = drawn(400, 0.5, seed=0)
    hidden = np.ones_like(truth, dtype=bool)
    hidden[3:, 0] = False
    calibration = calibrated(truth, draws, hidden)
    assert 1.3 < calibration.factors[LEVELS.index(0.9), 0] < 3
    assert calibration.cells == 3 + 2 * 400


def test_a_constant_is_known() -> None:
    truth, draws = drawn(300, 1.0, 0)
    calibration = calibrated(truth, draws)
    constant = (Column("same", kind="constant", observed=(7.0, 7.0)), *COLUMNS[1:])
    found = quantiles(draws, calibration.asked(0.9))
    found[:, :, 0] = 7.0
    low, high = calibration.interval(found, 0.9, constant)
    assert (low[:, 0] == 7.0).all()
    assert (high[:, 0] == 7.0).all()


def test_the_models_own_coverage_is_reported() -> None:
    truth, draws = drawn(2_000, 1.0, seed=0)
    hidden = np.zeros_like(truth, dtype=bool)
    hidden[:, 0] = True
    calibration = calibrated(truth, draws, hidden)
    np.testing.assert_allclose(calibration.covered, LEVELS, atol=0.03)
    np.testing.assert_allclose(calibration.factors[:, 0], 1, atol=0.12)


def test_means_stay_inside_the_observed_range() -> None:
    mean = np.array([[20.0, 50.0, 1, 1], [10.5, 200.0, 1, 1]])
    hidden = np.array([[True, True, False, False], [True, False, False, False]])
    from lowerbound.data.schema import Schema

    schema = Schema("table", (4,), columns=COLUMNS)
    rows = Dataset(schema, torch.zeros(2, 4), observed=torch.from_numpy(~hidden))
    with pytest.warns(UserWarning, match=r"1 imputed means .* \('real'\)"):
        inside = within_observed(mean, rows)
    np.testing.assert_array_equal(inside, [[9.0, 50.0, 1, 1], [10.5, 200.0, 1, 1]])


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("count", [3, 20, 200])
def test_a_new_cell_is_covered_with_the_probability_of_the_level(level: float, count: int) -> None:
    rng = np.random.default_rng(0)
    factors = []
    for _ in range(400):
        every = rng.random(10 * count)  # a share below x is x
        factors.append(_conformal(every[:count], every, level))
    error = np.std(factors) / np.sqrt(len(factors))
    assert np.mean(factors) == pytest.approx(level, abs=0.01 + 3 * error)


def test_the_largest_distance_is_taken_where_the_cells_are_too_few() -> None:
    assert _conformal(np.array([0.5]), np.array([0.1, 0.7]), 0.999) == 0.7


def test_ends_of_intervals_are_rounded_outward() -> None:
    columns = (
        Column("quarters", lattice=Lattice(0.25, decimals=2), observed=(0.0, 9.0)),
        Column("level", "ordinal", levels=(1, 2, 3, 4, 5)),
        Column("limited", lattice=Lattice(1.0), observed=(2.0, 7.0), low=2.0, high=7.0),
    )
    shares = np.full((len(LEVELS), 3), 0.1)
    exact = IntervalCalibration(np.full((len(LEVELS), 3), 1.5), shares, np.ones(len(LEVELS)), 9)
    at = np.array([[[4.0, 2.0, 5.0]], [[3.2, 1.2, 2.5]], [[4.9, 2.7, 6.5]]])  # median, low, high
    low, high = exact.interval(at, 0.9, columns)
    # 4 - 1.5 * 0.8 = 2.8, 4 + 1.5 * 0.9 = 5.35; 0.8 and 3.05; 1.25 and 7.25
    np.testing.assert_allclose(low, [[2.75, 0.0, 2.0]])
    np.testing.assert_allclose(high, [[5.5, 4.0, 7.0]])
