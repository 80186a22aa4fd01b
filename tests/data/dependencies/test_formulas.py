"""Formulas: equations that are planted are found, others are not, and each is solved exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lowerbound.config import to_mapping
from lowerbound.data import load
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.determined import (
    DETAIL,
    Dependencies,
    determined,
    with_dependencies,
)
from lowerbound.data.dependencies.formula_search import found_formulas
from lowerbound.data.dependencies.formulas import Formula, cells_of, numbers_of
from lowerbound.errors import OptionError

NAN = float("nan")
ROWS = 300


def found(frame: pd.DataFrame, taken: tuple[str, ...] = ()) -> list[str]:
    schema = load(frame, kinds="infer", missing="model").schema
    values = np.stack([each.rules.read(frame[each.name]) for each in schema.modeled], 1)
    return [each.summary for each in found_formulas(schema.modeled, values, taken)]


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_sum_is_found_beside_other_columns(draw: np.random.Generator) -> None:
    parts = draw.gamma(2, 30, (ROWS, 4)).round(2)
    frame = pd.DataFrame(parts, columns=["a", "b", "c", "other"])
    frame["total"] = (frame["a"] + frame["b"] + frame["c"]).round(2)
    frame["noise"] = (frame["total"] + draw.normal(0, 0.2, ROWS)).round(2)
    assert [sorted(each) for each in found(frame)] == [sorted("total = a + b + c")]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_formulas_are_found_with_missing_cells(draw: np.random.Generator, share: float) -> None:
    frame = pd.DataFrame(draw.integers(1, 200, (1_000, 5)), columns=list("abcde"))
    frame["total"] = frame["a"] + frame["b"]
    frame["cost"] = 3 * frame["c"]
    whole = set(found(frame))
    assert len(whole) == 2
    assert set(found(frame.mask(draw.random(frame.shape) < share))) == whole


def test_a_total_of_many_parts_is_found(draw: np.random.Generator) -> None:
    months = pd.DataFrame(draw.poisson(20, (ROWS, 12)), columns=[f"m{i}" for i in range(12)])
    months["year"] = months.sum(axis=1)
    assert len(found(months)) == 1


@pytest.mark.parametrize(
    ("columns", "equation"),
    [
        (lambda a, b: {"y": (a * b).round(2)}, "y = a * b"),
        (lambda a, b: {"y": (a / b).round(4)}, "y = a / b"),
        (lambda a, b: {"y": (10_000 * a / b**2).round(3)}, "y = 10000 * a / b^2"),
        (lambda a, b: {"y": np.log(a)}, "y = log(a)"),
        (lambda a, b: {"y": a**2}, "y = a^2"),
        (lambda a, b: {"y": (0.27 * a).round(2)}, "y = 0.27 a"),
        (lambda a, b: {"y": (28.35 * a).round(1)}, "y = 28.35 a"),
        (lambda a, b: {"y": (a - b - 6).round(1)}, "y = a - b - 6"),
        (lambda a, b: {"y": (900 - a - b).round(1)}, "y = 900 - a - b"),
        (lambda a, b: {"y": (0.6 * a + 0.4 * b).round(3)}, "y = 0.6 a + 0.4 b"),
        (lambda a, b: {"y": ((a - a.mean()) / a.std()).round(6)}, "y = "),
    ],
)
def test_equations_are_written_with_simple_numbers(
    draw: np.random.Generator, columns: object, equation: str
) -> None:
    a, b = pd.Series(draw.gamma(5, 20, ROWS).round(1)), pd.Series(draw.gamma(9, 2, ROWS).round(1))
    made = columns(a, b)  # type: ignore[operator]
    (summary,) = found(pd.DataFrame({"a": a, "b": b, **made}), taken=("a", "b"))
    assert summary.startswith(equation)
    if equation != "y = ":
        assert summary == equation


def test_the_finer_column_is_kept(draw: np.random.Generator) -> None:
    """A total by its tax would be a multiple of six cents."""
    net = draw.gamma(3.0, 120.0, 1_000).round(2)
    tax = (0.2 * net).round(2)
    frame = pd.DataFrame({"net": net, "tax": tax})
    assert found(frame) == ["tax = 0.2 net"]
    first, *_ = found(frame.assign(total=(net + tax).round(2)))
    assert first in ("tax = 0.166667 total", "tax = total - net", "net = 0.833333 total")


def test_a_constant_of_one_step_counts(draw: np.random.Generator) -> None:
    start = draw.integers(1900, 2000, ROWS)
    assert found(pd.DataFrame({"end": start + 1, "start": start}), ("start",)) == [
        "end = start + 1"
    ]


def test_what_is_nearly_so_is_no_formula(draw: np.random.Generator) -> None:
    """A row that breaks it, residuals beyond rounding, a smooth curve, and dates of a year."""
    a, b = draw.integers(0, 100, (2, ROWS))
    broken = np.where(np.arange(ROWS) == 7, 1, 0)
    level = np.cumsum(draw.normal(0, 1, (ROWS, 8)), 1)
    for frame in (
        pd.DataFrame({"a": a, "b": b, "y": a + b + broken}),
        pd.DataFrame({"a": a, "b": b, "y": a + b + draw.integers(-1, 2, ROWS)}),
        pd.DataFrame(level.round(1)).add_prefix("x"),
        pd.DataFrame({"a": a[:15], "b": b[:15], "y": a[:15] + b[:15]}),
        pd.DataFrame({"a": draw.integers(0, 2, ROWS), "b": draw.integers(0, 2, ROWS)}),
    ):
        assert found(frame) == []
    near = draw.normal(0, 50, (ROWS, 1)) + draw.normal(0, 0.15, (ROWS, 4))  # of four sensors
    assert found(pd.DataFrame(near.round()).add_prefix("x")) == []
    year = draw.choice([1985, 1995], ROWS)
    assert found(pd.DataFrame({"year": year, "index": np.where(year < 1990, 1.07, 1.52)})) == []
    years, cost = draw.integers(1993, 1999, ROWS), draw.gamma(9, 100, ROWS).round()
    deflated = (cost * 1.02 ** (years - 1995)).round()  # nearly cost * (years / 1995) ^ 39.5
    assert found(pd.DataFrame({"years": years, "cost": cost, "deflated": deflated})) == []
    day = pd.Timestamp("1950-01-01") + pd.to_timedelta(draw.integers(0, 20_000, ROWS), "D")
    year = pd.DataFrame({"day": day, "year": day.year})
    assert all(each.startswith("year = ") for each in found(year))


def test_every_row_of_a_long_table_counts(draw: np.random.Generator) -> None:
    parts = draw.integers(0, 100, (50_001, 2))
    frame = pd.DataFrame(parts, columns=["a", "b"]).assign(y=parts.sum(1))
    assert found(frame) == ["y = a + b"]
    frame.loc[7, "y"] += 5
    assert found(frame) == []


def test_independent_columns_have_no_formula(draw: np.random.Generator) -> None:
    for decimals in (0, 1, 6):
        frame = pd.DataFrame(draw.normal(0, 3, (200, 12)).round(decimals)).add_prefix("x")
        assert found(frame) == []


def test_levels_that_are_numbers_take_part(draw: np.random.Generator) -> None:
    age, school = draw.integers(24, 35, 1_000), draw.integers(0, 15, 1_000)
    frame = pd.DataFrame({"age": age, "school": school, "work": age - school - 6})
    assert found(frame) == ["work = age - school - 6"]
    column = Column("n", "ordinal", levels=(2, 4, "x"))
    cells = np.array([[0.0], [1.0], [2.0], [NAN]])
    np.testing.assert_array_equal(numbers_of([column], cells)[:, 0], [2, 4, NAN, NAN])
    computed = cells_of(column, np.array([4.0, 2.3, 5.2, NAN]))
    np.testing.assert_array_equal(computed, [1, 0, NAN, NAN])


def test_a_level_is_computed_by_rounding() -> None:
    """The month by the day of the year and of the month: each of the levels comes back."""
    day = pd.date_range("2001-01-01", "2003-12-31")
    frame = pd.DataFrame({"month": day.month, "of_year": day.day_of_year, "day": day.day})
    columns = load(frame, kinds="infer", missing="model").schema.modeled
    cells = np.stack([each.rules.read(frame[each.name]) for each in columns], 1)
    assert columns[0].levels
    (formula,) = found_formulas(columns, cells, taken=("of_year", "day"))
    own = [frame.columns.get_loc(name) for name in formula.columns]
    numbers = numbers_of([columns[at] for at in own], cells[:, own])
    np.testing.assert_array_equal(cells_of(columns[0], formula.value(0, numbers)), cells[:, 0])


def test_a_product_may_have_zeros(draw: np.random.Generator) -> None:
    """From 0 = 0 times a wage that is missing, no wage follows."""
    hours = np.where(draw.random(ROWS) < 0.3, 0, draw.integers(1, 60, ROWS))
    wage = np.where(hours > 0, draw.gamma(5, 3, ROWS).round(2) + 1, NAN)
    earned = np.where(hours > 0, (hours * np.nan_to_num(wage)).round(2), 0.0)
    frame = pd.DataFrame({"hours": hours, "wage": wage, "earned": earned})
    assert found(frame) == ["earned = hours * wage"]
    other = frame.assign(earned=np.where(hours > 0, earned, 5.0), wage=np.nan_to_num(wage, nan=4))
    assert not any("earned = hours" in each for each in found(other))


def solved(formula: Formula, cells: Array) -> Array:
    return np.stack([formula.value(at, cells) for at in range(cells.shape[1])], 1)


def test_each_column_follows_from_the_others() -> None:
    ratio = Formula(("y", "a", "b"), (1.0, -1.0, 2.0), np.log(10), *[(True,) * 3] * 3)
    assert ratio.summary == "y = 10 * a / b^2"
    row = np.array([[10 * 8 / 4.0, 8.0, 2.0]])
    np.testing.assert_allclose(solved(ratio, row), row)
    zero = np.array([[0.0, 0.0, 2.0]])
    np.testing.assert_array_equal(solved(ratio, zero), [[0.0, 0.0, NAN]])
    line = Formula(("y", "a"), (2.0, -1.0), 4.0, (False, True), *[(True, True)] * 2)
    assert line.summary == "y = 0.5 log(a) + 2"
    np.testing.assert_allclose(line.value(1, np.array([[3.0, NAN]])), [np.exp(2.0)])


def test_a_formula_has_numbers_for_all_of_its_columns() -> None:
    with pytest.raises(OptionError, match="a finite number for each"):
        Formula(("y", "a"), (1.0,), 0.0, *[(False, False)] * 3)
    with pytest.raises(OptionError, match="coefficient of a formula is 0"):
        Formula(("y", "a"), (1.0, 0.0), 0.0, *[(False, False)] * 3)


def test_missing_cells_follow_in_turn(draw: np.random.Generator) -> None:
    """A total by its parts, and from it a price in another unit."""
    frame = pd.DataFrame(draw.integers(1, 500, (400, 2)), columns=["a", "b"]).astype(float)
    frame["total"] = frame["a"] + frame["b"]
    frame["cents"] = 100 * frame["total"]
    whole = frame.copy()
    frame.loc[0, ["total", "cents"]] = NAN
    frame.loc[1, "a"] = NAN
    frame.loc[2, ["a", "b"]] = NAN
    dataset = with_dependencies(load(frame, kinds="infer", missing="model"))
    cells = determined(dataset)
    assert cells is not None
    expected = np.full(frame.shape, NAN)
    expected[0, 2:], expected[1, 0] = whole.loc[0, ["total", "cents"]], whole.loc[1, "a"]
    np.testing.assert_array_equal(cells, expected)


@pytest.mark.parametrize("order", [1, -1])
def test_what_follows_exactly_comes_before_what_is_rounded(
    draw: np.random.Generator, order: int
) -> None:
    """A weight by weight and bag together, and not by a coarse body mass index, in any order."""
    frame = pd.DataFrame(
        {"weight": draw.uniform(50, 100, ROWS).round(2), "height": draw.uniform(1.5, 2, ROWS)}
    )
    frame["bmi"] = (frame["weight"] / frame["height"] ** 2).round(1)
    frame["bag"] = draw.uniform(1, 20, ROWS).round(2)
    frame["gross"] = (frame["weight"] + frame["bag"]).round(2)
    frame["height"] = frame["height"].round(2)
    weight = frame["weight"].copy()
    frame.loc[:9, "weight"] = NAN
    frame.loc[10:19, ["weight", "bag"]] = NAN
    dataset = load(frame, kinds="infer", missing="model")
    every, none = (True,) * 3, (False,) * 3
    index = Formula(("bmi", "weight", "height"), (1.0, -1.0, 2.0), 0.0, every, every, none)
    total = Formula(("gross", "weight", "bag"), (1.0, -1.0, -1.0), 0.0, none, every, every)
    details = {DETAIL: to_mapping(Dependencies(formulas=(index, total)[::order]))}
    cells = determined(replace(dataset, schema=replace(dataset.schema, details=details)))
    assert cells is not None
    np.testing.assert_allclose(cells[:10, 0], weight[:10], atol=1e-9)
    assert 0.01 < np.abs(cells[10:20, 0] - weight[10:20]).max() < 5


def test_sources_are_found_behind_a_close_column(draw: np.random.Generator) -> None:
    """Sleep with and without naps, and the rest of the week: three columns are nearly the same."""
    frame = pd.DataFrame({"sleep": draw.normal(3_000, 400, 700).round()})
    frame["naps"] = frame["sleep"] + np.where(draw.random(700) < 0.4, draw.integers(1, 300, 700), 0)
    frame["rest"] = frame["naps"] + np.where(draw.random(700) < 0.6, draw.integers(1, 500, 700), 0)
    frame["work"] = draw.normal(2_200, 900, 700).round()
    frame["free"] = 10_080 - frame["sleep"] - frame["work"]
    frame["awake"] = 10_080 - frame["naps"] - frame["work"]
    frame["active"] = 10_080 - frame["rest"] - frame["work"]
    assert len(found(frame.mask(draw.random(frame.shape) < 0.15))) == 3


def test_levels_of_numbers_and_text_are_no_obstacle(draw: np.random.Generator) -> None:
    mixed = np.array([1, 2, "x"], dtype=object)[draw.integers(0, 3, ROWS)]
    a = draw.integers(0, 99, ROWS)
    frame = pd.DataFrame({"mixed": mixed, "a": a, "b": 2 * a})
    with pytest.warns(UserWarning, match="'mixed' has 'x' beside few whole numbers"):
        assert found(frame) == ["b = 2 a"]


def test_columns_that_are_never_known_together_are_no_obstacle(draw: np.random.Generator) -> None:
    a, first = draw.integers(0, 99, ROWS), np.arange(ROWS) < ROWS / 2
    frame = pd.DataFrame(
        {"a": a, "early": np.where(first, a, NAN), "late": np.where(first, NAN, a)}
    )
    frame["c"] = draw.normal(size=ROWS).round(2)
    assert {each.split()[0] for each in found(frame)} <= {"a", "early", "late"}


def test_a_body_mass_index_gives_the_weight_up_to_its_rounding(draw: np.random.Generator) -> None:
    frame = pd.DataFrame({"height": draw.normal(178, 9, ROWS), "weight": draw.normal(75, 14, ROWS)})
    frame["bmi"] = 10_000 * frame["weight"] / frame["height"] ** 2
    frame = frame.round({"height": 1, "weight": 1, "bmi": 2})  # each from the unrounded ones
    assert found(frame) == ["weight = 0.0001 * height^2 * bmi"]


def test_values_whose_squares_are_beyond_float64_have_no_formula(draw: np.random.Generator) -> None:
    a, b = draw.normal(size=(2, ROWS)).round(2)
    frame = pd.DataFrame({"a": a, "b": b, "c": a + b})
    assert len(found(frame)) == 1
    frame.loc[5, "c"] = 1.797e308
    with pytest.warns(UserWarning, match=r"'c': 1\.797e\+308 in 1 row, taken for missing"):
        assert found(frame) == []
