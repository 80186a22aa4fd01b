"""Durations and times of day as numbers of seconds, and back."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from lowerbound.data.columns.durations import (
    FEWEST,
    TEXTS,
    _seconds,
    clock_of,
    in_type,
    seconds,
    texts,
)

SPANS = st.lists(st.integers(-(10**10), 10**10), min_size=1, max_size=9)  # microseconds


def of(cells: Sequence[Any]) -> pd.Series:
    return pd.Series(cells, dtype=object)


@pytest.mark.parametrize("clock", TEXTS)
@given(spans=SPANS)
def test_text_is_read_as_it_was_written(clock: str, spans: list[int]) -> None:
    values = np.array(spans) / 1e6
    step = 86_400.0 if clock == "whole days" else 60.0 if clock.endswith(":mm") else 1e-6
    found = seconds(of(texts(values, clock, 6)))
    np.testing.assert_allclose(found, values, rtol=0, atol=0.5 * step + 1e-9)


@given(spans=SPANS)
def test_days_are_those_of_pandas(spans: list[int]) -> None:
    """The oracle is pandas' own text and parser, for negative durations too."""
    theirs = pd.Series(pd.to_timedelta(spans, unit="us"))
    np.testing.assert_allclose(seconds(theirs), np.array(spans) / 1e6, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        seconds(of(theirs.astype(str))), np.array(spans) / 1e6, rtol=0, atol=1e-6
    )
    back = pd.to_timedelta(of(texts(np.array(spans) / 1e6, "days", 6)))
    assert (abs(back - theirs) <= pd.Timedelta("1us")).all()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([f"{row}:05" for row in range(30)], ("h:mm", 0)),
        ([f"{row:02d}:05" for row in range(24)], ("hh:mm", 0)),
        ([f"{row}:05:07" for row in range(30)], ("h:mm:ss", 0)),
        ([f"{row:02d}:05:07.25" for row in range(30)], ("hh:mm:ss", 2)),
        ([f"{row} days 00:05:07" for row in range(30)], ("days", 0)),
        ([f"{row} days" for row in range(30)], ("whole days", 0)),
        (["", "?", *(f"{row}:05" for row in range(30))], ("h:mm", 0)),
        ([f"{row}:05" for row in range(FEWEST - 1)], None),  # levels
        ([f"{row}:65" for row in range(30)], None),
        ([f"{row}:9" for row in range(30)], None),
        ([f"AB{row}:05" for row in range(30)], None),
        ([*(f"{row}:05" for row in range(30)), "1:02:03"], None),
        ([*range(30)], None),
        ([], None),
    ],
)
def test_forms_of_text(cells: list[Any], expected: tuple[str, int] | None) -> None:
    assert clock_of(of(cells)) == expected


def test_types_are_recognized() -> None:
    spans = pd.Series(pd.to_timedelta([1, None], unit="s"))
    assert clock_of(spans) == (str(spans.dtype), 0)
    assert clock_of(of([datetime.timedelta(seconds=1), None])) == ("timedelta64[ns]", 0)
    assert clock_of(of([datetime.time(1, 2), None])) == ("time", 0)


def test_types_come_back_and_missing_cells_stay() -> None:
    spans = pd.Series(pd.to_timedelta([90, None, -3], unit="s"), index=[4, 5, 6], name="wait")
    pd.testing.assert_series_equal(
        in_type(pd.Series(seconds(spans), spans.index, name="wait"), str(spans.dtype)), spans
    )
    times = of([datetime.time(23, 59, 59, 250_000), None, datetime.time(0, 0)])
    assert in_type(pd.Series(seconds(times)), "time").tolist() == times.tolist()
    late = in_type(pd.Series([90_000.0, -1.0]), "time").tolist()
    assert late == [datetime.time(23, 59, 59, 999_999), datetime.time(0, 0)]


def test_cells_of_numpy_and_of_python_are_seconds() -> None:
    cells = pd.Series([None, None, None], dtype=object)
    cells[:] = [np.timedelta64(90, "s"), datetime.timedelta(minutes=2), datetime.time(1, 0, 5)]
    assert isinstance(cells[0], np.timedelta64 | datetime.timedelta)
    np.testing.assert_array_equal(seconds(cells), [90.0, 120.0, 3605.0])
    assert _seconds(np.timedelta64(90, "s")) == 90.0


def test_other_cells_are_no_durations() -> None:
    assert np.isnan(seconds(of(["1:60", "soon", None, "1:2", "1:02:03:04", "-"]))).all()
    assert seconds(of([3, 2.5])).tolist() == [3.0, 2.5]


def test_all_cells_of_a_column_of_durations_are_durations() -> None:
    cells = [f"{hour}:{minute:02d}" for hour in range(9, 20) for minute in range(60)]
    assert clock_of(of(cells)) == ("h:mm", 0)
    assert clock_of(of([*cells, "none at all"])) is None
    assert clock_of(of([*cells, "9:00:30.25"])) is None
