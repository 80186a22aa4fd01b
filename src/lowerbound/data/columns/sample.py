"""A column as it was given, for the kinds to recognize their own by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.values import (
    Level,
    check_numbers,
    distinct_levels,
    finite_numbers,
    missing,
    name,
    parsed_numbers,
    scalar,
)

Array = np.ndarray[Any, Any]

FEWEST_CODES = 5  # distinct texts with digits among numbers that make the numbers codes too


@dataclass(frozen=True, eq=False)
class Sample:
    """The cells of a column, looked at in the ways that tell kinds apart.

    Attributes:
        series: the cells.
        column: its name and type.
        numeric: whether they are numbers, some of them perhaps written as text.
        written: whether they are text that is no number.
    """

    series: Any
    column: Column
    numeric: bool
    written: bool = False

    @classmethod
    def of(cls, series: Any) -> Sample:
        """The sample of a frame's column.

        Raises:
            DataError: text stands in some rows of a column of numbers.
        """
        import pandas as pd

        column = Column(str(series.name), dtype=numpy_name(series.dtype))
        types, dtype = pd.api.types, series.dtype
        if (
            types.is_datetime64_any_dtype(dtype)
            or isinstance(dtype, pd.CategoricalDtype)
            or types.is_bool_dtype(dtype)
        ):
            return cls(series, column, numeric=False)
        if types.is_numeric_dtype(dtype):
            return cls(series, column, numeric=True)
        values, text = parsed_numbers(series)
        if not text.any():
            present = values[~missing(series)]
            whole = bool((present == np.rint(present)).all())
            typed = replace(column, dtype="int64" if whole else "float64")
            return cls(series, typed, numeric=True)
        if not _are_codes(series, text):
            check_numbers(series, text)
        return cls(series, column, numeric=False, written=True)

    @cached_property
    def present(self) -> Any:
        """The cells that are not missing."""
        return self.series[~missing(self.series)]

    @cached_property
    def numbers(self) -> Array:
        """Those of numbers, float64."""
        values = finite_numbers(self.series)
        return values[~np.isnan(values)]

    @cached_property
    def distinct(self) -> Array:
        """The distinct numbers, increasing."""
        return np.unique(self.numbers)

    @cached_property
    def whole(self) -> bool:
        """Whether they are whole numbers."""
        return self.numeric and bool((self.distinct == np.rint(self.distinct)).all())

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The distinct values in order: those of a pandas category in its own."""
        categories = getattr(self.series.dtype, "categories", None)
        if categories is not None:
            return tuple(scalar(level) for level in categories)
        return distinct_levels(self.series)

    @property
    def varieties(self) -> int:
        """How many distinct values there are."""
        return len(self.distinct) if self.numeric else len(self.levels)


def numpy_name(dtype: Any) -> str:
    """numpy's name of a pandas type, its own nullable ones (Int64, boolean) included; "str" for
    text and categories."""
    kind = str(dtype).lower().removesuffix("[pyarrow]")
    if kind.startswith("datetime64"):
        return "datetime64[ns]"
    if kind in ("object", "str", "string", "category"):
        return "str"
    kind = {"boolean": "bool", "double": "float64", "float": "float32"}.get(kind, kind)
    try:
        return str(np.dtype(kind))
    except TypeError:  # decimals and the like have been turned into floats
        return "float64"


def _are_codes(series: Any, text: Array) -> bool:
    """Whether the cells that are no numbers are many and hold digits, as in "V57": codes of text,
    most of which happen to look like numbers, rather than a few markers."""
    odd = {name(value) for value in series[text].unique()}
    return len(odd) >= FEWEST_CODES and all(any(c.isdigit() for c in value) for value in odd)
