"""One format per column of dates: found from all its cells, kept in the schema, written again."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.fit.understanding import about_data
from lowerbound.data import Schema, load, to_frame
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import understood
from lowerbound.errors import DataError, OptionError

DAYS = pd.Series(pd.Timestamp("1999-01-15") + pd.to_timedelta(np.arange(60), "D"))
TIMES = DAYS + pd.to_timedelta(np.arange(60) * 61, "s")

FORMATS = [
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d/%m/%y",
    "%m/%d/%y",
    "%y-%m-%d",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S",
]


def quietly(frame: pd.DataFrame, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(frame, **options)


def table(days: Any) -> pd.DataFrame:
    return pd.DataFrame({"visit": days, "size": np.random.default_rng(0).normal(size=len(days))})


@pytest.mark.parametrize("format", FORMATS)
def test_every_date_is_read_by_one_format_and_written_by_it(format: str) -> None:
    given = (TIMES if "%S" in format else DAYS).dt.strftime(format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no choice is left: some days are after the twelfth
        data = load(table(given))
    column = data.schema.columns[0]
    assert (column.kind, column.format) == ("datetime", format)
    assert column.round_to == (1 if "%S" in format else 86_400)
    exact = pd.to_datetime(given, format=format)
    values = data.schema.decode(data.x)[:, 0]
    np.testing.assert_array_equal(values, (exact - pd.Timestamp(0)) / pd.Timedelta(seconds=1))
    for rounded in (True, False):
        assert to_frame(data.schema, data.x, rounded)["visit"].tolist() == given.tolist()


@pytest.mark.parametrize(
    ("given", "first", "other"),
    [
        (["05/10/2024", "06/11/2024", "07/12/2024"], "%m/%d/%Y", "%d/%m/%Y"),
        (["5.10.2024", "6.11.2024", "7.12.2024"], "%d.%m.%Y", "%m.%d.%Y"),
        (["05/10/99", "06/11/99", "07/12/99"], "%m/%d/%y", "%d/%m/%y"),
        (["24-05-10", "24-06-11", "24-07-12"], "%d-%m-%y", "%y-%m-%d"),
        (["05/10/2024 9:30 PM", "06/11/2024 8:10 AM"], "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M %p"),
    ],
)
def test_where_two_formats_fit_a_note_says_which_is_taken_and_how_to_say_otherwise(
    given: list[str], first: str, other: str
) -> None:
    with pytest.warns(UserWarning, match="column 'visit': its dates fit") as notes:
        data = load(table(given * 10))
    assert f"read as {first}; if that is wrong, use --kind " in str(notes[0].message)
    assert f"visit=datetime:{other}" in str(notes[0].message)
    assert f"dates of visit are read as {first} (" in "\n".join(about_data(data))
    said = quietly(table(given * 10), kinds={"visit": f"datetime:{other}"})
    assert said.schema.columns[0].format == other
    exact = pd.to_datetime(pd.Series(given * 10), format=other)
    seconds = (exact - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    np.testing.assert_array_equal(said.schema.decode(said.x)[:, 0], seconds)


def test_no_note_where_every_reading_is_the_same_date() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(table(["05/05/2024", "06/06/2024"] * 10))
        load(table(["2024-05-06", "2024-06-07"] * 10))


def test_iso_dates_of_several_lengths_are_dates() -> None:
    data = load(table(["2024-01-05", "2024-01-06 10:30", "2024-01-07T10:30:15"] * 10))
    assert data.schema.columns[0].format == "ISO8601"
    back = to_frame(data.schema, data.x)["visit"]
    expected = np.array(["2024-01-05", "2024-01-06T10:30", "2024-01-07T10:30:15"], "M8[ns]")
    assert (back.to_numpy() == np.tile(expected, 10)).all()


def test_dates_of_mixed_formats_are_no_dates_unless_said_so() -> None:
    mixed = [*DAYS.dt.strftime("%d/%m/%Y")] * 2
    mixed[70] = "1999-03-05"
    assert quietly(table(mixed)).schema.columns[0].kind == "categorical"
    with pytest.raises(DataError) as raised:
        quietly(table(mixed), kinds={"visit": "datetime"})
    assert "column 'visit' holds dates written as %d/%m/%Y, but not in rows 70" in str(raised.value)
    assert "(row 70: '1999-03-05')" in str(raised.value)


def test_later_rows_in_another_format_are_refused_by_name() -> None:
    schema = load(table(DAYS.dt.strftime("%d/%m/%Y"))).schema
    with pytest.raises(DataError, match="'visit' holds dates written as %d/%m/%Y, but not in row"):
        load(table(DAYS.dt.strftime("%m/%d/%Y")), schema=schema)
    assert load(table(DAYS), schema=schema).x.shape == (60, 2)  # dates that are no text


def test_days_as_whole_numbers_are_dates_where_said_so() -> None:
    given = DAYS.dt.strftime("%Y%m%d").astype(float).where(np.arange(60) != 3)
    data = load(table(given), kinds={"visit": "datetime:%Y%m%d"})
    seconds = data.schema.decode(data.x)[:, 0]
    expected = (DAYS - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    np.testing.assert_array_equal(np.delete(seconds, 3), np.delete(expected, 3))


@pytest.mark.parametrize("format", ["%Q", "day", "%d %d", "mixed", "%1000000000d", ""])
def test_what_is_no_format_is_refused(format: str) -> None:
    with pytest.raises(OptionError, match="is not a date format"):
        load(table(DAYS.astype(str)), kinds={"visit": f"datetime:{format}"})


def test_only_dates_have_a_format() -> None:
    with pytest.raises(OptionError, match="column 'visit': only datetime has a format, not real"):
        understood(pd.Series([1.0, 2.0], name="visit"), "real:%d/%m/%Y")


def test_the_format_is_in_the_schema() -> None:
    data = load(table(DAYS.dt.strftime("%d/%m/%Y")))
    written = json.dumps(data.schema.to_mapping())
    assert Schema.from_mapping(json.loads(written)) == data.schema


def test_a_schema_without_a_format_reads_cell_by_cell_as_it_did() -> None:
    """As written before columns had a format: these keys are missing."""
    old = load(table(DAYS.dt.strftime("%d/%m/%Y"))).schema.to_mapping()
    for column in old["columns"]:
        for later in ("format", "round_to", "lattice", "observed"):
            del column[later]
    schema = Schema.from_mapping(old)
    older = {"format": None, "round_to": 0, "lattice": None, "observed": None}
    assert schema.columns[0] == Column(**{**vars(schema.columns[0]), **older})
    given = ["05/10/2024", "13/10/2024", "2024-10-05", "2024-10-05 10:30:00.5"]
    data = load(table(given), schema=schema)
    expected = pd.to_datetime(pd.Series(given), format="mixed")
    back = to_frame(schema, data.x)["visit"]
    assert ((back - expected).abs() < pd.Timedelta(milliseconds=1)).all()
