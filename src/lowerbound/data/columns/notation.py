"""How a column writes its numbers, such as 1.234,50 or $1,234.50 or 12 % or 1:23:45.

All cells of a column share one notation. A number has the size that is written: 12 % is 12.
Durations and times of day are numbers of seconds.

Numbers that no measurement has, such as 1.8e308, by which programs mark missing cells.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, row_numbers
from lowerbound.data.columns import durations
from lowerbound.data.columns.values import distinct_values
from lowerbound.errors import DataError, counted

LARGEST = 1e150  # numbers with larger ones have no squares, and so no variance
LARGEST_OF_32_BITS = float(np.finfo(np.float32).max)
WRITTEN = 1e-6  # relative error of this number as programs write it


def without_beyond(frame: Any) -> Any:
    """The frame with such cells missing; a note names them."""
    made = frame
    for place in range(frame.shape[1]):
        series = frame.iloc[:, place]
        if series.dtype.kind != "f":
            continue
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        beyond = _beyond(values)
        if beyond.any():
            made = frame.copy(deep=False) if made is frame else made
            made.isetitem(place, series.mask(beyond))
            _note(str(frame.columns[place]), values[beyond])
    return made


def array_without_beyond(values: Any, missing: bool) -> Any:
    """The rows of numbers with such cells as NaN, where cells may be missing; a column that has
    such numbers alone stays.

    Raises:
        DataError: a column has such numbers beside others, and no cell may be missing.
    """
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
        return values
    beyond = _beyond(values)
    beyond &= ~(beyond | np.isnan(values)).all(axis=0)
    if not beyond.any():
        return values
    for place in np.flatnonzero(beyond.any(axis=0)):
        name, rows = f"x{place}", np.flatnonzero(beyond[:, place])
        if not missing:
            raise DataError(
                f"column {name!r} has {values[rows[0], place]:.6g} in "
                f"{row_numbers(rows.tolist())}, counted from 0, too large to compute with: correct "
                "those rows, or have such cells modeled as missing by missing='model' "
                "(data_options={'missing': 'model'} of an estimator)"
            )
        _note(name, values[rows, place])
    return np.where(beyond, np.nan, values)


def _beyond(values: Array) -> Array:
    sizes, found = np.abs(values), np.zeros(values.shape, dtype=bool)
    if values.dtype == np.float32:
        found = sizes >= np.float32(LARGEST_OF_32_BITS * (1 - WRITTEN))
    elif values.dtype == np.float64:
        found = (sizes > LARGEST) | (np.abs(sizes / LARGEST_OF_32_BITS - 1) < WRITTEN)
    return np.asarray(found & np.isfinite(values))


def _note(name: str, cells: Array) -> None:
    warnings.warn(
        f"column {name!r}: {cells[0]:.6g} in {counted(len(cells), 'row')}, taken for missing, as "
        f"are the largest number of 32 bits and all beyond {LARGEST:g}",
        UserWarning,
        stacklevel=5,
    )


POINT, COMMA = ".", ","
OTHER_GROUPS = (" ", "\u00a0", "\u202f", "\u2009", "'", "\u2019")  # marks between three digits
SIGNS = "+-\u2212"
SPACE = "[\\s\u00a0\u202f\u2009]"  # RE2's own class has only those of ASCII
PERCENT = ("%", "\u2030")
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "CNY", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF",
              "RON", "CAD", "AUD", "NZD", "INR", "BRL", "ZAR", "KRW", "TRY", "MXN", "SGD", "HKD",
              )  # with a space between them and the number  # fmt: skip
FEW_GROUPS = {0, 1, 2}  # marks between groups in a cell, as numbers have that are no codes


@dataclass(frozen=True)
class Notation:
    """How numbers are written.

    Attributes:
        decimal: the mark before the fraction.
        thousands: the mark between groups of three digits; "": none.
        before, after: the symbol of a currency, or %, with its space.
        decimals: the most digits after the decimal mark.
        clock: of durations and times of day; "": of other numbers.
    """

    decimal: str = POINT
    thousands: str = ""
    before: str = ""
    after: str = ""
    decimals: int = 0
    clock: str = ""

    def numbers(self, series: Any) -> Array:
        """The numbers in a pandas series, float64; NaN for text that is not written so.

        (1,234) is -1,234. Numbers that are no text stay.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.clock:
            return durations.seconds(series)
        cells = [cell if isinstance(cell, str) else None for cell in series]
        text = pc.utf8_trim_whitespace(pa.array(cells, pa.string()))
        text = pc.replace_substring_regex(text, r"^\((.*)\)$", r"-\1")
        fits = pc.match_substring_regex(text, f"^(?:{self._pattern})$")
        text = pc.replace_substring(text, "\u2212", "-")
        for mark in (self.before.strip(), self.after.strip(), self.thousands):
            text = pc.replace_substring(text, mark, "") if mark else text
        text = pc.replace_substring_regex(text, f"{SPACE}+", "")
        text = pc.replace_substring(text, self.decimal, POINT)
        text = pc.if_else(fits, text, pa.scalar(None, pa.string()))
        values: Array = text.cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
        for place, cell in enumerate(series if series.dtype == object else ()):
            if not isinstance(cell, str) and isinstance(cell, int | float | np.number):
                values[place] = cell
        return values

    def texts(self, values: Any, rounded: bool = True) -> list[str]:
        """Numbers as text with ``decimals`` digits after the mark; a missing value is empty.

        Args:
            values: numbers; text among them stays.
            rounded: whether further digits are rounded; otherwise a number that has more keeps all.
        """
        import pandas as pd

        if self.clock:
            return durations.texts(values, self.clock, self.decimals, rounded)
        cells = np.asarray(values, dtype=object)
        return [
            value if isinstance(value, str) else "" if gone else self._text(float(value), rounded)
            for value, gone in zip(cells, pd.isna(cells), strict=True)
        ]

    def in_type(self, series: Any) -> Any:
        """Numbers in the type of the column: of durations and times of day their own."""
        return durations.in_type(series, self.clock) if self.clock else series

    @property
    def typed(self) -> bool:
        """Whether the numbers have a type of their own: durations or times of day."""
        return bool(self.clock) and self.clock not in durations.TEXTS

    def in_frame(self, series: Any) -> Any:
        """Numbers as the column writes them: of a type of their own, or text."""
        made = self.in_type(series)
        if made is not series or series.dtype.kind == "O":
            return made
        return series.astype(object).mask(series.notna(), self.texts(series))

    def filling(self, values: Array, like: Any, exact: bool) -> Any:
        """Numbers as the column ``like`` holds them, which they fill.

        Args:
            values: (rows,).
            like: a pandas series: text, objects or durations.
            exact: whether further digits are rounded.
        """
        import pandas as pd

        clock = durations.type_of(like) if self.clock else ""
        if clock or (self.typed and like.isna().all()):
            clock = clock or self.clock
            return durations.in_type(pd.Series(values, dtype=float), clock).array
        return self.texts(values, exact)

    def fits(self, cells: Iterable[str]) -> bool:
        """Whether all cells are written so."""
        if self.clock:
            return all(map(durations.is_written, cells))
        pattern = re.compile(self._pattern, re.ASCII)  # as RE2, whose digits are 0 to 9
        return all(map(pattern.fullmatch, cells))

    def uses_its_marks(self, cells: Sequence[str], sure: bool = False) -> bool:
        """Whether the mark between groups is there, and groups are no codes.

        Cells that all have as many groups, such as 192.168.100.200, may be codes, unless it is sure
        that they are numbers.
        """
        if not self.thousands:
            return True
        counts = {cell.count(self.thousands) for cell in cells}
        sure = sure or self.thousands == COMMA or any(self.decimal in cell for cell in cells)
        few = self.thousands == POINT and counts < FEW_GROUPS
        return counts != {0} and (len(counts) > 1 or sure or few)

    def most_decimals(self, cells: Iterable[str]) -> int:
        """The most digits after the decimal mark."""
        parts = (cell.removesuffix(self.after).partition(self.decimal)[2] for cell in cells)
        return max((len(part.strip()) for part in parts), default=0)

    @property
    def _pattern(self) -> str:
        """A regular expression in the syntax of RE2."""
        mark, group = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"(?:[1-9]\d{{0,2}}(?:{group}\d{{3}})+|\d+)" if self.thousands else r"\d+"
        number = rf"(?:{whole}(?:{mark}\d*)?|{mark}\d+)"
        power = "" if self.thousands else r"(?:[eE][+-]?\d+)?"
        sign, before, after = (
            f"[{re.escape(SIGNS)}]?",
            _optional(self.before),
            _optional(self.after),
        )
        start = f"(?:{sign}{before}|{before}{sign})" if before else sign
        return f"{start}{number}{power}{after}"

    def _text(self, value: float, rounded: bool) -> str:
        sign = "-" if value < 0 else ""
        digits = f"{abs(value):,.{self.decimals}f}"
        if not rounded and float(digits.replace(COMMA, "")) != abs(value):
            digits = f"{abs(value):,}"
        whole, point, part = digits.partition(POINT)
        part = self.decimal + part if point else ""
        return f"{sign}{self.before}{whole.replace(COMMA, self.thousands)}{part}{self.after}"


