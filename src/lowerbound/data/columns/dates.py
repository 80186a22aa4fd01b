"""Dates written as text: the one format of a column, to seconds since 1970 and back.

Cell by cell, 05/10/2024 and 13/10/2024 would be read by different rules. A column has one format,
by which every cell of it is a date.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError

ISO = "ISO8601"
"""pandas' name for ISO dates of any length; also the format of dates that are no text."""

DAY = 86_400  # seconds
_STEPS = (DAY, 3_600, 60, 1)
_NUMERIC = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_ORDERS = ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%y/%m/%d")
_DOTTED = ("%d.%m.%Y", "%m.%d.%Y", "%d.%m.%y", "%m.%d.%y", "%y.%m.%d")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")


def seconds(cells: Sequence[str], format: str) -> Array:
    """Seconds since 1970, float64, UTC where no zone is written; NaN where a cell is no such date.

    Args:
        cells: text.
        format: of ``strptime``, or ``ISO``.
    """
    import pandas as pd

    dates = pd.to_datetime(pd.Series(cells, dtype=object), errors="coerce", utc=True, format=format)
    return since_1970(dates)


def since_1970(dates: Any) -> Array:
    """Seconds of a pandas series of dates in UTC, float64; NaN where there is none."""
    import pandas as pd

    since: Array = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(float)
    return since


def formats(cells: Sequence[str]) -> list[str]:
    """The formats by which every cell is a date, the one to take first; none: no such format.

    Where month first and day first both fit, month first is taken, as pandas does, unless dots
    stand between the numbers. Four digits that come first are the year, before month and day.
    """
    return [each for each in _candidates(cells) if not np.isnan(seconds(cells, each)).any()]


def closest_format(cells: Sequence[str]) -> str:
    """The format by which most cells are dates."""
    return min(_candidates(cells), key=lambda each: int(np.isnan(seconds(cells, each)).sum()))


def other_readings(cells: Sequence[str], found: Sequence[str]) -> list[str]:
    """Which of the formats after the first give other dates; none where the year comes first."""
    if not found or found[0].startswith(("%Y", ISO)):
        return []
    first = seconds(cells, found[0])
    return [each for each in found[1:] if (seconds(cells, each) != first).any()]


def rounding(values: Array) -> int:
    """The longest of day, hour, minute and second, in seconds, that all values are multiples of.

    Args:
        values: seconds since 1970; 0 is the answer where they have fractions.
    """
    return next((step for step in _STEPS if not np.any(values % step)), 0)


def as_dates(values: Array, round_to: int) -> Any:
    """A pandas series of dates without a zone, rounded to so many seconds; 0: as they are."""
    import pandas as pd

    return pd.to_datetime(pd.Series(rounded(values, round_to)), unit="s")


def as_text(values: Array, format: str, round_to: int) -> Any:
    """The dates written by a format, an array of objects; ISO days are without a time."""
    if format == ISO:
        format = "%Y-%m-%d" if round_to == DAY else "%Y-%m-%d %H:%M:%S"
    dates = as_dates(values, round_to).dt.tz_localize("UTC")
    return dates.dt.strftime(format).to_numpy(dtype=object)


def rounded(values: Array, round_to: int) -> Array:
    """Seconds to the nearest multiple; as they are where ``round_to`` is 0."""
    return values if not round_to else np.asarray(np.rint(values / round_to) * round_to)


def check_format(format: str) -> None:
    """Refuse what is no format of dates.

    Raises:
        OptionError: names the format.
    """
    try:
        usable = format == ISO or ("%" in format and bool(len(seconds(["?"], format))))
    except (ValueError, re.error) as error:
        raise OptionError(f"{format!r} is no format of dates: {error}") from error
    if not usable:
        raise OptionError(f"{format!r} is no format of dates; write it like %d/%m/%Y")


def _candidates(cells: Sequence[str]) -> list[str]:
    """Formats by which the first cell may be a date, in the order of preference; ``ISO`` last."""
    from pandas.tseries.api import guess_datetime_format

    first = cells[0] if len(cells) else ""
    found = _NUMERIC.match(first)
    orders = _DOTTED if found and found[1] == "." else _ORDERS
    dates = [order.replace("/", found[1]) for order in orders] if found else []
    explicit = [date + time for date in dates for time in _TIMES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a day of 13 or more comes first
        guesses = [guess_datetime_format(first, dayfirst=day_first) for day_first in (False, True)]
    named = [each for each in (*explicit, *guesses) if each]
    if first.endswith("Z"):  # is written again as Z, and a %z as +0000
        named = [each.removesuffix("%z") + "Z" for each in named]
    return [each for each in dict.fromkeys(named) if not np.isnan(seconds([first], each))[0]] + [
        ISO
    ]
