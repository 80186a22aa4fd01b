"""Calibrated intervals cover as promised, on columns of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.data import Dataset
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.inference.restoration.interval_calibration import (
    BORROWED,
    LEVELS,
    SHARES,
    IntervalCalibration,
    _conformal,
)
from lowerbound.inference.restoration.observed_range import within_observed

Array = np.ndarray[Any, Any]
COLUMNS = (
    Column("real", observed=(-9.0, 9.0)),
    Column("whole", dtype="int64", lattice=Lattice(1.0), observed=(0.0, 99.0)),
    Column("level", "ordinal", levels=(1, 2, 3, 4)),
    Column("name", "categorical", dtype="str", levels=("a", "b", "c")),
)


def quantiles(
    rows: int, shares: tuple[float, ...], spread: float, seed: int
) -> tuple[Array, Array]:
    """(truth, quantiles) of a model whose draws have the deviation ``spread`` and not 1."""
    rng = np.random.default_rng(seed)
    center = rng.normal(size=(rows, 4)) * [1, 8, 1, 1] + [0, 50, 1.5, 1]
    truth = center + rng.normal(size=(rows, 4)) * [1, 5, 0.7, 0]
    draws = center[:, None] + spread * rng.normal(size=(rows, 400, 4)) * [1, 5, 0.7, 0]
    for values in (truth, draws):
        values[..., 1:] = np.rint(values[..., 1:])
        values[..., 2] = values[..., 2].clip(0, 3)
        values[..., 3] = values[..., 3].clip(0, 2)
    return truth, np.quantile(draws, shares, axis=1)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.93])
def test_new_cells_are_covered_as_promised(spread: float, level: float) -> None:
    truth, found = quantiles(800, SHARES, spread, seed=0)
    calibration = IntervalCalibration.of(truth, found, np.ones_like(truth, dtype=bool), COLUMNS)
    new, at = quantiles(2_000, (0.5, (1 - level) / 2, (1 + level) / 2), spread, seed=1)
    low, high = calibration.interval(at, level, COLUMNS)
    covered = ((low <= new) & (new <= high)).mean(0)
    own = ((at[1] <= new) & (new <= at[2])).mean(0)
    assert covered[0] == pytest.approx(level, abs=0.03)
    assert (covered[1:3] > level - 0.03).all()  # steps cover more
    assert abs(own[0] - level) > 0.05 or spread == 1.0
    np.testing.assert_array_equal(low[:, 3], at[1][:, 3])
    np.testing.assert_array_equal(low[:, 1:3], np.rint(low[:, 1:3]))
    assert (low[:, 2].min(), high[:, 2].max()) == (0, 3)


def test_a_column_with_few_hidden_cells_borrows_from_the_others() -> None:
    truth, found = quantiles(400, SHARES, 0.5, seed=0)
    hidden = np.ones_like(truth, dtype=bool)
    hidden[3:, 0] = False
    calibration = IntervalCalibration.of(truth, found, hidden, COLUMNS)
    assert 1.3 < calibration.factors[LEVELS.index(0.9), 0] < 3
    assert calibration.cells == 3 + 2 * 400


def test_a_constant_is_known() -> None:
    truth, found = quantiles(300, SHARES, 1.0, 0)
    calibration = IntervalCalibration.of(truth, found, np.ones_like(truth, bool), COLUMNS)
    constant = (Column("same", kind="constant", observed=(7.0, 7.0)), *COLUMNS[1:])
    found[:, :, 0] = 7.0
    low, high = calibration.interval(found[:3], 0.9, constant)
    assert (low[:, 0] == 7.0).all()
    assert (high[:, 0] == 7.0).all()


def test_the_models_own_coverage_is_reported() -> None:
    truth, found = quantiles(2_000, SHARES, 1.0, seed=0)
    hidden = np.zeros_like(truth, dtype=bool)
    hidden[:, 0] = True
    calibration = IntervalCalibration.of(truth, found, hidden, COLUMNS)
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


@pytest.mark.parametrize("level", [0.503, 0.8013, 0.9017])
def test_the_factor_is_the_smallest_that_covers_the_level_with_one_cell_more(level: float) -> None:
    rng = np.random.default_rng(0)
    for count in range(1, 60):
        own, every = rng.random(count), rng.random(2 * count)
        wanted = level * (count + BORROWED + 1)
        covering = [
            value
            for value in np.concatenate([own, every])
            if (own <= value).sum() + BORROWED * (every <= value).mean() >= wanted - 1e-9
        ]
        largest = max(own.max(), every.max())
        assert _conformal(own, every, level) == min(covering, default=largest)
