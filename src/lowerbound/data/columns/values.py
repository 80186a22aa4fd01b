"""The cells of a frame's column: missing values, numbers and distinct values.

Missing values are NaN, None, pandas' NA and NaT, and the ``MARKERS`` in text; but where cells can
be empty on their own, markers beside other text are text like it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, listed, row_numbers
from lowerbound.errors import DataError

Level = bool | int | str | float
EXACT = 2**53  # the largest whole number up to which float64 holds each
_WHOLE = re.compile(r"[+-]?[0-9]+")
MARKERS = ("", "?", "-", ".", "na", "n/a", "nan", "<na>", "null", "none", "nat")
"""Common markers of missing values, in lower case."""
FILE_MARKERS = (
    "#N/A N/A",
    "#N/A",
    "#NA",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "-1.#IND",
    "-1.#QNAN",
)
"""Further ones of pandas, in files of text."""
NONE = "none"
OWN_GAPS = "cells can be empty"  # in the attributes of a frame
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(?i:inf|infinity)")
_TRUTH = re.compile("(?i)true|false")
_MONTH = re.compile(
    r"(?i)(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
)
_WORD = re.compile(r"(?!(?i:true|false)$)[^\W\d_].*", re.DOTALL)
_COUNTED = re.compile(r"\d+\s+([^\W\d_]{3,}?\D*?)s?", re.DOTALL)  # without a plural s, and no date
LETTERS = 3  # of a word, at least, for each digit: Aug2Dec, but not A12


class CellError(DataError):
    """Some cells are no values of their column.

    Args:
        message: which cells, why, and what to do.
        found: the message without what to do.
        reason: the message about the first cell, without its row.
    """

    def __init__(self, message: str, found: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.found, self.reason = found, reason


def finite_numbers(series: Any) -> Array:
    """As ``numbers``, but infinite values raise an error.

    Raises:
        DataError: some rows contain text or infinite values; the message names the first.
    """
    values = numbers(series)
    refuse(np.isinf(values), series, f"column {series.name!r} has inf")
    return values


def numbers(series: Any) -> Array:
    """Numbers, including those written as text, float64; NaN if missing.

    Raises:
        DataError: some rows contain text; the message names the first.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return _float64(series)
    parsed, text = parsed_numbers(series)
    refuse(text, series, f"column {series.name!r} holds numbers, but not")
    return parsed


def are_whole(text: Any) -> bool:
    """Whether the cells of a column of text that are not missing are whole numbers."""
    cells = [cell for cell in text if isinstance(cell, str)]
    return all(map(_WHOLE.fullmatch, cells)) and len(cells) == int(text.notna().sum())


def exact_whole(text: Any) -> Any:
    """Whole numbers of a column of text, exactly: pandas' Int64 or UInt64, or the text if some are
    longer."""
    import pandas as pd

    numbers = [int(cell) if isinstance(cell, str) else pd.NA for cell in text]
    present = [number for number in numbers if number is not pd.NA]
    low, high = min(present, default=0), max(present, default=0)
    if low >= -(2**63) and high < 2**63:
        return pd.array(numbers, dtype="Int64")
    return pd.array(numbers, dtype="UInt64") if low >= 0 and high < 2**64 else text


def parsed_numbers(series: Any) -> tuple[Array, Array]:
    """(numbers, mask of text that is neither a number nor a marker)."""
    import pandas as pd

    parsed = _float64(pd.to_numeric(series.astype(object), errors="coerce"))
    return parsed, np.isnan(parsed) & ~missing(series, words=False)


def missing(
    series: Any,
    words: bool | None = None,
    levels: Collection[str] = (),
    markers: Collection[str] = (),
) -> Array:
    """Mask of the missing cells, (rows,).

    Args:
        series: the cells.
        words, levels, markers: see ``marks_of``.
    """
    gone = empty(series)
    if series.dtype.kind == "O" or str(series.dtype).startswith(("str", "category")):
        codes, distinct = factorized(series)
        marks = marks_of(series, [*map(level_name, distinct)], words, levels, markers)
        if marks.any():
            gone |= (codes >= 0) & np.append(marks, False)[codes]
    return gone


def marks_of(
    series: Any,
    names: Sequence[str],
    words: bool | None = None,
    levels: Collection[str] = (),
    markers: Collection[str] = (),
) -> Array:
    """Which of the distinct cells of a column mark missing values, (names,).

    Where cells can be empty on their own, only empty text does, beside other text.

    Args:
        series: the cells.
        names: of the distinct ones.
        words: whether they are text that is neither numbers nor dates; None: as they look.
        levels: names that are levels, whatever they look like.
        markers: names that are missing nevertheless, as they were in a fit.
    """
    marks = marked(names, words)
    if marks.any() and words is not False and has_own_gaps(series):
        others = (text for text, mark in zip(names, marks, strict=True) if not mark)
        if words or any(map(reads_as_text, others)):
            marks = np.array([text == "" or text in markers for text in names], dtype=bool)
    return np.asarray(marks & np.array([text not in levels for text in names], dtype=bool))


