"""One format per column of dates: found from all its cells, kept in the schema, written again."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound import TableSynthesizer
from lowerbound.applications.fit.understanding import about_data
from lowerbound.data import Schema, load, to_frame
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import understood
from lowerbound.data.columns.text.date_formats import (
    MOST_COMPARED,
    as_text,
    as_written,
    in_strptime,
)
from lowerbound.data.columns.text.dates import closest_format, formats
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


WRITTEN = [  # (written, its format, the same in the directives of strptime)
    (lambda day: f"{day.month}/{day.day}/{day.year}", "%-m/%-d/%Y", "%m/%d/%Y"),
    (lambda day: f"{day.day}.{day:%m.%Y}", "%-d.%m.%Y", "%d.%m.%Y"),
    (lambda day: f"{day.day}.{day.month}.{day:%Y} {day.hour}:{day:%M}", "%-d.%-m.%Y %-H:%M", None),
    (lambda day: f"{day:%d/%m/%Y} {day.hour % 12 or 12}:{day:%M %p}", "%d/%m/%Y %-I:%M %p", None),
    (lambda day: f"{day:%d/%m/%Y %I:%M %p}".lower(), "%d/%m/%Y %I:%M %P", "%d/%m/%Y %I:%M %p"),
    (lambda day: f"{day:%d/%m/%Y} {day.hour % 12 or 12}:{day:%M%p}", "%d/%m/%Y %-I:%M%p", None),
    (lambda day: f"{day:%d.%m.%Y %I:%M:%S%p}".lower(), "%d.%m.%Y %I:%M:%S%P", None),
    (lambda day: f"{day:%d-%b-%y}".upper(), "%d-%^b-%y", "%d-%b-%y"),
    (lambda day: f"{day:%d%b%Y}", "%d%b%Y", "%d%b%Y"),
    (lambda day: f"{day.day} {day:%B %Y}", "%-d %B %Y", "%d %B %Y"),
    (lambda day: f"{day:%b %d, %Y}", "%b %d, %Y", "%b %d, %Y"),
    (lambda day: f"{day:%d/%b/%Y:%H:%M:%S} +0000", "%d/%b/%Y:%H:%M:%S %z", None),
    (lambda day: f"{day:%a, %d %b %Y %H:%M:%S} GMT", "%a, %d %b %Y %H:%M:%S GMT", None),
    (lambda day: f"{day:%Y-%m-%dT%H:%M:%S}.250Z", "%Y-%m-%dT%H:%M:%S.%3fZ", None),
    (lambda day: f"{day:%Y-%m-%d %H:%M}-03:30", "%Y-%m-%d %H:%M%-03:30", "%Y-%m-%d %H:%M%z"),
    (lambda day: int(f"{day:%Y%m%d}"), "%Y%m%d", "%Y%m%d"),
    (lambda day: int(f"{day:%Y%m%d%H%M}"), "%Y%m%d%H%M", "%Y%m%d%H%M"),
    (lambda day: int(f"{day:%Y%m%d%H%M%S}"), "%Y%m%d%H%M%S", "%Y%m%d%H%M%S"),
]


@pytest.mark.parametrize(("written", "format", "read"), WRITTEN, ids=lambda each: str(each)[:24])
def test_dates_come_back_as_people_and_programs_write_them(
    written: Any, format: str, read: str | None
) -> None:
    moments = pd.Timestamp("1999-01-15") + pd.to_timedelta(np.arange(60) * 2_011, "min")
    given = pd.Series([written(day) for day in moments])
    data = quietly(table(given))
    column = data.schema.columns[0]
    assert (column.kind, column.format) == ("datetime", format)
    assert to_frame(data.schema, data.x)["visit"].tolist() == given.tolist()
    if read is not None:
        assert in_strptime(format) == read
        said = quietly(table(given), kinds={"visit": f"datetime:{read}"})
        assert said.schema.columns[0].format == format
    lacking = given.astype(object).where(np.arange(60) != 3)
    holed = quietly(table(lacking), missing="model")
    assert holed.schema.columns[0].format == format
    back = to_frame(holed.schema, holed.x.masked_fill(~holed.observed, np.nan))["visit"]
    assert back.isna().tolist() == lacking.isna().tolist()
    assert back.drop(3).astype(given.dtype).tolist() == given.drop(3).tolist()


def test_an_offset_is_that_of_the_clock_times_that_are_written() -> None:
    """The same instants, in the offset of the first cell."""
    given = ["2024-03-30 10:00:00+01:00", "2024-04-01 10:00:00+02:00", "2024-04-02 00:30:00+02:00"]
    data = quietly(table(given * 10))
    exact = pd.to_datetime(pd.Series(given * 10), utc=True)
    seconds = (exact - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    np.testing.assert_array_equal(data.schema.decode(data.x)[:, 0], seconds)
    back = pd.to_datetime(to_frame(data.schema, data.x)["visit"], utc=True)
    assert (back == exact).all()
    assert as_text(np.array([0.0, np.nan]), "%H:%M%-03:30", 0).tolist()[0] == "20:30-03:30"


@pytest.mark.parametrize(
    ("fraction", "offset"),
    [("", "+02"), ("", "+00"), (".1", "+02"), (".0000000", "+02:00"), (".5", "-03:30")],
)
def test_an_offset_stays_whatever_the_digits_before_it(fraction: str, offset: str) -> None:
    given = pd.Series([f"{day:%Y-%m-%dT%H:%M:%S}{fraction}{offset}" for day in TIMES])
    data = quietly(table(given))
    seconds = "%S.%f" if fraction else "%S"
    assert data.schema.columns[0].format == f"%Y-%m-%dT%H:%M:{seconds}%{offset}"
    back = to_frame(data.schema, data.x)["visit"]
    assert all(text.endswith(offset) for text in back)
    assert (pd.to_datetime(back, utc=True) == pd.to_datetime(given, utc=True)).all()


def test_numbers_that_are_no_dates_stay_numbers() -> None:
    days = DAYS.dt.strftime("%Y%m%d").astype(int)
    for wrong in (0, 99_999_999, 20_240_230, -20_240_101):
        numbers = days.where(np.arange(60) != 7, wrong)
        assert quietly(table(numbers)).schema.columns[0].kind != "datetime"
    assert quietly(table(days.head(19))).schema.columns[0].kind != "datetime"
    assert quietly(table(days + 0.5)).schema.columns[0].kind != "datetime"


def test_later_numbers_that_are_no_dates_are_missing_and_count_as_odd() -> None:
    days = DAYS.dt.strftime("%Y%m%d").astype(int)
    schema = quietly(table(days)).schema
    later = days.where(~np.isin(np.arange(60), [2, 5]), [0, 0, 0, 0, 0, 20_240_230] * 10)
    with pytest.warns(UserWarning, match="has numbers that are no dates: 0, 20240230"):
        data = load(table(later), schema=schema)
    assert data.observed is not None
    assert np.flatnonzero(~data.observed[:, 0].numpy()).tolist() == [2, 5]
    assert np.flatnonzero(schema.columns[0].rules.unseen(later)).tolist() == [2, 5]


def test_numbers_are_refused_where_the_fitted_dates_are_text() -> None:
    schema = quietly(table(DAYS.dt.strftime("%Y-%m-%d")), missing="model").schema
    later = DAYS.dt.strftime("%Y%m%d").astype(int)
    with pytest.raises(
        DataError, match=r"dates written as %Y-%m-%d, but not in rows 0, 1.*19990115"
    ):
        load(table(later), schema=schema, missing="model")
    assert not schema.columns[0].rules.unseen(later).any()


def test_a_percent_sign_is_no_directive() -> None:
    values = np.array([0.0, np.nan])
    assert as_text(values, "%%-d is %-d %%", 0)[0] == "%-d is 1 %"
    assert in_strptime("%%-d is %-d%+0100") == "%%-d is %d%z"


def test_digits_that_are_text_stay_text() -> None:
    days = DAYS.dt.strftime("%Y%m%d").where(np.arange(60) != 3)
    made = TableSynthesizer(minutes=0.001, random_state=0).fit(table(days)).sample(20)["visit"]
    assert all(isinstance(day, str) and len(day) == 8 for day in made.dropna())


def test_dates_in_a_constraint_stay_dates() -> None:
    rng = np.random.default_rng(0)
    start = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 700, 60), "D")
    end = start + pd.to_timedelta(rng.integers(0, 90, 60), "D")
    both = {"start": start, "end": end}
    frame = pd.DataFrame({key: days.strftime("%Y%m%d").astype(int) for key, days in both.items()})
    model = TableSynthesizer(minutes=0.001, random_state=0, constraints=["start <= end"])
    drawn = model.fit(frame).sample(200)
    for name in both:
        pd.to_datetime(drawn[name].astype(str), format="%Y%m%d")  # all are dates
    assert (drawn["start"] <= drawn["end"]).all()


def test_text_with_the_name_of_a_month_is_no_date_unless_all_of_it_is() -> None:
    cells = [f"{day} march {1990 + day} in Berlin" for day in range(1, 20)] + ["may 5"]
    assert quietly(table(cells * 3)).schema.columns[0].kind != "datetime"


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
    assert in_strptime(str(said.schema.columns[0].format)) == other
    exact = pd.to_datetime(pd.Series(given * 10), format=other)
    seconds = (exact - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    np.testing.assert_array_equal(said.schema.decode(said.x)[:, 0], seconds)


def test_no_note_where_every_reading_is_the_same_date() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        equal = load(table(["05/05/2024", "06/06/2024"] * 10))
        year_first = load(table(["2024-05-06", "2024-06-07"] * 10))
    assert equal.schema.columns[0].format == "%m/%d/%Y"
    assert year_first.schema.columns[0].format == "%Y-%m-%d"


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
    assert "column 'visit' holds dates written as %d/%m/%Y, but not in row 70" in str(raised.value)
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


def test_a_format_fits_all_cells_and_not_only_the_first_ones() -> None:
    doubtful = [
        f"{day:02d}/{month:02d}/{year}"
        for year in range(1990, 2000)
        for month in range(1, 13)
        for day in range(1, 4)
    ]
    assert len(doubtful) > MOST_COMPARED
    assert formats(doubtful)[0] == "%m/%d/%Y"
    assert formats([*doubtful, "13/05/2024"]) == ["%d/%m/%Y"]
    assert formats([*doubtful, "no date"]) == []


def test_a_form_is_that_of_most_cells_and_not_only_of_the_first_ones() -> None:
    minutes = pd.date_range("2024-05-10 10:00", periods=800, freq="min")
    morning = pd.date_range("2024-05-11 01:00", periods=500, freq="min")
    cells = minutes.append(morning).strftime("%d/%m/%Y %-H:%M").tolist()
    assert len(cells[0]) == len(cells[MOST_COMPARED])
    assert as_written("%d/%m/%Y %H:%M", cells) == "%d/%m/%Y %-H:%M"


def test_the_closest_format_fits_the_most_cells() -> None:
    cells = ["03/04/2024", *(f"{day}/04/2024" for day in range(13, 29)), "04/28/2024"]
    assert closest_format(cells) == "%d/%m/%Y"


def test_only_dates_without_a_zone_are_in_the_zone_of_the_column() -> None:
    zone = "Asia/Tokyo"
    days = pd.Series(pd.date_range("2024-01-01", periods=50, freq="h", tz=zone))
    (column,) = load(pd.DataFrame({"when": days}), kinds="infer").schema.columns
    local = pd.Timestamp("2024-03-01 10:00")
    for given in (local, local.tz_localize(zone), local.tz_localize(zone).tz_convert("UTC")):
        (found,) = column.rules.localized(pd.Series([given], name="when"))
        assert pd.Timestamp(found) == local.tz_localize(zone)
