"""Which columns follow another."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.synthetic.constraints import (
    DIFFERENCE,
    EQUALITY,
    LINEAR,
    MOST_EARLIER,
    MOST_LATER,
    RATIO,
    found_relations,
    slope_of,
)

DRAW = np.random.default_rng


def columns(values: Array) -> list[Column]:
    return [
        Column(f"c{place}", "real", lattice=Lattice.of(values[:, place]))
        for place in range(values.shape[1])
    ]


def relations(*each: Array) -> tuple[tuple[str, int, int], ...]:
    values = np.stack([np.asarray(one, dtype=np.float64) for one in each], 1)
    return found_relations(columns(values), values)


def test_ties_are_found_at_any_resolution() -> None:
    draw = DRAW(0)
    for decimals in (0, 2, 15):
        first = np.round(draw.normal(500, 100, 400), decimals)
        last = np.round(first - draw.exponential(90, 400), decimals)
        last = np.where(draw.random(400) < 0.3, first, last)
        found = relations(draw.normal(500, 100, 400), first, last)
        assert found == ((EQUALITY, 1, 2), (EQUALITY, 2, 1))


def test_equal_rows_of_close_columns_are_chance() -> None:
    """Heights of mothers and children in inches agree in a tenth of the rows."""
    draw = DRAW(1)
    mother = draw.normal(64, 2, 2_000)
    child = np.round(mother + draw.normal(0, 2, 2_000))
    mother = np.round(mother)
    assert (mother == child).mean() > 0.1
    assert relations(mother, child) == ()


def test_two_frequent_values_are_no_evidence() -> None:
    draw = DRAW(2)
    one, two = draw.exponential(9, (2, 1_000))
    one[draw.random(1_000) < 0.6] = two[draw.random(1_000) < 0.6] = 0.0
    assert (one == two).mean() > 0.2
    assert relations(one, two) == ()


def test_numbers_of_different_steps_are_equal_only_exactly() -> None:
    """Shares with two decimals beside counts: a share of 0.98 is no 1."""
    draw = DRAW(5)
    count = draw.integers(0, 3, 1_000)
    share = np.round(draw.beta(8, 1, 1_000), 2)
    assert (np.abs(count - share) < 0.25).mean() > 0.2
    assert relations(count, share) == ()


def test_the_residual_is_the_one_that_varies_least() -> None:
    draw = DRAW(6)
    price = draw.lognormal(4, 1, 1_000)
    inches = draw.normal(64, 4, 1_000)
    assert relations(price, price * np.exp(draw.normal(0, 0.01, 1_000)))[0] == (RATIO, 0, 1)
    near = inches + draw.normal(0, 0.05, 1_000) - 70
    assert relations(inches - 70, near) == ((DIFFERENCE, 0, 1), (DIFFERENCE, 1, 0))
    scaled = 2.54 * (inches - 70) + draw.normal(0, 0.05, 1_000)
    assert relations(inches - 70, scaled) == ((LINEAR, 0, 1), (LINEAR, 1, 0))
    assert slope_of(scaled, inches - 70) == pytest.approx(2.54, rel=0.01)


def test_two_dates_may_be_further_apart() -> None:
    """Stays of up to 30 days in a year: a residual of a twelfth of the range."""
    draw = DRAW(5)
    start = draw.integers(0, 365, 1_000).astype(np.float64)
    values = np.stack([start, start + draw.integers(0, 30, 1_000)], 1) * 86_400
    assert found_relations(columns(values), values) == ()
    dates = [Column(name, "datetime", format="%Y-%m-%d") for name in ("start", "end")]
    found = found_relations(dates, values)
    assert found == ((DIFFERENCE, 0, 1), (DIFFERENCE, 1, 0))


def test_missing_cells_and_levels_are_left_out() -> None:
    draw = DRAW(3)
    value = draw.normal(size=500)
    copied = np.where(draw.random(500) < 0.2, value, draw.normal(size=500))
    value[:100], copied[50:150] = np.nan, np.nan
    rows = np.stack([value, copied, np.round(value)], 1)
    given = [*columns(rows)[:2], Column("level", "categorical", levels=("a", "b"))]
    assert [each[1:] for each in found_relations(given, rows)] == [(0, 1), (1, 0)]
    assert found_relations(given[2:], rows[:, 2:]) == ()
    assert found_relations(given, rows[:0]) == ()
    assert found_relations(given, np.full((9, 3), np.nan)) == ()


def test_a_column_follows_few_others_those_with_ties_first() -> None:
    draw = DRAW(4)
    value = draw.normal(size=1_000)
    near = [value + draw.normal(0, 0.02, 1_000) for _ in range(4)]
    tied = np.where(draw.random(1_000) < 0.3, value, draw.normal(size=1_000))
    found = relations(tied, *near, value, *near[:3])
    earlier = [other for _, own, other in found if own == 5 and other < 5]
    later = [other for _, own, other in found if own == 5 and other > 5]
    assert len(earlier) == MOST_EARLIER
    assert 0 in earlier
    assert len(later) == MOST_LATER
