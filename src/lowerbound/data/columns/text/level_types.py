"""The types of levels that a schema keeps as text, such as intervals, and how they come back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from lowerbound.data.columns.values import Level

DATE = "date"  # of cells that are dates of Python


def level_type(dtype: Any) -> str:
    """The type of the categories of a pandas type, or of its intervals; "" of other cells, and of
    text, numbers and truth values.

    Returns:
        pandas' name of the type, such as "interval[int64, right]", or "date" for dates of Python.
    """
    import pandas as pd

    if isinstance(dtype, pd.IntervalDtype):
        return str(dtype)
    levels = getattr(dtype, "categories", None)
    if levels is None:
        return ""
    if levels.dtype.kind in "mM" or isinstance(levels.dtype, (pd.IntervalDtype, pd.PeriodDtype)):
        return str(levels.dtype)
    return DATE if pd.api.types.infer_dtype(levels) == DATE else ""


def levels_of_type(levels: Sequence[Level], kind: str) -> Any:
    """An array of levels in their type, from text; "": they stay."""
    import pandas as pd

    if not kind:
        found = np.empty(len(levels), dtype=object)
        found[:] = levels
        return found
    texts = [str(level) for level in levels]
    if kind == DATE:
        return np.array([date.fromisoformat(text) for text in texts], dtype=object)
    dtype = pd.api.types.pandas_dtype(kind)
    if not isinstance(dtype, pd.IntervalDtype):
        return pd.array(texts, dtype=dtype)
    ends = [text[1:-1].split(", ") for text in texts]  # (0, 10]
    lefts_and_rights = list(zip(*ends, strict=True)) or [(), ()]  # of no level
    sides = (pd.array(side, dtype=dtype.subtype) for side in lefts_and_rights)
    return pd.arrays.IntervalArray.from_arrays(*sides, closed=dtype.closed)


def in_level_type(series: Any, kind: str) -> Any:
    """A pandas series of levels as text, or a category of them, in the type of the levels.

    Args:
        series: some cells may be missing.
        kind: of ``level_type``; "": the series stays.
    """
    import pandas as pd

    if not kind:
        return series
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.cat.rename_categories(levels_of_type(series.cat.categories, kind))
    codes, texts = pd.factorize(series)
    cells = pd.api.extensions.take(levels_of_type(list(texts), kind), codes, allow_fill=True)
    return pd.Series(cells, index=series.index, name=series.name)


def levels_as_text(cells: Any) -> Any:
    """A column whose levels have a type of ``level_type`` with text instead; others stay."""
    import pandas as pd

    if not level_type(getattr(cells, "dtype", None)):
        return cells
    series = pd.Series(cells)
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.cat.rename_categories([str(level) for level in series.cat.categories])
    return series.astype(object).map(str, na_action="ignore")
