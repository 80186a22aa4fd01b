"""Every kind of column is recognized, enters model units and comes back; the person's word wins."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy import stats

from lowerbound.data import Schema, load, to_frame
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import HIGHEST
from lowerbound.data.columns.inference import Sample, recognized, understood
from lowerbound.data.columns.mixed import ATOM
from lowerbound.data.columns.values import missing
from lowerbound.data.synthetic.form import TableForm
from lowerbound.errors import DataError, OptionError
from tests.data.columns.every_kind import VALUES, table


def read(frame: pd.DataFrame, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(frame, **options)


@pytest.mark.parametrize("kind", VALUES)
def test_each_kind_is_found_from_its_values(kind: str) -> None:
    assert understood(table()[kind]).kind == kind


@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_are_numbers_as_far_as_float64_holds_each(sign: int) -> None:
    last = sign * 2**53
    assert float(last + sign) == float(last)
    assert Sample.of(pd.Series([0, last], name="n")).numeric
    assert not Sample.of(pd.Series([0, last + sign], name="n")).numeric


def test_a_table_comes_back_as_it_was() -> None:
    frame = table()
    dataset = read(frame)
    assert dataset.schema.left_out == ("identifier",)
    back = to_frame(dataset.schema, dataset.x)
    kept = frame.drop(columns="identifier")
    seen = kept["categorical"] != "?"
    assert (~dataset.observed).sum() == (~seen).sum()
    for name in kept.columns:
        given, found = kept[name][seen], back[name][seen]
        if given.dtype.kind == "f":
            np.testing.assert_allclose(found, given, rtol=1e-9)
        elif given.dtype.kind == "M":
            assert (abs(found - given) < pd.Timedelta("1ms")).all()
        else:
            assert found.tolist() == given.tolist()


def test_a_schema_of_every_kind_survives_json() -> None:
    schema = read(table()).schema
    restored = Schema.from_mapping(json.loads(json.dumps(schema.to_mapping(), allow_nan=False)))
    assert restored == schema
    again = read(table(), schema=restored)
    assert torch.equal(again.x, read(table()).x)


def test_the_log_density_in_own_units_is_that_of_scipy() -> None:
    """A log-normal column in log units: log p(v) of scipy's lognorm."""
    values = np.exp(np.random.default_rng(0).normal(1.0, 0.8, 60))
    frame = pd.DataFrame({"v": values, "w": np.random.default_rng(1).normal(size=60)})
    dataset = read(frame, kinds={"v": "positive"})
    column = dataset.schema.columns[0]
    assert column.spline is None
    u = dataset.x[:, 0].numpy()
    inside = stats.norm.logpdf(u) + column.log_slope(u)
    expected = stats.lognorm.logpdf(values, s=column.scale, scale=np.exp(column.shift))
    np.testing.assert_allclose(inside, expected, rtol=1e-10)


def test_an_atom_has_mass_and_no_slope() -> None:
    column = understood(table()["mixed"])
    assert column.atom == 25
    units = column.encode(table()["mixed"].to_numpy())
    assert ((units == ATOM) == (table()["mixed"] == 25)).all()
    assert (column.log_slope(units)[units == ATOM] == 0).all()


def test_the_persons_word_wins() -> None:
    frame = table()
    columns = {
        column.name: column
        for column in read(
            frame,
            kinds={
                "ordinal": "real",
                "count": {"kind": "mixed", "atom": 3},
                "binary": {"kind": "ordinal", "levels": ["yes", "no", "maybe"]},
                "real": {"kind": "bounded", "low": -20, "high": 20},
            },
        ).schema.columns
    }
    assert columns["ordinal"].kind == "real"
    assert (columns["count"].kind, columns["count"].atom) == ("mixed", 3.0)
    assert columns["binary"].levels == ("yes", "no", "maybe")
    assert (columns["real"].low, columns["real"].high) == (-20.0, 20.0)
    with pytest.raises(OptionError, match="column 'oridnal'; did you mean 'ordinal'"):
        read(frame, kinds={"oridnal": "real"})
    with pytest.raises(OptionError, match="kind of column 'real': 'reel'"):
        read(frame, kinds={"real": "reel"})
    with pytest.raises(DataError, match="column 'real' holds positive numbers, but not in rows"):
        read(frame, kinds={"real": "positive"})


