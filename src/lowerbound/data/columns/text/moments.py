"""Dates as seconds since 1970: from cells of any type, with time zones, and back to dates."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array

DAY = 86_400  # seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999
_NEAR = (-9.2e9, 9.2e9)  # seconds that fit into nanoseconds of 64 bits
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_UNITS = {"day": DAY, "hour": 3_600, "minute": 60, "second": 1}
_ZONE = r"(?:Z|UTC|:\d\d(?:\.\d+)?\s*[+-]\d\d(?::?\d\d)?)\s*$"


def moment(found: date) -> float:
    """Seconds since 1970 of a date or a time of the standard library; without a zone in UTC."""
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    zoned = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return (zoned - _EPOCH).total_seconds()


def is_date_type(dtype: Any) -> bool:
    """Whether a pandas type is one of dates, or of periods such as months."""
    import pandas as pd

    dates = pd.api.types.is_datetime64_any_dtype(dtype)
    return bool(dates or isinstance(dtype, pd.PeriodDtype))


def of_cells(series: Any) -> Array:
    """Seconds since 1970 of a pandas series of dates of any type, float64; NaN if missing.

    A period counts as the moment at which it begins.
    """
    import pandas as pd

    if isinstance(series.dtype, pd.PeriodDtype):
        series = series.dt.to_timestamp()
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


def rounding(values: Array) -> int:
    """The longest of day, hour, minute and second, in seconds, that divides all values; else 0.

    Args:
        values: seconds since 1970.
    """
    return next((step for step in _UNITS.values() if not np.any(values % step)), 0)


def rounded(values: Array, round_to: int) -> Array:
    """Round seconds to the nearest multiple of ``round_to``; 0: unrounded."""
    return values if not round_to else np.asarray(np.rint(values / round_to) * round_to)


def as_dates(values: Array, round_to: int) -> Any:
    """A pandas series of dates without a zone, rounded to ``round_to`` seconds; 0: unrounded."""
    import pandas as pd

    inside = np.clip(rounded(values, round_to), _FIRST, _LAST)
    gone = np.isnan(inside)
    whole = np.where(gone, 0, np.round(inside * 1e6)).astype(np.int64)
    dates = np.where(gone, np.datetime64("NaT", "us"), whole.astype("datetime64[us]"))
    near = bool(((inside > _NEAR[0]) & (inside < _NEAR[1]) | gone).all())
    return pd.Series(dates.astype("datetime64[ns]") if near else dates)


def in_time(seconds: float) -> str:
    """A span of time in the largest unit of which it has one, such as "185 days"."""
    units = list(_UNITS.items())
    unit, size = next((one for one in units if seconds >= one[1]), units[-1])
    number = f"{seconds / size:.4g}"
    return f"{number} {unit}{'s' * (number != '1')}"
