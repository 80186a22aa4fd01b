"""Which columns determine others."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.lookups import Lookup, _agree, _log_chance, found_lookups
from lowerbound.data.protection.people import People
from lowerbound.errors import OptionError

NAN = np.nan


def lookups(*each: Array, taken: tuple[str, ...] = ()) -> tuple[Lookup, ...]:
    values = np.stack([np.asarray(one, dtype=np.float64) for one in each], 1)
    columns = [Column(f"c{place}", "real") for place in range(values.shape[1])]
    return found_lookups(columns, values, taken)


def nested(rows: int = 600, seed: int = 0) -> tuple[Array, Array, Array]:
    """Pupils: noise, their school, and the size of the school."""
    draw = np.random.default_rng(seed)
    school = draw.integers(0, 40, rows)
    return draw.normal(size=rows), school, draw.integers(100, 130, 40)[school]


def test_a_column_of_groups_is_found_on_both_sides() -> None:
    noise, school, size = nested()
    for each in (noise, school, size), (size, noise, school):
        (found,) = lookups(*each)
        assert found.columns[0] == f"c{[value is school for value in each].index(True)}"
        assert len(found.columns) == 2
        table = dict(found.cells)
        assert all(table[float(a)] == b for a, b in zip(school, size, strict=True) if a in table)
        assert sum(found.rows) + found.others + found.missing == len(school)
    assert not lookups(*nested(), taken=("c1",))


def test_one_exception_is_enough_against_it() -> None:
    noise, school, size = nested()
    size[7] += 1
    assert not lookups(noise, school, size)


def test_missing_cells_are_no_exception() -> None:
    noise, school, size = nested()
    draw = np.random.default_rng(1)
    school, size = school.astype(float), size.astype(float)
    school[draw.random(600) < 0.2] = size[draw.random(600) < 0.3] = NAN
    size[school == 3] = NAN
    (found,) = lookups(noise, school, size)
    assert dict(found.cells)[3.0] is None
    assert found.missing == np.isnan(school).sum()


def test_values_of_few_rows_are_not_kept() -> None:
    school = np.repeat([*range(40), 77.0, 78.0], [15] * 40 + [2, 3])
    size = school * 7 % 11
    (found,) = lookups(school, size)
    assert {row[0] for row in found.cells} == {*map(float, range(40)), 78.0}
    assert found.others == 2
    assert found.share_of_others == pytest.approx(2 / len(school))


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_chance_is_no_lookup(share: float) -> None:
    """Two hundred tables of independent columns, groups of few rows, and a frequent level."""
    draw = np.random.default_rng(2)
    for _ in range(200):
        rows = int(draw.integers(30, 300))
        group = draw.integers(0, max(2, rows // 4), rows)
        assert not lookups(group, draw.random(rows) < share)


def test_two_flags_of_few_rows_that_always_agree_are_one_lookup() -> None:
    flag = np.arange(280) % 47 == 0
    (found,) = lookups(flag, flag)
    assert found.rows == (274, 6)
    rows = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    assert found.broken(rows).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("codes", "others"),
    [([0] * 5 + [1] * 3, [0] * 5 + [1] * 3), ([0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 0, 0])],
)
def test_the_probability_of_chance_is_at_least_that_among_all_shuffles(
    codes: list[int], others: list[int]
) -> None:
    shuffles = {*permutations(others)}
    agree = sum(_agree(np.array(codes), np.array(each)) for each in shuffles)
    assert agree / len(shuffles) <= np.exp(_log_chance(np.array(codes), np.array(others)))


def test_doubled_rows_are_no_lookup() -> None:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(300, 2))
    assert not lookups(*np.concatenate([rows, rows[:200]]).T)


def test_what_agrees() -> None:
    found = Lookup(("a", "b"), ((1.0, 5.0), (2.0, None)), (3, 3))
    assert found.agree(0, np.array([1.0, 2.0, 3.0, NAN])).tolist() == [
        [True, False],
        [False, True],
        [False, False],
        [True, True],
    ]
    assert found.agree(1, np.array([5.0, 6.0])).tolist() == [[True, True], [False, True]]
    assert found.summary == "a determines b"


def test_a_cell_follows_from_all_values_that_agree() -> None:
    cells = ((1.0, 5.0, 8.0), (2.0, 5.0, 8.0), (3.0, 6.0, 7.0), (4.0, None, 7.0))
    found = Lookup(("a", "b", "c"), cells, (50, 50, 50, 50))
    given = np.array(
        [
            [1.0, NAN, NAN],  # the first column determines
            [NAN, 5.0, NAN],  # three agree with it, and differ in the third
            [NAN, 6.0, NAN],  # one agrees with a value, and one was always missing there
            [4.0, NAN, NAN],
            [9.0, NAN, NAN],  # not listed
            [1.0, 6.0, NAN],  # contradicts all
        ]
    )
    np.testing.assert_array_equal(
        found.determined(given),
        [
            [1, 5, 8],
            [NAN, NAN, NAN],
            [NAN, NAN, 7],
            [4, NAN, 7],
            [NAN, NAN, NAN],
            [NAN, NAN, NAN],
        ],
    )
    whole = Lookup(("a", "b", "c"), cells[:3], (50, 50, 50))
    assert whole.determined(given)[1, 1:].tolist() == [5, 8]
    assert whole.determined(given)[2].tolist() == [3, 6, 7]
    rarer = Lookup(("a", "b", "c"), cells[:3], (50, 50, 50), others=5)
    assert np.isnan(rarer.determined(given)[1:3]).all()
    assert rarer.determined(given)[0].tolist() == [1, 5, 8]
    assert found.determined(given[:0]).shape == (0, 3)


def test_negative_numbers_and_rounding() -> None:
    found = Lookup(("a", "b"), ((-0.3, 1.0), (-0.1, 2.0), (0.0, 3.0), (7e6, 4.0)), (5, 5, 5, 5))
    first = np.array([-0.1 * 3, -0.1, 0.0, 7e6 * (1 + 1e-13), 8e6, -1.0])
    cells = np.stack([first, np.full(6, NAN)], 1)
    np.testing.assert_array_equal(found.determined(cells)[:, 1], [1, 2, 3, 4, NAN, NAN])


def test_a_lookup_whose_parts_differ_is_refused() -> None:
    for cells, rows in ((((1.0, 2.0),), (3, 4)), (((1.0,),), (3,)), ((), ())):
        with pytest.raises(OptionError, match="a lookup needs rows"):
            Lookup(("a", "b"), cells, rows)


def test_many_columns_of_pixels_take_little_time() -> None:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 16, (2_000, 300)).astype(float)
    pixels[:, 200] = pixels[:, 10] // 4
    (found,) = lookups(*pixels.T)
    assert found.columns == ("c10", "c200")


@pytest.mark.parametrize("row", [0, 1_001, 2_999])
def test_one_exception_in_any_row_of_a_large_table_is_enough_against_it(row: int) -> None:
    noise, school, size = nested(3_000)
    assert lookups(noise, school, size)
    size[row] = 131
    assert not lookups(noise, school, size)


def test_a_value_of_few_people_is_not_listed() -> None:
    """Rows of one person count once; without people, rows are counted."""
    values = np.repeat([[1.0, 5.0], [2.0, 6.0]], 30, 0)
    person = np.concatenate([np.arange(30), np.full(30, 30)])
    found = Lookup.of(("a", "b"), values, People(person, 5))
    assert found is not None
    assert (found.cells, found.rows, found.others) == (((1.0, 5.0),), (30,), 30)
    every = Lookup.of(("a", "b"), values)
    assert every is not None
    assert every.cells == ((1.0, 5.0), (2.0, 6.0))