def markers_of(series: Any, levels: Sequence[Level]) -> tuple[str, ...]:
    """The texts of the missing cells of a column of levels, other than empty text."""
    if not are_texts(levels):
        return ()
    names = [*map(level_name, factorized(series)[1])]
    marks = marks_of(series, names, True, [*map(level_name, levels)])
    return tuple(sorted({text for text, mark in zip(names, marks, strict=True) if mark and text}))


def has_own_gaps(series: Any) -> bool:
    """Whether the source of a column can have empty cells: some are, or it is known to."""
    return bool(getattr(series, "attrs", {}).get(OWN_GAPS) or series.isna().any())


def with_own_gaps(frame: Any) -> Any:
    """A frame of a source that can have empty cells, whether it has some or not."""
    frame.attrs[OWN_GAPS] = True
    return frame


def marked(names: Sequence[str], words: bool | None = None) -> Array:
    """Which of the distinct cells of a column that cannot be empty mark missing values, (names,).

    Args:
        names: of the cells.
        words: whether they may be words, beside which "none" is a level, unless it is written
            "None", as Python writes what is missing; numbers, true and false are none.
    """
    marks = np.array([text.lower() in MARKERS for text in names], dtype=bool)
    nones = np.array([text.lower() == NONE and text != str(None) for text in names], dtype=bool)
    if words is False or not nones.any():
        return marks
    others = [text for text, mark in zip(names, marks, strict=True) if not mark]
    return marks & ~nones if _are_words(others) else marks


def are_texts(levels: Iterable[Level]) -> bool:
    """Whether some levels are text other than numbers, true, false and ``MARKERS``."""
    texts = {level.strip() for level in levels if isinstance(level, str)}
    return any(
        not (text.lower() in MARKERS or _NUMBER.fullmatch(text) or _TRUTH.fullmatch(text))
        for text in texts
    )


def reads_as_text(text: str) -> bool:
    """Whether a cell is text, and neither a number nor a date: A12 and +, but not 3 kg."""
    if _TRUTH.fullmatch(text) or _NUMBER.fullmatch(text):
        return False
    if not any(map(str.isdigit, text)):
        return True
    return text[0].isalpha() and not _MONTH.match(text)


def _are_words(names: Sequence[str]) -> bool:
    """Whether some are words, or numbers of different things, such as "8 pregnant" and "1 virgin".

    One word after all numbers may be their unit.
    """
    counted = [_COUNTED.fullmatch(text) for text in names]
    return any(map(_is_word, names)) or len({found[1] for found in counted if found}) > 1


def _is_word(text: str) -> bool:
    letters, digits = sum(map(str.isalpha, text)), sum(map(str.isdigit, text))
    return _WORD.fullmatch(text) is not None and letters >= LETTERS * digits


def empty(series: Any) -> Array:
    """Mask of the cells that are NaN, None, NA or NaT, (rows,); text has none."""
    import pandas as pd

    gone: Array = series.isna().to_numpy(dtype=bool, copy=True)
    if pd.api.types.is_extension_array_dtype(series.dtype) and series.dtype.kind == "f":
        gone |= np.isnan(_float64(series))  # NaN beside NA
    return gone


def marked_cells(series: Any, markers: Collection[str]) -> Array:
    """Mask of the cells that are one of ``markers``, numbers or text, (rows,)."""
    if series.dtype.kind in "iuf":
        import pandas as pd

        numbers = pd.to_numeric(pd.Series(list(markers)), errors="coerce").dropna()
        return np.asarray(series.isin(numbers.tolist()), dtype=bool)
    codes, distinct = factorized(series)
    marks = np.array([level_name(value) in markers for value in distinct], dtype=bool)
    return np.append(marks, False)[codes]


def with_room_for_gaps(series: Any) -> Any:
    """Whole numbers and truth values in the types of pandas that can be missing, such as Int64;
    others unchanged."""
    ours = isinstance(series.dtype, np.dtype) and series.dtype.kind in "iub"
    return series.convert_dtypes() if ours else series


def distinct_values(series: Any, words: bool | None = None) -> list[Any]:
    """The distinct values that are not missing, in the order of their appearance.

    Args:
        series: the cells.
        words: see ``marks_of``.
    """
    _, distinct = factorized(series)
    marks = marks_of(series, [level_name(value) for value in distinct], words)
    return [value for value, mark in zip(distinct, marks, strict=True) if not mark]


