"""Dates written as text or whole numbers: which format a column has.

A column has one format that fits all its cells. If each cell were parsed on its own, 05/10/2024 and
13/10/2024 would be parsed by different rules.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.text.date_formats import ISO, MOST_COMPARED, seconds

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
