"""Which columns are always in one order."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.dependencies.lookups import MOST_ORDERS, Inequality, found_orders

DRAW = np.random.default_rng


def orders(*each: Array, **options: object) -> list[str]:
    values = np.stack([np.asarray(one, dtype=np.float64) for one in each], 1)
    columns = [
        Column(name, "real", lattice=Lattice.of(values[:, place]))
        for place, name in enumerate("abcdefghijkl"[: values.shape[1]])
    ]
    return [one.summary for one in found_orders(columns, values, **options)]  # type: ignore[arg-type]


def test_starts_and_ends() -> None:
    draw = DRAW(0)
    start = draw.integers(0, 50, 3_000)
    end = start + draw.integers(0, 20, 3_000)
    assert orders(end, draw.integers(0, 70, 3_000), start) == ["c <= a"]
    assert orders(start, end + 1) == ["a < b"]
    assert orders(start, end, taken={"b"}) == []
    assert orders(start, end, alike=[{"a", "b"}]) == []


def test_one_row_is_enough_against_it() -> None:
    draw = DRAW(1)
    start = draw.normal(size=2_000)
    end = start + draw.exponential(size=2_000)
    assert orders(start, end) == ["a <= b"]
    end[1_003] = start[1_003] - 1e-9
    assert orders(start, end) == []


def test_columns_that_are_apart_need_none() -> None:
    draw = DRAW(2)
    assert orders(draw.uniform(0, 1, 900), draw.uniform(2, 3, 900)) == []
    far = draw.uniform(2, 3, 900)
    far[:3] = 0.5  # too few rows to be sure
    assert orders(draw.uniform(0, 0.4, 900), far) == []


def test_independent_columns_have_none() -> None:
    draw = DRAW(3)
    for _ in range(200):
        rows = int(draw.integers(10, 300))
        assert orders(draw.normal(size=rows), draw.normal(draw.normal(), 1, rows)) == []


def test_what_follows_from_others_is_left_out_unless_cells_are_missing() -> None:
    draw = DRAW(4)
    low = draw.normal(size=500)
    middle = low + draw.exponential(size=500)
    high = middle + draw.exponential(size=500)
    assert orders(low, middle, high) == ["a <= b", "b <= c"]
    middle[draw.random(500) < 0.1] = np.nan
    assert orders(low, middle, high) == ["a <= b", "a <= c", "b <= c"]


def test_columns_of_nothing_and_levels_are_left_out() -> None:
    draw = DRAW(5)
    low = draw.normal(size=300)
    assert orders(low, np.full(300, np.nan), low + 1) == ["a <= c"]
    levels = Column("l", "categorical", levels=("x", "y", "z"))
    codes = draw.integers(0, 3, 300).astype(float)
    values = np.stack([codes, codes + draw.exponential(size=300)], 1)
    assert found_orders([levels, Column("b", "real")], values) == ()


def test_the_tightest_come_first() -> None:
    draw = DRAW(6)
    base = draw.normal(size=3_000)
    above = [base + draw.exponential(4.0 ** (each / 3), 3_000) for each in range(11)]
    found = orders(base, *above)
    assert {f"a <= {name}" for name in "bcde"} <= set(found)
    assert len(found) <= MOST_ORDERS
    assert Inequality("a", "b").summary == "a <= b"


@pytest.mark.parametrize("row", [0, 1, 5_001, 11_999])
def test_one_row_of_a_large_table_is_enough_against_an_order_or_its_strictness(row: int) -> None:
    draw = DRAW(7)
    start = draw.integers(0, 50, 12_000).astype(float)
    end = start + draw.integers(1, 20, 12_000)
    assert orders(start, end) == ["a < b"]
    end[row] = start[row]
    assert orders(start, end) == ["a <= b"]
    end[row] = start[row] - 1
    assert orders(start, end) == []
