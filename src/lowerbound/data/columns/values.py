"""A column of a frame as numbers: values where it is continuous, codes where it has levels.

Missing is NaN, None, pandas' NA or NaT, and, in text, one of the markers that people write for it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lowerbound.data.arrays import listed
from lowerbound.data.columns.column import Column, Level
from lowerbound.data.columns.dates import ISO, seconds, since_1970
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]

MARKERS = ("", "?", "-", "na", "n/a", "nan", "<na>", "null", "none", "nat")
"""What people write for "missing", in small letters."""


def read_values(series: Any, column: Column, *, fitting: bool = False) -> Array:
    """The column's values in the person's units, or its codes; float64, NaN where missing.

    A level that the fit did not see counts as missing, and a warning names it. A value beyond the
    bounds of the column's kind is taken for the bound, which the model holds for next to
    impossible, and a warning names its rows; while fitting it is refused.

    Raises:
        DataError: some rows hold text, infinite values or what is no count; the first are named.
    """
    if column.levels:
        return _codes(series, column)
    if column.kind == "datetime":
        return _seconds(series, column)
    values = numbers(series)
    _refuse(np.isinf(values), series, f"column {column.name!r} has inf")
    wrong, what = _outside(values, column)
    if fitting or column.kind == "count":
        _refuse(wrong, series, f"column {column.name!r} holds {what}, but not")
    return _within(values, column, wrong, what)


def numbers(series: Any) -> Array:
    """Numbers, also those written as text, float64; NaN where missing.

    Raises:
        DataError: some rows hold text; the first are named.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return _float64(series)
    parsed, text = parsed_numbers(series)
    _refuse(text, series, f"column {series.name!r} holds numbers, but not")
    return parsed


def parsed_numbers(series: Any) -> tuple[Array, Array]:
    """(numbers, where text stands that is none and marks nothing missing)."""
    import pandas as pd

    parsed = _float64(pd.to_numeric(series.astype(object), errors="coerce"))
    return parsed, np.isnan(parsed) & ~missing(series)


def missing(series: Any) -> Array:
    """Where nothing was observed, (rows,)."""
    gone: Array = series.isna().to_numpy(dtype=bool, copy=True)
    if series.dtype.kind == "O" or str(series.dtype).startswith(("str", "category")):
        codes, distinct = _factorized(series)
        marks = np.array([name(value).lower() in MARKERS for value in distinct], dtype=bool)
        if marks.any():
            gone |= (codes >= 0) & np.append(marks, False)[codes]
    return gone


def distinct_values(series: Any) -> list[Any]:
    """The distinct values that are not missing, in the order of their appearance."""
    _, distinct = _factorized(series)
    return [value for value in distinct if name(value).lower() not in MARKERS]


def name(value: Level) -> str:
    """What a level is called: 3 and 3.0 and "3" are the same level."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def _codes(series: Any, column: Column) -> Array:
    index = {name(level): code for code, level in enumerate(column.levels)}
    codes, distinct = _factorized(series)
    names = [name(value) for value in distinct]
    new = [text for text in names if text not in index and text.lower() not in MARKERS]
    if new:
        warnings.warn(
            f"column {column.name!r} has levels that the model was not fitted on: "
            f"{listed([repr(text) for text in new])}; they count as missing",
            UserWarning,
            stacklevel=3,
        )
    # the last entry is what pandas' code -1, a missing value, points to
    table = np.array([*(index.get(text, np.nan) for text in names), np.nan], dtype=np.float64)
    answer: Array = table[codes]
    return answer


def _seconds(series: Any, column: Column) -> Array:
    """Seconds since 1970, text by the column's format."""
    import pandas as pd

    gone = missing(series)
    if column.format is None or pd.api.types.is_datetime64_any_dtype(series.dtype):
        dates = pd.to_datetime(series.mask(gone), errors="coerce", utc=True, format="mixed")
        values = since_1970(dates)
    else:
        codes, distinct = _factorized(series)
        # the last entry is what pandas' code -1, a missing value, points to
        values = np.append(seconds([name(value) for value in distinct], column.format), np.nan)
        values = np.where(gone, np.nan, values[codes])
    written = "" if column.format in (None, ISO) else f" written as {column.format}"
    _refuse(
        np.isnan(values) & ~gone, series, f"column {series.name!r} holds dates{written}, but not"
    )
    return values


def _outside(values: Array, column: Column) -> tuple[Array, str]:
    """(where a value is not of the column's kind, what the column holds)."""
    if column.kind == "positive":
        return values <= 0, "positive numbers"
    if column.kind == "bounded":
        assert column.low is not None
        assert column.high is not None
        low, high = column.low, column.high
        return (values <= low) | (values >= high), f"numbers between {low:g} and {high:g}"
    if column.kind == "count":
        return (values < 0) | (values != np.rint(values)) & ~np.isnan(values), "counts"
    return np.zeros(values.shape, dtype=bool), ""


def _within(values: Array, column: Column, wrong: Array, what: str) -> Array:
    """The values with those beyond the bounds at the bound."""
    rows = np.flatnonzero(wrong)
    if not len(rows):
        return values
    warnings.warn(
        f"column {column.name!r} held {what} when the model was fitted, and not in rows "
        f"{listed(rows.tolist())}, counted from 0: they are taken for the bound",
        UserWarning,
        stacklevel=4,
    )
    low = 0.0 if column.kind == "positive" else column.low
    return np.asarray(np.clip(values, low, column.high))


def _refuse(wrong: Array, series: Any, words: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DataError(
            f"{words} in rows {listed(rows.tolist())}, counted from 0 (row {rows[0]}: "
            f"{series.iloc[rows[0]]!r}); mend those rows, or empty those cells"
        )


def _factorized(series: Any) -> tuple[Array, list[Any]]:
    """(code of each row, -1 where pandas calls it missing, distinct values)."""
    import pandas as pd

    codes, distinct = pd.factorize(series)
    return codes, list(distinct)


def _float64(series: Any) -> Array:
    values: Array = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
