"""Formats of dates: text is read and written by the directives of ``strptime`` and a few more."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.text.moments import DAY, as_dates, moment, rounded, since_1970
from lowerbound.errors import OptionError

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
