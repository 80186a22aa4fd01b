"""Dates written as text or whole numbers: which format a column has, and seconds since 1970.

A column has one format that fits all its cells. If each cell were parsed on its own, 05/10/2024 and
13/10/2024 would be parsed by different rules. Text is read and written by the directives of
``strptime`` and a few more. Cells of any type, with time zones, become seconds, and come back as
dates.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError

DAY = 86_400  # seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999
_NEAR = (-9.2e9, 9.2e9)  # seconds that fit into nanoseconds of 64 bits
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_UNITS = {"day": DAY, "hour": 3_600, "minute": 60, "second": 1}
_ZONE = r"(?:Z|UTC|:\d\d(?:\.\d+)?\s*[+-]\d\d(?::?\d\d)?)\s*$"
ISO = "ISO8601"
"""pandas' name for ISO dates of any length; also the format of dates that are not text."""

# pandas' nanoseconds end in 1677 and 2262
_FAR_YEAR = re.compile(r"(?<!\d)(0\d{3}|1[0-6]\d{2}|22[6-9]\d|2[3-9]\d{2}|[3-9]\d{3})")
# directives that write, by ``as_text``, and those of ``strptime`` that read the same
_READ_BY = {
    "%-d": "%d",
    "%-m": "%m",
    "%-H": "%H",
    "%-I": "%I",
    "%^b": "%b",
    "%P": "%p",
    "%3f": "%f",
}
_FORMS = (  # other ways to write what the same directives read
    {"%d": "%-d", "%m": "%-m"},
    {"%d": "%-d"},
    {"%H": "%-H", "%I": "%-I"},
    {"%b": "%^b"},
    {"%p": "%P"},
    {"%f": "%3f"},
)
_OFFSET = re.compile(r"%([+-]\d\d)(?::?(\d\d))?")
_PARTS = re.compile(r"(%%|%[-^]?[A-Za-z]|%3f|%[+-]\d\d(?::?\d\d)?)")
_WRITTEN_OFFSET = re.compile(r"[+-]\d\d(:?\d\d)?$")
_UTC_OFFSET = "+0000"  # as strftime writes %z
MOST_COMPARED = 200  # cells by which a form is chosen; a format has to fit all
_NUMERIC = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_ORDERS = ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%y/%m/%d")
_DOTTED = ("%d.%m.%Y", "%m.%d.%Y", "%d.%m.%y", "%m.%d.%y", "%y.%m.%d")
_HALF_DAYS = (" %I:%M %p", " %I:%M:%S %p", " %I:%M%p", " %I:%M:%S%p")
_TIMES = ("", " %H:%M", " %H:%M:%S", *_HALF_DAYS)
_YEARS = ("%Y", "%y")
_NAMED = re.compile(r"\d{1,2}([-/. ]?)[A-Za-z]{3,9}\1\d{2,4}")  # 28-Apr-24
_NAMED_TIMES = (*_TIMES, ":%H:%M:%S %z")  # the last as web servers write it
# cells that may be dates: three numbers, or the name of a month and a day
_NUMBERS = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_MONTH = re.compile(r"(?<![a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.I)
_DAY_NUMBER = re.compile(r"(?<!\d)\d{1,2}(?!\d)")
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by the number of digits
_COMPACT_YEARS = (1800, 2200)
_LAST_COMPACT = 10**14
FEWEST_COMPACT = 20  # distinct numbers; of random ones in the range, few are dates


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


def seconds(cells: Sequence[str], format: str) -> Array:
    """Seconds since 1970, float64; NaN if a cell does not fit the format.

    Dates without a time zone are in UTC.

    Args:
        cells: text.
        format: of ``strptime`` and the directives of ``as_text``, or ``ISO``.
    """
    import pandas as pd

    format = in_strptime(format)
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


def as_text(values: Array, format: str, round_to: int) -> Any:
    """Write dates in a format, as an array of objects; ISO days have no time.

    Besides the directives of ``strftime`` there are %-d, %-m, %-H and %-I (no leading zero), %^b
    (APR), %P (pm), %3f (milliseconds) and %+02:00 or %+02 (the clock times of this offset, and the
    offset).
    """
    if format == ISO:
        format = "%Y-%m-%d" if round_to == DAY else "%Y-%m-%d %H:%M:%S"
    clock_times = rounded(values, round_to) + _offset(format)
    distinct, codes = np.unique(clock_times, return_inverse=True)
    dates = as_dates(distinct, 0).dt.tz_localize("UTC")
    present = dates[dates.notna()]
    texts = present.astype(object).map(lambda date: "")
    for part in filter(None, _PARTS.split(format)):
        texts += _by(present, part) if part[0] == "%" else part
    return texts.reindex(dates.index).to_numpy(dtype=object)[codes.reshape(np.shape(values))]


def as_written(format: str, cells: Sequence[str]) -> str:
    """The form of a format that writes most cells as they are, such as 5/3/2024, not 05/03/2024.

    Args:
        format: fits the cells.
        cells: text.
    """
    some = np.asarray(cells, dtype=object)
    if len(some) > MOST_COMPARED:  # not the first ones: of a day of the week, or of hours past nine
        some = np.random.default_rng(0).choice(some, MOST_COMPARED, replace=False)
    found = seconds(some.tolist(), format)
    offset = _WRITTEN_OFFSET.search(some[0]) if len(some) and format.endswith("%z") else None
    if offset and offset[0] != _UTC_OFFSET:  # also where no form writes the other digits
        format = _with(format, {"%z": f"%{offset[0]}"})
    forms = [format]
    for form in _FORMS:
        forms += [each for each in (_with(one, form) for one in forms) if each not in forms]
    return max(forms, key=lambda form: int((as_text(found, form, 0) == some).sum()))


def in_strptime(format: str) -> str:
    """The format in directives of ``strptime``, which read what ``as_text`` writes."""
    plain = _with(format, _READ_BY)
    return "".join("%z" if _OFFSET.fullmatch(part) else part for part in _PARTS.split(plain))


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


def _far(cell: str, format: str) -> float:
    """Seconds since 1970 of a date from the year 1 to 9999; NaN if it does not fit the format."""
    try:
        found = datetime.fromisoformat(cell) if format == ISO else datetime.strptime(cell, format)
    except (ValueError, TypeError, re.error):
        return float("nan")
    return moment(found)


def _with(format: str, directives: Mapping[str, str]) -> str:
    """The format with some directives replaced."""
    return "".join(directives.get(part, part) for part in _PARTS.split(format))


def _offset(format: str) -> int:
    """The offset of the clock times of a format, in seconds."""
    for part in _PARTS.split(format):
        if found := _OFFSET.fullmatch(part):
            hours, minutes = found.groups()
            return int(hours) * 3600 + int(f"{hours[0]}{minutes or 0}") * 60
    return 0


def _by(dates: Any, directive: str) -> Any:
    """Dates, none missing, by a directive."""
    if _OFFSET.fullmatch(directive):
        return directive[1:]
    if directive == "%^b":
        return dates.dt.strftime("%b").str.upper()
    if directive == "%P":
        return dates.dt.strftime("%p").str.lower()
    if directive == "%3f":
        return dates.dt.strftime("%f").str[:3]
    text = dates.dt.strftime(_READ_BY.get(directive, directive))
    return text.str.replace("^0", "", regex=True) if directive in _READ_BY else text


def formats(cells: Sequence[str]) -> list[str]:
    """The formats that fit every cell, the preferred one first; empty if there is none.

    If month first and day first both fit, month first is preferred, as in pandas. If dots separate
    the numbers, day first is preferred. Four leading digits are the year, before month and day.
    """
    found = _candidates(cells)
    for some in (cells[:MOST_COMPARED], cells):  # most text that is no date ends at the first
        found = [each for each in found if not np.isnan(seconds(some, each)).any()]
    return found


def closest_format(cells: Sequence[str]) -> str:
    """The format that fits the most cells."""
    return min(_candidates(cells), key=lambda each: int(np.isnan(seconds(cells, each)).sum()))


def other_readings(cells: Sequence[str], found: Sequence[str]) -> list[str]:
    """The formats after the first that give other dates; empty if the year comes first."""
    if not found or found[0].startswith(("%Y", ISO)):
        return []
    first = seconds(cells, found[0])
    return [each for each in found[1:] if (seconds(cells, each) != first).any()]


def looks_like_date(cell: str) -> bool:
    """Whether a cell has three numbers, or the name of a month, a day and a year."""
    if _NUMBERS.match(cell):
        return True
    digits = sum(map(str.isdecimal, cell))
    return digits >= 3 and bool(_MONTH.search(cell) and _DAY_NUMBER.search(cell))


def compact_format(numbers: Array, fewest: int = FEWEST_COMPACT) -> str | None:
    """The format of dates written as whole numbers, such as 20240531; None: these are no dates.

    Args:
        numbers: distinct and increasing.
        fewest: how many there must be.
    """
    if len(numbers) < fewest or not 0 < numbers[0] <= numbers[-1] < _LAST_COMPACT:
        return None
    first, last = (str(int(number)) for number in (numbers[0], numbers[-1]))
    format, (low, high) = _COMPACT.get(len(first)), _COMPACT_YEARS
    if format is None or not low <= int(first[:4]) <= int(last[:4]) <= high:
        return None
    days = numbers.astype(np.int64) // 10 ** (len(first) - 8)
    usual = (days % 100 - 1 < 31) & (days // 100 % 100 - 1 < 12) & (days % 100 > 0)
    if len(last) != len(first) or not usual.all():
        return None
    cells = numbers.astype(np.int64).astype(str).tolist()
    return None if np.isnan(seconds(cells, format)).any() else format


def _candidates(cells: Sequence[str]) -> list[str]:
    """Formats that fit the first cell, in order of preference; ``ISO`` is the last."""
    first = cells[0] if len(cells) else ""
    named = [*_explicit(first), *_guessed(first)]
    for zone, directive in (("Z", "%z"), ("GMT", "%Z"), ("UTC", "%Z")):
        if first.endswith(zone):  # strftime writes %z as +0000, and %Z as UTC
            named = [each.removesuffix(directive) + zone for each in named]
    return [each for each in dict.fromkeys(named) if not np.isnan(seconds([first], each))[0]] + [
        ISO
    ]


def _explicit(cell: str) -> list[str]:
    """Formats of dates that pandas does not guess, or guesses in one of several ways."""
    if found := _NUMERIC.match(cell):
        orders = _DOTTED if found[1] == "." else _ORDERS
        return [order.replace("/", found[1]) + time for order in orders for time in _TIMES]
    if found := _NAMED.match(cell):
        dates = [found[1].join(("%d", month, year)) for month in ("%b", "%B") for year in _YEARS]
        return [date + time for date in dates for time in _NAMED_TIMES]
    return []


def _guessed(cell: str) -> list[str]:
    """The formats that pandas guesses, with the name of May in full and as an abbreviation."""
    from pandas.tseries.api import guess_datetime_format

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns if the first number is above 12
        guesses = [guess_datetime_format(cell, dayfirst=day_first) for day_first in (False, True)]
    other = [each.replace("%B", "%b") for each in guesses if each]
    return [each for each in (*guesses, *other) if each]