def test_an_identifier_taken_for_classes_is_doubted() -> None:
    with pytest.warns(
        UserWarning, match="'identifier' has 400 levels in 400 rows: it identifies rows"
    ):
        understood(table()["identifier"], "categorical")
    with pytest.warns(UserWarning, match="'identifier': no value repeats"):
        load(table().drop(columns=["constant", "categorical"]))


MONTHS = [f"{year}-{month:02d}" for year in (2010, 2011, 2012) for month in range(1, 13)]


@pytest.mark.parametrize(
    ("cells", "advice"),
    [
        (
            MONTHS,
            r" \(all cells of column 'a' can be read as dates, such as '2010-01'.*'a=datetime'",
        ),
        ([f"555-{i:04d}" for i in range(36)], "$"),
        ([f"{i}-{i + 9}" for i in range(36)], "$"),
        ([f"{i + 10}-" for i in range(36)], r" \(all cells of column 'a' are digits.*'a=real'"),
    ],
)
def test_the_advice_for_a_column_that_is_left_out_can_be_followed(
    cells: list[str], advice: str
) -> None:
    frame = pd.DataFrame({"a": cells, "x": np.arange(36.0) % 7 / 3})
    with pytest.warns(
        UserWarning, match=f"^column 'a': .* it identifies rows and is left out{advice}"
    ):
        load(frame)


def test_the_kind_that_is_advised_for_months_is_right() -> None:
    frame = pd.DataFrame({"a": MONTHS, "x": np.arange(36.0) % 7 / 3})
    assert load(frame, kinds={"a": "datetime"}).schema.columns[0].format == "%Y-%m"


def test_several_columns_that_identify_rows_are_named_in_the_plural() -> None:
    names = {name: [f"{name}{i}" for i in range(36)] for name in "ab"}
    frame = pd.DataFrame({**names, "x": np.arange(36.0) % 7 / 3})
    with pytest.warns(UserWarning, match="columns 'a', 'b': .* they identify rows and are left"):
        load(frame)
    with (
        pytest.warns(UserWarning, match="they identify rows"),
        pytest.raises(DataError, match="columns 'a', 'b' identify rows"),
    ):
        load(frame[["a", "b"]])


def test_a_level_that_is_new_counts_as_missing_and_is_named() -> None:
    frame = pd.DataFrame({"a": ["x", "y", "z", "x"] * 5, "b": np.arange(20.0) ** 2})
    schema = load(frame).schema
    new = pd.DataFrame({"a": ["x", "w"], "b": [1.0, 2.0]})
    with pytest.warns(UserWarning, match="column 'a' has levels .* not fitted on: 'w'; they count"):
        dataset = load(new, schema=schema)
    assert dataset.observed is not None
    assert dataset.observed.tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("many", r"column 'b' holds numbers, but not in row 1, counted from 0 \(row 1: 'many'\)"),
        (np.inf, "column 'b' has inf in row 1"),
    ],
)
def test_values_of_another_kind_are_named(value: Any, words: str) -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 10, "b": np.arange(20.0) ** 2})
    schema = load(frame).schema
    wrong = frame.astype({"b": object})
    wrong.loc[1, "b"] = value
    with pytest.raises(DataError, match=words):
        load(wrong, schema=schema)
    with pytest.raises(DataError, match="column 'b'"):
        load(wrong)


@pytest.mark.parametrize(
    ("kind", "value"), [("positive", -3.0), ("positive", 0.0), ("bounded", 1.0)]
)
def test_a_value_beyond_the_bounds_is_named_and_next_to_impossible(kind: str, value: float) -> None:
    frame = table()[[kind, "real"]]
    schema = read(frame).schema
    place = [column.name for column in schema.columns].index(kind)
    with pytest.warns(UserWarning, match=f"column '{kind}' held .* but not in row 7, counted"):
        dataset = load(
            frame.assign(**{kind: frame[kind].mask(frame.index == 7, value)}), schema=schema
        )
    assert abs(float(dataset.x[7, place])) == HIGHEST
    assert torch.isfinite(dataset.x).all()
    assert torch.isfinite(dataset.log_jacobian(mass=False)).all()


