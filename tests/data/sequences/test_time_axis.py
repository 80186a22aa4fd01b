"""Columns of a series that only give the time of each point."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError

POINTS = 60
WINDOWS = Windows(6, 2)


def series(times: object) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=POINTS)
    return pd.DataFrame({"time": times, "value": values})


def every(minutes: int) -> pd.Series:
    return pd.Series(pd.date_range("2020-01-31 22:00", periods=POINTS, freq=f"{minutes}min"))


def names(schema: Schema) -> set[str]:
    return {column.name.partition("@")[0] for column in schema.columns}


@pytest.mark.parametrize("written", [True, False], ids=["text", "dates"])
def test_dates_are_left_out(written: bool) -> None:
    times = every(5).astype(str) if written else every(5)
    with pytest.warns(UserWarning, match=r"^column 'time' gives the time of each point: .* out$"):
        schema = load(series(times), windows=WINDOWS).schema
    assert names(schema) == {"value"}
    later = series(every(5) + pd.Timedelta(days=90))
    assert len(load(later, schema=schema)) == len(WINDOWS.starts(POINTS))


@pytest.mark.parametrize("step", [10, 0.1])
def test_a_counter_is_left_out(step: float) -> None:
    with pytest.warns(UserWarning, match="column 'time' counts the points"):
        assert names(load(series(np.arange(POINTS) * step), windows=WINDOWS).schema) == {"value"}


def test_other_columns_stay() -> None:
    total = np.random.default_rng(1).poisson(3.0, POINTS).cumsum()  # grows by several steps
    day = pd.Series(["2020-01-01", "2020-01-02", "2020-01-05"] * (POINTS // 3))  # dates that repeat
    frame = series(total).assign(day=day)
    assert names(load(frame, windows=WINDOWS).schema) == {"time", "value", "day"}


def test_a_given_kind_is_kept() -> None:
    schema = load(series(every(5)), windows=WINDOWS, kinds={"time": "datetime"}).schema
    assert names(schema) == {"time", "value"}


def test_gaps_are_named() -> None:
    times = every(5)
    times[POINTS // 2 :] += pd.Timedelta(days=3)
    found = (
        r"In 2 of 28 windows a step differs from the usual one of 5 minutes \(the .* 3.003 days\)"
    )
    with pytest.warns(UserWarning, match=found):
        load(series(times), windows=WINDOWS)


def test_rows_out_of_order_are_named() -> None:
    times = every(60).sample(frac=1, random_state=0).reset_index(drop=True)
    with pytest.warns(UserWarning, match=r"do not ascend in \d+ of 28 windows: .* sort the rows"):
        load(series(times), windows=WINDOWS)


def test_a_series_of_times_only_is_refused() -> None:
    with (
        pytest.warns(UserWarning, match="gives the time"),
        pytest.raises(DataError, match="column 'time' only gives the time, and no column"),
    ):
        load(series(every(5))[["time"]], windows=WINDOWS)


def test_rows_that_are_read_later_are_checked_too() -> None:
    with pytest.warns(UserWarning, match="the model leaves it out"):
        schema = load(series(every(5)), windows=WINDOWS).schema
    with pytest.warns(UserWarning, match="'time' gives the time of each point. Its times do not"):
        load(series(every(5)[::-1].to_numpy()), schema=schema)
    load(series(every(5).astype(str)).drop(columns="time"), schema=schema)
