"""Dates written as text: the format of a column, and conversion to seconds since 1970 and back.

A column has one format that fits all its cells. If each cell were parsed on its own, 05/10/2024 and
13/10/2024 would be parsed by different rules.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError

ISO = "ISO8601"
"""pandas' name for ISO dates of any length; also the format of dates that are not text."""

DAY = 86_400  # seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999
# pandas' nanoseconds end in 1677 and 2262
_FAR_YEAR = re.compile(r"(?<!\d)(0\d{3}|1[0-6]\d{2}|22[6-9]\d|2[3-9]\d{2}|[3-9]\d{3})")
_NEAR = (-9.2e9, 9.2e9)  # seconds that fit into nanoseconds of 64 bits
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_STEPS = (DAY, 3_600, 60, 1)
_ZONE = r"(?:Z|UTC|:\d\d(?:\.\d+)?\s*[+-]\d\d(?::?\d\d)?)\s*$"
_NUMERIC = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_ORDERS = ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%y/%m/%d")
_DOTTED = ("%d.%m.%Y", "%m.%d.%Y", "%d.%m.%y", "%m.%d.%y", "%y.%m.%d")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")


def seconds(cells: Sequence[str], format: str) -> Array:
    """Seconds since 1970, float64; NaN if a cell does not fit the format.

    Dates without a time zone are in UTC.

    Args:
        cells: text.
        format: of ``strptime``, or ``ISO``.
    """
    import pandas as pd

    texts = pd.Series(cells, dtype=object)
    with warnings.catch_warnings():
        # Python 3.13 warns of formats without a year, whose dates are in 1900 here
        warnings.filterwarnings("ignore", "Parsing dates involving a day of month")
        dates = pd.to_datetime(texts, errors="coerce", utc=True, format=format)
    found = since_1970(dates)
    for place in np.flatnonzero(np.isnan(found)).tolist():
        if _FAR_YEAR.search(str(cells[place])):
            found[place] = _far(cells[place], format)
    return found


def _far(cell: str, format: str) -> float:
    """Seconds since 1970 of a date from the year 1 to 9999; NaN if it does not fit the format."""
    try:
        found = datetime.fromisoformat(cell) if format == ISO else datetime.strptime(cell, format)
    except (ValueError, TypeError, re.error):
        return float("nan")
    return moment(found)


def moment(found: date) -> float:
    """Seconds since 1970 of a date or a time of the standard library; without a zone in UTC."""
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    zoned = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return (zoned - _EPOCH).total_seconds()


def of_cells(series: Any) -> Array:
    """Seconds since 1970 of a pandas series of dates of any type, float64; NaN if missing."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return since_1970(pd.to_datetime(series, utc=True))
    found = pd.to_datetime(series, errors="coerce", utc=True, format="mixed")
    values = since_1970(found)
    for place in np.flatnonzero(np.isnan(values)):
        cell = series.iloc[place]
        if isinstance(cell, date) and cell is not pd.NaT:
            values[place] = moment(cell)
    return values


def without_zone(series: Any) -> Array:
    """Mask of the dates that have no time zone of their own, (rows,)."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return np.full(len(series), getattr(series.dtype, "tz", None) is None)
    zoned: Array = series.astype(str).str.contains(_ZONE).to_numpy(dtype=bool)
    return ~zoned