def test_counts_are_whole_and_not_negative() -> None:
    frame = pd.DataFrame({"n": np.random.default_rng(0).poisson(5, 200) ** 2})
    frame["m"] = np.random.default_rng(1).normal(size=200)
    schema = load(frame, kinds={"n": "count"}).schema
    with pytest.raises(DataError, match="column 'n' holds counts, but not in rows 0, 1"):
        load(frame.assign(n=-1), schema=schema)


def test_codes_among_numbers_are_levels_and_a_typing_error_is_not() -> None:
    random = np.random.default_rng(0)
    codes = random.choice(["250", "401.9", "V57", "E909", "V58", "E880", "V45", "428"], 300)
    assert understood(pd.Series(codes, name="diagnosis")).kind == "categorical"
    courses = [f"{number}{part}" for number in range(180, 200) for part in ("", "A", "DH")]
    assert understood(pd.Series([*courses * 3, "A"], name="course")).kind == "categorical"
    with pytest.raises(DataError, match="holds numbers, but not in row"):
        understood(pd.Series([*map(str, range(40)), *"ABCDEF", *"123456A"], name="n"))
    numbers = pd.Series(random.normal(size=300).round(3).astype(str), name="n")
    numbers.iloc[17] = "o.5"
    with pytest.raises(DataError, match=r"not in row 17, counted from 0 \(row 17: 'o.5'\)"):
        understood(numbers)


def test_an_all_missing_row_is_read_and_a_table_without_values_is_refused() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0, 4.5], "b": [2.0, np.nan, 1.0, 7.0]})
    dataset = load(frame)
    assert dataset.observed is not None
    assert dataset.observed[1].tolist() == [False, False]
    with pytest.raises(DataError, match="no column varies"):
        load(pd.DataFrame({"a": [np.nan] * 4, "b": [np.nan] * 4}))


@pytest.mark.parametrize("dtype", ["float64", "Float64", "object", "string"])
def test_every_way_of_writing_a_missing_number_is_understood(dtype: str) -> None:
    values = pd.Series([1.5, None, 2.5, 4.0, -1.0]).astype(dtype)
    dataset = load(pd.DataFrame({"a": values, "b": [3.0, 1.0, 4.0, 1.5, 9.0]}))
    assert dataset.observed is not None
    assert dataset.observed[:, 0].tolist() == [True, False, True, True, True]
    found = to_frame(dataset.schema, dataset.x)["a"].astype(float)
    np.testing.assert_allclose(np.delete(found, 1), [1.5, 2.5, 4.0, -1.0])


@pytest.mark.slow
def test_many_levels_are_read_quickly() -> None:
    levels = np.array([f"user {i}" for i in range(50_000)])
    names = np.random.default_rng(0).choice(levels, 200_000)
    frame = pd.DataFrame({"who": names, "n": np.random.default_rng(1).normal(size=200_000)})
    dataset = load(frame)
    assert dataset.schema.columns[0].kind == "categorical"
    assert (to_frame(dataset.schema, dataset.x[:100])["who"] == frame["who"][:100]).all()


def test_a_constant_column_of_text_is_put_back() -> None:
    frame = pd.DataFrame({"unit": ["mg"] * 6, "b": [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]})
    with pytest.warns(UserWarning, match="no variation in column 'unit'"):
        dataset = load(frame)
    assert dataset.schema.event_shape == (1,)
    assert to_frame(dataset.schema, dataset.x)["unit"].tolist() == ["mg"] * 6


def test_a_column_says_what_it_is() -> None:
    assert Column("a").affine
    assert not Column("a", kind="positive").affine
    assert not Column("a", kind="identifier").modeled


