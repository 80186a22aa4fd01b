"""Values that several rows share, in draws from cells."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.synthetic.column_form import FEW_VALUES, RepeatedValues

CENTS = Lattice(0.01, 0.0, 2)


def prices(rows: int = 5_000) -> np.ndarray:  # type: ignore[type-arg]
    """Most end in .99, others are any cents."""
    draw = np.random.default_rng(0)
    whole = draw.integers(0, 200, rows)
    return np.where(draw.random(rows) < 0.7, whole + 0.99, np.round(200 * draw.random(rows), 2))


def test_draws_from_a_cell_have_repeated_values_as_often_as_its_rows() -> None:
    values = prices()
    repeated = RepeatedValues.of(values, CENTS)
    assert repeated is not None
    inside = values[(values >= 40.5) & (values <= 60.5)]
    draw = np.random.default_rng(1)
    spread = np.round(draw.uniform(40.5, 60.5, 20_000), 2)
    low, high = np.full(20_000, 40.5), np.full(20_000, 60.5)
    drawn = repeated.drawn(spread, low, high, draw.random(20_000))
    assert drawn.min() >= 40.5
    assert drawn.max() <= 60.5
    real, made = (np.isclose(each % 1, 0.99).mean() for each in (inside, drawn))
    assert made == pytest.approx(real, abs=0.03)
    counts = [(np.abs(each - 50.99) < 1e-9).mean() for each in (inside, drawn)]
    assert counts[1] == pytest.approx(counts[0], abs=0.01)


def test_a_cell_of_one_value_gives_it_exactly() -> None:
    """Model units are float32; a third would come back with other last digits."""
    values = np.repeat([1 / 3, 2 / 3, 0.9], 40)
    repeated = RepeatedValues.of(values, Lattice())
    assert repeated is not None
    rounded = np.float64(np.float32(values))
    drawn = repeated.drawn(rounded, rounded, rounded, np.random.default_rng(0).random(len(values)))
    assert np.array_equal(drawn, values)


def test_a_cell_without_repeated_values_is_left_as_drawn() -> None:
    values = np.concatenate([np.full(50, 10.0), np.linspace(20, 30, 200)])
    repeated = RepeatedValues.of(values, Lattice())
    assert repeated is not None
    assert repeated.values == (10.0,)
    assert repeated.between == (0, 200)
    spread = np.linspace(21, 29, 100)
    same = repeated.drawn(spread, np.full(100, 20.5), np.full(100, 29.5), np.full(100, 0.5))
    assert np.array_equal(same, spread)


def test_columns_without_repeated_values_or_with_few_values_need_none() -> None:
    draw = np.random.default_rng(2)
    assert RepeatedValues.of(draw.normal(size=500), Lattice()) is None
    assert RepeatedValues.of(draw.integers(0, FEW_VALUES, 900) * 1.0, Lattice(1.0)) is None
    by_chance = draw.integers(0, 300, 9_000) * 1.0
    assert RepeatedValues.of(by_chance, Lattice(1.0)) is None
    heaped = np.where(draw.random(9_000) < 0.3, np.round(by_chance, -1), by_chance)
    found = RepeatedValues.of(heaped, Lattice(1.0))
    assert found is not None
    assert sum(value % 10 == 0 for value in found.values) > 0.9 * len(found.values)
    assert RepeatedValues.of(np.full(9, np.nan), Lattice()) is None


def test_float32_numbers_keep_their_last_bits() -> None:
    draw = np.random.default_rng(3)
    tenths = np.round(draw.integers(1, 41, 900) / 10, 1).astype(np.float32).astype(np.float64)
    read = np.nextafter(tenths, np.inf)  # as a reader of decimals may round them
    lattice = Lattice.found(read)
    assert (lattice.step, lattice.single) == (0.1, True)
    found = RepeatedValues.of(read, lattice)
    assert found is not None
    assert set(found.values) == set(np.unique(read))