def level_name(value: Level) -> str:
    """The name of a level; 3, 3.0 and "3" are the same level."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def free_name(wanted: str, taken: Collection[str]) -> str:
    """A name that no column has: the wanted one, with as many underscores as that takes."""
    while wanted in taken:
        wanted += "_"
    return wanted


def scalar(value: Any) -> Level:
    """Convert a level to a JSON type."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def is_range(low: Any, high: Any) -> bool:
    """Whether both ends are finite numbers, and low < high."""
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    return numbers and bool(np.isfinite([low, high]).all()) and low < high


def distinct_levels(series: Any, words: bool | None = None) -> tuple[Level, ...]:
    """Distinct values in order, numbers by size and text by name, without NaN.

    Args:
        series: the cells.
        words: see ``marks_of``.
    """
    distinct = {level_name(value): scalar(value) for value in distinct_values(series, words)}
    try:
        return tuple(sorted(distinct.values(), key=float))
    except ValueError:
        return tuple(distinct[key] for key in sorted(distinct))


def level_codes(
    series: Any, label: str, levels: Sequence[Level], markers: Collection[str] = ()
) -> Array:
    """The code of each cell, float64; NaN if missing, or if unknown, with a warning.

    Args:
        series: the cells.
        label: name of the column.
        levels: in the order of their codes.
        markers: see ``marks_of``.
    """
    index = {level_name(level): code for code, level in enumerate(levels)}
    codes, distinct = factorized(series)
    names = [level_name(value) for value in distinct]
    marks = marks_of(series, names, are_texts(levels), index, markers)
    new = [text for text, mark in zip(names, marks, strict=True) if text not in index and not mark]
    if new:
        warnings.warn(
            f"column {label!r} has levels that the model was not fitted on: "
            f"{listed([repr(text) for text in new])}; they count as missing",
            UserWarning,
            stacklevel=4,
        )
    # pandas gives missing values the code -1, which selects the last entry
    table = np.array([*(index.get(text, np.nan) for text in names), np.nan], dtype=np.float64)
    answer: Array = table[codes]
    return answer


def value_quantiles(draws: Array, shares: Sequence[float] | Array, whole: bool) -> Array:
    """Quantiles (shares, ...) of draws (draws, ...); of whole values, one of the draws."""
    method: Any = "inverted_cdf" if whole else "linear"
    return np.asarray(np.quantile(draws, np.asarray(shares), axis=0, method=method))


def check_numbers(series: Any, text: Array) -> None:
    """Raise an error for text in some rows of a column of numbers.

    The text is probably an unknown marker of missing values.

    Args:
        series: the column.
        text: mask of text that is not a number.

    Raises:
        DataError: most cells are numbers and some are not.
    """
    rows = np.flatnonzero(text)
    if len(rows) and 2 * len(rows) <= (~missing(series, words=False)).sum():
        raise DataError(
            f"column {series.name!r} holds numbers, but not in {row_numbers(rows.tolist())}, "
            f"counted from 0 (row {rows[0]}: {scalar(series.iloc[rows[0]])!r}); empty those "
            f"cells or drop those rows, or let all be levels (--kind '{series.name}=categorical')"
        )


def refuse(wrong: Array, series: Any, words: str) -> None:
    """Raise an error if a cell is wrong.

    Raises:
        CellError: the message names the first wrong rows.
    """
    rows = np.flatnonzero(wrong)
    if len(rows):
        first = repr(scalar(series.iloc[rows[0]]))
        found = f"{words} in {row_numbers(rows.tolist())}, counted from 0 (row {rows[0]}: {first})"
        message = f"{found}; correct those rows, or empty those cells"
        raise CellError(message, found, f"{words} {first}")


def factorized(series: Any) -> tuple[Array, list[Any]]:
    """(code of each row, -1 if pandas treats it as missing; distinct values).

    Raises:
        DataError: a cell is a list or another object that has no distinct values.
    """
    import pandas as pd

    try:
        codes, distinct = pd.factorize(series)
    except TypeError as error:
        cell = next((c for c in series if not isinstance(c, Hashable)), series.iloc[0])
        raise DataError(
            f"column {series.name!r} has cells such as {cell!r}; only numbers, text, dates and "
            "truth values can be modeled"
        ) from error
    return codes, list(distinct)


def _float64(series: Any) -> Array:
    if series.dtype.kind == "c":
        raise DataError(
            f"column {series.name!r} holds complex numbers; only real numbers can be modeled"
        )
    values: Array = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
