"""Cells of a column by its public type: levels, numbers, or dates as days since 1970.

No function here raises or warns because of a single cell: cells that cannot be read are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.levels import Leveled
from lowerbound.data.columns.text.date_formats import ISO, as_text, seconds
from lowerbound.data.columns.text.dates import closest_format
from lowerbound.data.columns.text.moments import DAY, as_dates, since_1970
from lowerbound.data.columns.values import (
    distinct_values,
    factorized,
    missing,
    name,
    numbers,
    parsed_numbers,
)

CellType = Literal["levels", "numbers", "dates"]
GUESSES = 10  # cells that a format of dates is guessed from
DATE = r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"


def cell_type(series: Any, said: Mapping[str, Any] | None = None) -> CellType:
    """The type of a column, which counts as public: of its dtype, or of most of its text.

    Args:
        series: its cells.
        said: a declaration whose ``kind`` decides instead.

    Raises:
        OptionError: the kind is unknown.
    """
    import pandas as pd

    if said and said.get("kind") is not None:
        return declared_type(said)
    types, dtype = pd.api.types, series.dtype
    if types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return "levels"
    if types.is_datetime64_any_dtype(dtype):
        return "dates"
    if types.is_numeric_dtype(dtype):
        return "numbers"
    present = series[~missing(series)].astype(str)
    if 2 * (~np.isnan(parsed_numbers(present)[0])).sum() > len(present):
        return "numbers"
    return "dates" if 2 * present.str.match(DATE).sum() > len(present) else "levels"


def declared_type(said: Mapping[str, Any]) -> CellType:
    """The type that a declaration says, by its kind or else by its levels and its range.

    Raises:
        OptionError: the kind is unknown.
    """
    rules = Column("", said.get("kind") or "real").rules
    if "levels" in said or isinstance(rules, Leveled):
        return "levels"
    return "dates" if rules.has_format or isinstance(said.get("low"), str) else "numbers"


def date_format(series: Any) -> str:
    """The format that most dates of a column are written in, which counts as public."""
    import pandas as pd

    if pd.api.types.infer_dtype(series, skipna=True) in ("datetime64", "datetime", "date"):
        return ISO
    cells = [name(value) for value in distinct_values(series)]
    # a format is guessed from one cell, which may be wrong
    guesses = [closest_format([cell, *cells]) for cell in cells[:: max(1, len(cells) // GUESSES)]]
    unread = {form: np.isnan(seconds(cells, form)).sum() for form in (*guesses, ISO)}
    return min(unread, key=lambda form: int(unread[form]))


def level_cells(series: Any) -> Any:
    """The cells with levels of one type: names, unless the dtype has numbers or bits.

    In a column of objects, 3 and "3" are one level, whose type would be that of some row.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return series
    codes, distinct = factorized(series)
    names = np.array([*map(name, distinct), None], dtype=object)
    return pd.Series(names[codes], index=series.index, name=series.name, dtype=object)


def cell_numbers(series: Any) -> Array:
    """Numbers, float64; NaN if missing or not a number."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return numbers(series)
    return np.asarray(np.where(missing(series), np.nan, parsed_numbers(series)[0]))


def cell_days(series: Any, format: str) -> Array:
    """Days since 1970, float64; NaN if missing or not a date of this format."""
    import pandas as pd

    gone = missing(series)
    if format == ISO or pd.api.types.is_datetime64_any_dtype(series.dtype):
        found = since_1970(pd.to_datetime(series.mask(gone), errors="coerce", utc=True, format=ISO))
    else:
        codes, distinct = factorized(series)
        # pandas gives missing values the code -1, which selects the last entry
        found = np.append(seconds([name(value) for value in distinct], format), np.nan)[codes]
    return np.asarray(np.where(gone, np.nan, found) / DAY)


def written_dates(days: Array, format: str, whole: bool) -> Any:
    """Dates as they are written in a column: text, or pandas' type if the format is ISO."""
    steps = DAY if whole else 1
    if format == ISO:
        return as_dates(days * DAY, steps).to_numpy()
    return as_text(days * DAY, format, steps)