def in_zone(values: Array, zone: Any) -> Array:
    """Seconds since 1970 of clock times in a time zone, from those of the same times in UTC.

    Of a clock time that occurs twice, when summer time ends, the first is meant; one that does not
    occur, when it begins, is set to the next that does.
    """
    clocks = as_dates(values, 0)
    if clocks.dt.unit != "ns":  # years for which zones have no rules
        return values
    first = np.ones(len(clocks), dtype=bool)
    return since_1970(clocks.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward"))


def since_1970(dates: Any) -> Array:
    """Seconds since 1970 of a pandas series of dates in UTC, float64; NaN if missing."""
    moments = dates.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    unit, steps = np.datetime_data(moments.dtype)
    count = moments.astype(np.int64).astype(np.float64) * steps / _PER_SECOND[unit]
    return np.where(np.isnat(moments), np.nan, count)


def formats(cells: Sequence[str]) -> list[str]:
    """The formats that fit every cell, the preferred one first; empty if there is none.

    If month first and day first both fit, month first is preferred, as in pandas. If dots separate
    the numbers, day first is preferred. Four leading digits are the year, before month and day.
    """
    return [each for each in _candidates(cells) if not np.isnan(seconds(cells, each)).any()]


def closest_format(cells: Sequence[str]) -> str:
    """The format that fits the most cells."""
    return min(_candidates(cells), key=lambda each: int(np.isnan(seconds(cells, each)).sum()))


def other_readings(cells: Sequence[str], found: Sequence[str]) -> list[str]:
    """The formats after the first that give other dates; empty if the year comes first."""
    if not found or found[0].startswith(("%Y", ISO)):
        return []
    first = seconds(cells, found[0])
    return [each for each in found[1:] if (seconds(cells, each) != first).any()]


def rounding(values: Array) -> int:
    """The longest of day, hour, minute and second, in seconds, that divides all values; else 0.

    Args:
        values: seconds since 1970.
    """
    return next((step for step in _STEPS if not np.any(values % step)), 0)


def as_dates(values: Array, round_to: int) -> Any:
    """A pandas series of dates without a zone, rounded to ``round_to`` seconds; 0: unrounded."""
    import pandas as pd

    inside = np.clip(rounded(values, round_to), _FIRST, _LAST)
    gone = np.isnan(inside)
    whole = np.where(gone, 0, np.round(inside * 1e6)).astype(np.int64)
    dates = np.where(gone, np.datetime64("NaT", "us"), whole.astype("datetime64[us]"))
    near = bool(((inside > _NEAR[0]) & (inside < _NEAR[1]) | gone).all())
    return pd.Series(dates.astype("datetime64[ns]") if near else dates)


def as_text(values: Array, format: str, round_to: int) -> Any:
    """Write dates in a format, as an array of objects; ISO days have no time."""
    if format == ISO:
        format = "%Y-%m-%d" if round_to == DAY else "%Y-%m-%d %H:%M:%S"
    dates = as_dates(values, round_to).dt.tz_localize("UTC")
    return dates.dt.strftime(format).to_numpy(dtype=object)


def rounded(values: Array, round_to: int) -> Array:
    """Round seconds to the nearest multiple of ``round_to``; 0: unrounded."""
    return values if not round_to else np.asarray(np.rint(values / round_to) * round_to)


def check_format(format: str) -> None:
    """Check a date format.

    Raises:
        OptionError: the format is invalid; the message names it.
    """
    try:
        usable = format == ISO or ("%" in format and bool(len(seconds(["?"], format))))
    except (ValueError, re.error) as error:
        raise OptionError(f"{format!r} is not a date format: {error}") from error
    if not usable:
        raise OptionError(f"{format!r} is not a date format; write it like %d/%m/%Y")


def _candidates(cells: Sequence[str]) -> list[str]:
    """Formats that fit the first cell, in order of preference; ``ISO`` is the last."""
    from pandas.tseries.api import guess_datetime_format

    first = cells[0] if len(cells) else ""
    found = _NUMERIC.match(first)
    orders = _DOTTED if found and found[1] == "." else _ORDERS
    dates = [order.replace("/", found[1]) for order in orders] if found else []
    explicit = [date + time for date in dates for time in _TIMES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns if the first number is above 12
        guesses = [guess_datetime_format(first, dayfirst=day_first) for day_first in (False, True)]
    named = [each for each in (*explicit, *guesses) if each]
    if first.endswith("Z"):  # strftime writes %z as +0000, not as Z
        named = [each.removesuffix("%z") + "Z" for each in named]
    return [each for each in dict.fromkeys(named) if not np.isnan(seconds([first], each))[0]] + [
        ISO
    ]