@pytest.mark.parametrize("cells", [[[1], [2], [3]], ["x", [1], "y"]])
def test_cells_of_other_types_are_named(cells: list[Any]) -> None:
    with pytest.raises(DataError, match=r"'b' has cells such as \[1\]; only numbers, text, dates"):
        load(pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": cells}))


def test_truth_values_with_missing_cells_stay_truth_values() -> None:
    """As pandas reads TRUE, FALSE and blanks from a file."""
    series = pd.Series([True, False, None, True] * 5, name="flag", dtype=object)
    column = recognized(series)
    assert (column.kind, column.dtype, column.levels) == ("binary", "bool", (False, True))
    assert list(column.rules.typed(np.array([1.0, 0.0]))) == [True, False]


@pytest.mark.parametrize("kind", ["Float64", "double[pyarrow]", "halffloat[pyarrow]"])
def test_not_a_number_beside_a_missing_cell_is_missing_too(kind: str) -> None:
    values = np.linspace(0.0, 1.0, 40)
    if kind == "Float64":
        gone = np.arange(40) == 3
        cells: Any = pd.arrays.FloatingArray(np.where(np.arange(40) == 7, np.nan, values), gone)
    else:
        wide = pd.api.types.pandas_dtype(kind)
        held = [None if row == 3 else np.float16(value) for row, value in enumerate(values)]
        held[7] = np.float16("nan")
        cells = pd.array(pa.array(held, pa.float16()).cast(wide.pyarrow_dtype), dtype=wide)
    series = pd.Series(cells, name="c")
    assert series.isna().sum() < 2  # pandas does not count it
    assert np.flatnonzero(missing(series)).tolist() == [3, 7]
    frame = pd.DataFrame({"c": series, "d": values})
    dataset = load(frame)
    assert dataset.observed is not None
    assert np.flatnonzero(~dataset.observed[:, 0]).tolist() == [3, 7]
    low, high = dataset.schema.columns[0].observed or (np.nan, np.nan)
    assert (low, high) == (0.0, 1.0)
    drawn = TableForm.learn(frame, dataset.schema).frame(
        dataset.schema, {"c": np.where(np.arange(40) < 3, np.nan, values), "d": values}, 40
    )
    assert drawn.dtypes.to_dict() == frame.dtypes.to_dict()
    assert drawn["c"].isna().sum() == 3


def test_few_numbers_and_repeated_texts_are_levels() -> None:
    births = pd.Series(["0", "1", "2", "3+", "1", "3+", "."] * 9, name="births")
    with pytest.warns(
        UserWarning, match=r"'births' has '3\+' beside few whole numbers: all are lev"
    ):
        found = recognized(births)
    assert (found.kind, found.levels) == ("categorical", ("0", "1", "2", "3+"))


@pytest.mark.parametrize(
    "cells",
    [
        ["0", "1", "2"] * 9 + ["x"],  # once, which may be a mistake
        ["0", "1", "2", "x", "x"],  # too few rows
        [*map(str, range(30)), *map(str, range(30)), *["x"] * 9],
        ["0.5", "1", "2", "x"] * 9,
    ],
)
def test_texts_beside_other_numbers_are_refused(cells: list[str]) -> None:
    with pytest.raises(DataError, match="holds numbers, but not in row"):
        recognized(pd.Series(cells, name="births"))


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("obs", range(1, 41), True),
        ("obs", range(40, 0, -1), True),
        ("Unnamed: 0", [*range(20, 40), *range(20)], True),  # rows in another order
        ("Unnamed: 0", range(0, 120, 3), True),  # of some rows of a larger table
        ("rownames", range(0, 120, 3), True),
        ("row", range(0, 120, 3), False),
        ("rank", [*range(20, 40), *range(20)], False),
        ("Year", range(1970, 2010), False),
        ("birth_year", range(1970, 2010), False),
        ("age", range(40), False),
        ("year_id", range(1970, 2010), True),
    ],
)
def test_whole_numbers_that_count_up_identify_rows(name: str, cells: Any, expected: bool) -> None:
    assert (recognized(pd.Series([*cells], name=name)).kind == "identifier") == expected