def recognized(
    series: Any, decimal: str | None = None, thousands: str | None = None, sure: bool = False
) -> tuple[Notation, ...]:
    """The notations that all cells of a column of text fit, the likeliest first.

    Args:
        series: the column; plain numbers, such as 12.5, are a notation too.
        decimal, thousands: the only marks that may be; None: any. A mark between groups that is
            given is one, though all cells have as many.
        sure: whether the cells are known to be numbers.
    """
    cells = [
        _signed(cell.strip())
        for cell in distinct_values(series, words=False)
        if isinstance(cell, str)
    ]
    affixes = _affixes(cells[0]) if cells else None
    if affixes is None:
        return ()
    marks = ((one, group) for one in (POINT, COMMA) for group in ("", COMMA, POINT, *OTHER_GROUPS))
    found = (
        Notation(one, group, *affixes)
        for one, group in marks
        if one != group and decimal in (None, one) and (not group or thousands in (None, group))
    )
    fitting = [notation for notation in found if notation.fits(cells)]
    sure = sure or thousands is not None
    used = [notation for notation in fitting if notation.uses_its_marks(cells, sure)]
    return tuple(replace(each, decimals=each.most_decimals(cells)) for each in used)


def likeliest(found: Sequence[Notation], decimal: str) -> Notation | None:
    """The first of several notations with a decimal mark, or else the first; None: none."""
    return next((one for one in found if one.decimal == decimal), found[0] if found else None)


