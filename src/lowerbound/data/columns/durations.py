"""Durations and times of day: numbers of seconds, of a type of their own or written as text.

A *clock* says how a column holds them: ``timedelta64[UNIT]`` (pandas' type), ``time`` (Python's
times of day), or the form of text, one of ``TEXTS``.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.values import distinct_values, factorized

TIME = "time"
DAYS = "days"  # 1 days 02:03:04, as pandas writes timedelta
WHOLE_DAYS = "whole days"  # 3 days, as pandas writes a column of such
TEXTS = (DAYS, WHOLE_DAYS, "h:mm", "hh:mm", "h:mm:ss", "hh:mm:ss")
FEWEST = 20  # distinct texts; fewer are levels, such as the hours of a timetable
MOST_DECIMALS = 6  # of a second, as Python's types have
_DAY = 86_400
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_LAST_OF_DAY = _DAY - 10.0**-MOST_DECIMALS
_WRITTEN = re.compile(
    r"(?P<sign>[-+\u2212]?)(?=\d)(?:(?P<days>\d+) days?(?:,? \+?|$))?"
    r"(?:(?P<hours>\d+):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d)(?P<fraction>\.\d*)?)?)?"
)


def clock_of(series: Any) -> tuple[str, int] | None:
    """(clock of a column, decimals of its seconds); None: it holds no durations."""
    if clock := type_of(series):
        found = seconds(series)
        lattice = Lattice.of(found[~np.isnan(found)])
        return clock, min(lattice.decimals if lattice.step else MOST_DECIMALS, MOST_DECIMALS)
    if _mismatch(
        distinct_values(series.head(FEWEST), words=False)
    ):  # most columns of text end here
        return None
    matches = []
    for cell in distinct_values(series, words=False):
        match = _WRITTEN.fullmatch(cell.strip()) if isinstance(cell, str) else None
        if match is None:
            return None
        matches.append(match)
    return _form(matches) if len(matches) >= FEWEST else None


def _mismatch(cells: Sequence[Any]) -> bool:
    """Whether a cell is no duration."""
    return not all(isinstance(cell, str) and _WRITTEN.fullmatch(cell.strip()) for cell in cells)


def type_of(series: Any) -> str:
    """The type of durations or times of day; "" of other cells, such as text."""
    import pandas as pd

    if series.dtype.kind == "m":
        return str(series.dtype)
    if series.dtype.kind != "O":
        return ""
    kind = pd.api.types.infer_dtype(series, skipna=True)
    return {"timedelta": "timedelta64[ns]", "time": TIME}.get(kind, "")


def _form(matches: Sequence[re.Match[str]]) -> tuple[str, int] | None:
    """The form of text and its decimals; None: some cells have seconds and others do not."""
    decimals = max(len(match["fraction"] or ".") - 1 for match in matches)
    if not any(match["hours"] for match in matches):
        return WHOLE_DAYS, 0
    if any(match["days"] for match in matches):
        return DAYS, decimals
    parts = {match["seconds"] is not None for match in matches}
    if len(parts) > 1:
        return None
    hours = "hh" if all(len(match["hours"]) > 1 for match in matches) else "h"
    return hours + (":mm:ss" if parts == {True} else ":mm"), decimals


def is_written(cell: str) -> bool:
    """Whether a text is a duration or a time of day, such as 1:23:45 or 2 days 03:00:00."""
    return _WRITTEN.fullmatch(cell) is not None


def seconds(series: Any) -> Array:
    """The seconds of durations, times of day or text, float64; NaN for anything else."""
    if series.dtype.kind == "m":
        gone = series.isna().to_numpy()
        return np.where(gone, np.nan, series.dt.total_seconds().to_numpy(dtype=np.float64))
    codes, distinct = factorized(series)
    # pandas gives missing values the code -1, which selects the last entry
    found = np.array([*(_seconds(cell) for cell in distinct), math.nan], dtype=np.float64)
    return np.asarray(found[codes])


def _seconds(cell: Any) -> float:
    if isinstance(cell, np.timedelta64):
        return float(cell / np.timedelta64(1, "s"))
    if isinstance(cell, datetime.timedelta):  # pandas' NaT is none, Timedelta is one
        return cell.total_seconds()
    if isinstance(cell, datetime.time):
        return cell.hour * 3600 + cell.minute * 60 + cell.second + cell.microsecond * 1e-6
    if isinstance(cell, int | float | np.number):
        return float(cell)
    match = _WRITTEN.fullmatch(cell.strip()) if isinstance(cell, str) else None
    if match is None:
        return math.nan
    parts = [float(match[name] or 0) for name in ("hours", "minutes", "seconds", "fraction")[:3]]
    rest = 3600 * parts[0] + 60 * parts[1] + parts[2] + float((match["fraction"] or "") + "0")
    sign = -1.0 if match["sign"] in ("-", "\u2212") else 1.0
    if match["days"] is None:
        return sign * rest
    return sign * _DAY * float(match["days"]) + rest  # -1 days +23:59:50 is -10 seconds


def texts(values: Any, clock: str, decimals: int, rounded: bool = True) -> list[str]:
    """Seconds, durations or times of day as text; a missing value is empty, text stays.

    Args:
        values: one per row.
        clock: of the column; a type without a text of its own is written as pandas does.
        decimals: of the seconds.
        rounded: whether further digits are rounded; otherwise up to six are written.
    """
    import pandas as pd

    series = pd.Series(values).astype(object)
    digits = decimals if rounded else MOST_DECIMALS
    found = (cell if isinstance(cell, str) else _seconds(cell) for cell in series)
    return [
        cell if isinstance(cell, str) else "" if math.isnan(cell) else _text(cell, clock, digits)
        for cell in found
    ]


def _text(value: float, clock: str, digits: int) -> str:
    units = 10**digits
    if clock == TIME:
        value = min(max(value, 0.0), _DAY - 1 / units)
    whole = round(abs(value) * units)
    form = clock if clock in TEXTS else "hh:mm:ss" if clock == TIME else DAYS
    if form == WHOLE_DAYS:
        return f"{round(value / _DAY)} days"
    if form.endswith(":mm"):
        minutes = round(abs(value) / 60)
        text = f"{minutes // 60:0{form.count('h')}d}:{minutes % 60:02d}"
        return f"-{text}" if value < 0 and minutes else text
    sign = "-" if value < 0 and whole else ""
    days = ""
    if form == DAYS:
        count, whole = divmod(-whole if sign else whole, _DAY * units)
        days, sign = f"{count} days {'+' if count < 0 else ''}", ""
    total, part = divmod(whole, units)
    fraction = f".{part:0{digits}d}".rstrip("0").rstrip(".") if digits and part else ""
    width = 1 if form.startswith("h:") else 2
    clocked = f"{total // 3600:0{width}d}:{total // 60 % 60:02d}:{total % 60:02d}{fraction}"
    return f"{sign}{days}{clocked}"


def in_type(series: Any, clock: str) -> Any:
    """A pandas series of seconds in the type of the clock; forms of text stay seconds.

    Times of day outside the day are set to its nearer end.
    """
    import pandas as pd

    if clock in TEXTS or not pd.api.types.is_numeric_dtype(series.dtype):
        return series
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    gone = np.isnan(values)
    if clock == TIME:
        inside = np.clip(np.where(gone, 0.0, values), 0.0, _LAST_OF_DAY)
        cells = [None if hidden else _time(x) for x, hidden in zip(inside, gone, strict=True)]
        return pd.Series(cells, index=series.index, name=series.name, dtype=object)
    steps = np.rint(np.where(gone, 0.0, values) * _PER_SECOND[clock[len("timedelta64[") : -1]])
    found = pd.Series(steps.astype(np.int64).astype(clock))
    return found.mask(gone).set_axis(series.index).rename(series.name)


def _time(value: float) -> datetime.time:
    moment = datetime.datetime.min + datetime.timedelta(seconds=value)
    return moment.time()


def of_workbook(series: Any) -> Any:
    """The cells of a workbook, of which those of hh:mm:ss that pass 24 hours come as dates of 1900,
    as durations; other columns stay.

    A workbook counts days from the end of 1899, or from 1904. It formats both dates and durations
    as it is told, so that a column of times of day and such dates is durations, and so is one of
    dates of its first two months that have times.
    """
    import pandas as pd

    cells = series[series.notna()]
    types = {datetime.time, datetime.timedelta, pd.Timedelta, datetime.datetime, pd.Timestamp}
    if not len(cells) or not set(map(type, cells)) <= types:
        return series
    dates = [cell for cell in cells if isinstance(cell, datetime.datetime)]
    start = _start(dates) if dates else None
    if start is None or (len(dates) == len(cells) and not any(map(_has_time, dates))):
        return series
    return series.map(lambda cell: _since(cell, start), na_action="ignore").astype(
        "timedelta64[us]"
    )


def _has_time(moment: datetime.datetime) -> bool:
    return moment.time() != datetime.time()


def _start(dates: Sequence[datetime.datetime]) -> datetime.datetime | None:
    """The day from which a workbook counts these dates, if all are in its first two months."""
    first, last = min(dates), max(dates)
    for start in (datetime.datetime(1899, 12, 31), datetime.datetime(1904, 1, 1)):
        if start <= first and last < start + datetime.timedelta(days=60):
            return start
    return None


def _since(cell: Any, start: datetime.datetime) -> datetime.timedelta:
    if isinstance(cell, datetime.datetime):
        return cell - start
    return datetime.timedelta(seconds=_seconds(cell))
