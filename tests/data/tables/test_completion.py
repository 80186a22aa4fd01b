"""Answers of windows as those of points; dates of answers have the spelling of the data."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import Column, Schema, load
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.completion import Series, completed_frame, hidden_cells


def series(windows: Windows, points: int, *named: str, **levels: list[tuple[str, ...]]) -> Series:
    """Of columns of numbers, and of levels at each time."""
    columns = [Column(at) for name in named for at in windows.columns(name)]
    for name, each in levels.items():
        at_times = zip(windows.columns(name), each, strict=True)
        columns += [Column(at, "categorical", levels=words) for at, words in at_times]
    schema = Schema("table", (len(columns),), tuple(columns), windows=windows, missing=True)
    return Series(schema, windows, points)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_cut_and_put_together_a_series_is_itself(stride: int) -> None:
    windows = Windows(3, stride)
    x = np.random.default_rng(0).normal(size=(11, 2))
    cells = windows.cut(x).transpose(0, 2, 1).reshape(-1, 6)  # as the columns of a table of windows
    together = series(windows, 11, "a", "b")
    assert [column.name for column in together.schema.columns] == ["a", "b"]
    assert together.schema.windows is None
    for exact in (True, False):
        np.testing.assert_allclose(together.answers(cells, exact), x, rtol=1e-15)
    holes = np.random.default_rng(1).random(x.shape) < 0.4
    hidden = windows.cut(holes).transpose(0, 2, 1).reshape(-1, 6)
    np.testing.assert_array_equal(together.hidden(hidden), holes)


def test_expectations_are_averaged_and_draws_come_from_one_window() -> None:
    """Every window answers with its own number for all of its cells."""
    own = np.arange(4.0)[:, None].repeat(3, 1)
    together = series(Windows(3), 6, "a")
    assert together.answers(own, exact=False)[:, 0].tolist() == [0, 0.5, 1, 2, 2.5, 3]
    # points 1 to 4 are in the middle of windows 0 to 3
    assert together.answers(own, exact=True)[:, 0].tolist() == [0, 0, 1, 2, 3, 3]


def test_levels_are_those_of_all_times() -> None:
    """elm is code 1 at the first time and code 0 at the second, where no ash was seen."""
    together = series(Windows(2), 3, town=[("ash", "elm"), ("elm", "oak")])
    assert together.schema.columns[0].levels == ("ash", "elm", "oak")
    codes = np.array([[0.0, 0.0], [1.0, 1.0]])  # ash, elm; elm, oak
    for exact in (True, False):
        assert together.answers(codes, exact)[:, 0].tolist() == [0, 1, 2]


def test_a_column_that_is_left_out_at_a_time_is_left_alone() -> None:
    windows = Windows(2)
    names = [*windows.columns("a"), "b@0"]
    schema = Schema("table", (3,), tuple(map(Column, names)), windows=windows, missing=True)
    together = Series(schema, windows, 3)
    assert [column.name for column in together.schema.columns] == ["a"]
    frame = pd.DataFrame({"a@0": [1.0, 2.0], "a@1": [2.0, 3.0], "b@0": [9.0, 9.0]})
    assert together.answers(frame.to_numpy(), exact=False).tolist() == [[1], [2], [3]]


DAYS = pd.Series(pd.date_range("2024-01-15", periods=60))
COLUMNS: dict[str, tuple[str, pd.Series, Any]] = {
    "text": ("datetime", DAYS.dt.strftime("%d/%m/%Y"), "14/02/2024"),
    "month by name": ("datetime", DAYS.dt.strftime("%d %b %Y"), "14 Feb 2024"),
    "whole numbers": ("datetime:%Y%m%d", DAYS.dt.strftime("%Y%m%d").astype(float), 20240214.0),
    "category": ("datetime", DAYS.dt.strftime("%d.%m.%Y").astype("category"), "14.02.2024"),
    "date objects": ("datetime", DAYS.dt.date.astype(object), date(2024, 2, 14)),
    "dates of Arrow": ("datetime", DAYS.dt.date.astype("date32[day][pyarrow]"), date(2024, 2, 14)),
    "months": ("datetime", DAYS.dt.to_period("M"), pd.Period("2024-02", "M")),
    "dates": ("datetime", DAYS, pd.Timestamp("2024-02-14")),
    "dates in a zone": (
        "datetime",
        DAYS.dt.tz_localize("Asia/Tokyo"),
        pd.Timestamp("2024-02-14", tz="Asia/Tokyo"),
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_hole_gets_a_date_as_the_others_are(name: str) -> None:
    kind, full, expected = COLUMNS[name]
    frame = pd.DataFrame({"day": full, "size": np.random.default_rng(0).normal(size=60)})
    frame.loc[30, "day"] = None  # 14 February
    data = load(frame, kinds={"day": kind})
    later = pd.Timestamp("2024-02-14", tz=getattr(full.dtype, "tz", None)).timestamp() + 1000.0
    answers = np.full((60, 2), later)
    out = completed_frame(frame, data.schema, answers, hidden_cells(frame, data), exact=False)
    assert out["day"].iloc[30] == expected
    seen = frame["day"].notna()
    if name != "category":  # whose answers may be no categories of it
        assert out["day"].dtype == frame["day"].dtype
    assert out["day"][seen].tolist() == frame["day"][seen].tolist()


@pytest.mark.parametrize("name", ["text", "month by name", "category"])
def test_an_empty_column_gets_dates_as_text(name: str) -> None:
    """pandas reads a column without any cell as numbers."""
    kind, full, expected = COLUMNS[name]
    frame = pd.DataFrame({"day": full, "size": np.random.default_rng(0).normal(size=60)})
    schema = load(frame, kinds={"day": kind}, missing="model").schema
    rows = frame.head(3).assign(day=np.nan)
    later = pd.Timestamp("2024-02-14").timestamp() + 1000.0
    hidden = hidden_cells(rows, load(rows, schema=schema, missing="model"))
    out = completed_frame(rows, schema, np.full((3, 2), later), hidden, exact=True)
    assert out["day"].tolist() == [expected] * 3