def decimal_mark(columns: Iterable[Any], grouped: bool = True) -> str:
    """The decimal mark of a table: that of most columns that fit no other.

    Args:
        columns: pandas series.
        grouped: where no column is sure, whether 1,234 is a thousand; otherwise its mark is that
            of a fraction.
    """
    found = [recognized(column) for column in columns]
    marks = [{one.decimal for one in each} for each in found]
    sure = [mark for each in marks if len(each) == 1 for mark in each]
    if sure:
        return max(sorted(set(sure)), key=sure.count)
    fractions = [one for each in found for one in each if one.decimals and not one.thousands]
    return POINT if grouped or not fractions else fractions[0].decimal


def is_number(cell: str) -> bool:
    """Whether a cell is a number in any notation."""
    import pandas as pd

    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return bool(recognized(pd.Series([cell], dtype=object)))
    return True


def _signed(cell: str) -> str:
    """A cell with a minus instead of the parentheses around it."""
    return f"-{cell[1:-1]}" if cell[:1] == "(" and cell[-1:] == ")" else cell


def _affixes(cell: str) -> tuple[str, str] | None:
    """What stands before and after a number; None: neither a currency nor %."""
    digits = [place for place, sign in enumerate(cell) if sign.isascii() and sign.isdecimal()]
    if not digits:
        return None
    before = cell[: digits[0]].removesuffix(POINT).removesuffix(COMMA).strip(SIGNS)
    after = cell[digits[-1] + 1 :].removeprefix(POINT).removeprefix(COMMA)
    symbols = (before.strip(), after.strip())
    spaced = {each.strip() for each in (before, after) if each != each.strip()}
    usual = all(
        not one or one in PERCENT or _is_currency(one) or (one in CURRENCIES and one in spaced)
        for one in symbols
    )
    return (before, after) if usual else None


def _optional(affix: str) -> str:
    """An affix with any spaces as a regular expression; only % is in every cell."""
    symbol = affix.strip()
    pattern = f"{SPACE}*{re.escape(symbol)}{SPACE}*"
    return pattern if symbol in PERCENT else rf"(?:{pattern})?" if symbol else ""


def _is_currency(symbol: str) -> bool:
    return len(symbol) == 1 and unicodedata.category(symbol) == "Sc"
