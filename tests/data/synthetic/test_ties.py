"""Which pairs of columns have ties."""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.synthetic.ties import MOST_SOURCES, found_ties

DRAW = np.random.default_rng


def columns(values: Array) -> list[Column]:
    return [
        Column(f"c{place}", "real", lattice=Lattice.of(values[:, place]))
        for place in range(values.shape[1])
    ]


def pairs(*each: Array) -> tuple[tuple[int, int], ...]:
    values = np.stack([np.asarray(one, dtype=np.float64) for one in each], 1)
    return found_ties(columns(values), values)


def test_copies_are_found_at_any_resolution() -> None:
    draw = DRAW(0)
    for decimals in (0, 2, 15):
        first = np.round(draw.normal(500, 100, 400), decimals)
        last = np.round(first - draw.exponential(30, 400), decimals)
        last = np.where(draw.random(400) < 0.3, first, last)
        assert pairs(draw.normal(500, 100, 400), first, last) == ((1, 2),)


def test_equal_rows_of_close_columns_are_chance() -> None:
    """Heights of mothers and children in inches agree in a tenth of the rows."""
    draw = DRAW(1)
    mother = draw.normal(64, 2, 2_000)
    child = np.round(mother + draw.normal(0, 2, 2_000))
    mother = np.round(mother)
    assert (mother == child).mean() > 0.1
    assert pairs(mother, child) == ()


def test_two_frequent_values_are_no_evidence() -> None:
    draw = DRAW(2)
    one, two = draw.exponential(9, (2, 1_000))
    one[draw.random(1_000) < 0.6] = two[draw.random(1_000) < 0.6] = 0.0
    assert (one == two).mean() > 0.2
    assert pairs(one, two) == ()


def test_numbers_of_different_steps_are_equal_only_exactly() -> None:
    """Shares with two decimals beside counts: a share of 0.98 is no 1."""
    draw = DRAW(5)
    count = draw.integers(0, 3, 1_000)
    share = np.round(draw.beta(8, 1, 1_000), 2)
    assert (np.abs(count - share) < 0.25).mean() > 0.2
    assert pairs(count, share) == ()


def test_missing_cells_and_levels_are_left_out() -> None:
    draw = DRAW(3)
    value = draw.normal(size=500)
    copied = np.where(draw.random(500) < 0.2, value, draw.normal(size=500))
    value[:100], copied[50:150] = np.nan, np.nan
    rows = np.stack([value, copied, np.round(value)], 1)
    given = [*columns(rows)[:2], Column("level", "categorical", levels=("a", "b"))]
    assert found_ties(given, rows) == ((0, 1),)
    assert found_ties(given[2:], rows[:, 2:]) == ()
    assert found_ties(given, rows[:0]) == ()


def test_a_column_has_few_pairs_those_with_most_ties() -> None:
    draw = DRAW(4)
    value = draw.normal(size=1_000)
    shares = np.linspace(0.1, 0.9, 9)
    copies = [np.where(draw.random(1_000) < s, value, draw.normal(size=1_000)) for s in shares]
    found = pairs(value, *copies)
    assert [pair for pair in found if 0 in pair] == [(0, 9 - i) for i in range(MOST_SOURCES)]
