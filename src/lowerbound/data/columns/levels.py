"""Binary, ordinal and categorical columns, whose model units are codes of levels.

A schema keeps levels of other types, such as intervals, as text and says how they come back.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS, STEEPEST, ColumnKind, Feature, Indicator
from lowerbound.data.columns.values import (
    Level,
    distinct_levels,
    factorized,
    level_codes,
    level_name,
    parsed_numbers,
    scalar,
)

DATE = "date"  # of cells that are dates of Python
LOGISTIC = 1.7  # factor from a normal standard deviation to the scale of a logistic variable
FARTHEST = 1e6  # ranges of the levels that a number may lie outside of them
NAMES_SHARE = 0.9  # distinct texts per row above which a column identifies rows
MOST_ORDINAL = 20  # largest number of distinct integers that are levels
MOST_INDICATORS = 48  # largest number of levels with indicators; above it, the embedding is used


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


@dataclass(frozen=True)
class Order(Feature):
    """The code over its largest; the decoder returns the location of a logistic variable."""

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return LOGISTIC * weight


@dataclass(frozen=True)
class AtLevel(Feature):
    """Whether the code equals the parameter, one of L levels; the decoder returns a logit of each.

    The indicators of one column exclude each other. This alone gives them a variance of L / (L - 1)
    in some direction.
    """

    stage = 4

    @staticmethod
    def values(x: Tensor, level: Tensor) -> Tensor:
        return (x == level).to(x.dtype)

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return weight * (scale / shift.clamp_min(1e-6)).clamp_max(STEEPEST)


class Leveled(ColumnKind):
    """A column of levels. A level that the fit did not see is missing, and a warning names it."""

    leveled = True
    always_whole = True
    has_deviation = False

    def completed(self, series: Any) -> Column:
        if self.column.levels:
            return self.column
        found = replace(self.column, levels=distinct_levels(series))
        _warn_names(series, found)
        return found

    def read(self, series: Any, *, fitting: bool = False) -> Array:
        column = self.column
        return level_codes(series, column.name, column.levels, column.markers)

    def unseen(self, series: Any) -> Array:
        known = {level_name(level) for level in self.column.levels}
        codes, distinct = factorized(series)
        new = [level_name(value) not in known for value in distinct]
        found = np.array([*new, False])[codes] & ~self.missing(series)
        return found * (1 + self._ranges_beyond(series)) if found.any() else found

    def _ranges_beyond(self, series: Any) -> Array:
        """How far ordered numbers lie outside the levels, in ranges of these; else 0, (rows,)."""
        if not self.ordered or any(isinstance(each, str | bool) for each in self.column.levels):
            return np.zeros(len(series))
        values, levels = parsed_numbers(series)[0], np.array(self.column.levels, dtype=np.float64)
        beyond = np.maximum(levels.min() - values, values - levels.max()) / (np.ptp(levels) or 1.0)
        return np.asarray(np.nan_to_num(beyond).clip(0.0, FARTHEST))

    def decided(self, averaged: Array) -> Array:
        return np.asarray(averaged.argmax(1))

    def rounded(self, values: Array) -> Array:
        return np.asarray(np.rint(values).clip(0, len(self.column.levels) - 1))

    def typed(self, values: Array, rounded: bool = True) -> Any:
        import pandas as pd

        text = self.column.dtype == "str"
        dtype = object if text else np.dtype(self.column.dtype)
        return pd.array(list(self.column.levels), dtype=dtype).take(self._codes(values))

    def with_room(self, series: Any, exact: bool) -> Any:
        import pandas as pd

        if isinstance(series.dtype, pd.CategoricalDtype):
            return series.astype(self._with_levels(series.dtype))
        return series.copy() if self._have_room(series) else series.astype(object)

    def _with_levels(self, dtype: Any) -> Any:
        """A type of pandas' categories with the levels that it lacks, each behind the one before
        it, so that a type with a part of the levels becomes that of the fit."""
        import pandas as pd

        categories, place = dtype.categories, 0
        names = [level_name(scalar(each)) for each in categories]
        levels = levels_of_type(self.column.levels, self.column.level_type)
        for level, wanted in zip(levels, map(level_name, self.column.levels), strict=True):
            if wanted in names:
                place = names.index(wanted) + 1
                continue
            categories = categories.insert(place, level)
            names.insert(place, wanted)
            place += 1
        return pd.CategoricalDtype(categories, ordered=dtype.ordered)

    def _have_room(self, series: Any) -> bool:
        """Whether the cells may be levels; numbers, the type of an empty column, may not be text
        or truth values."""
        import pandas as pd

        if not pd.api.types.is_numeric_dtype(series.dtype):
            return True
        levels = self.column.levels
        try:
            pd.Series(levels, dtype=object).astype(series.dtype)
        except (TypeError, ValueError):
            return False
        numbers = not any(isinstance(level, bool | str) for level in levels)
        return numbers or pd.api.types.is_bool_dtype(series.dtype) or bool(series.notna().any())

    def filling(self, answers: Array, like: Any, exact: bool) -> Any:
        import pandas as pd

        if pd.api.types.is_numeric_dtype(like.dtype):
            return super().filling(answers, like, exact)
        if isinstance(like.dtype, pd.CategoricalDtype):  # of any type, such as intervals
            place = {
                level_name(scalar(each)): code for code, each in enumerate(like.dtype.categories)
            }
            own = np.array([place.get(level_name(level), -1) for level in self.column.levels])
            return pd.Categorical.from_codes(own[self._codes(answers)], dtype=like.dtype)
        levels = levels_of_type(self.column.levels, self.column.level_type)
        return pd.Series(levels[self._codes(answers)]).astype(like.dtype).array

    def _codes(self, values: Array) -> Array:
        return self.rounded(values).astype(np.int64)


@COLUMN_KINDS.register("binary")
class BinaryKind(Leveled):
    """Columns with two levels."""

    rank = 20
    family = table_family = "binary"

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.varieties != 2:
            return None
        return replace(sample.column, kind="binary", levels=sample.levels)

    def features(self) -> Sequence[Feature]:
        return (Indicator(),)


@COLUMN_KINDS.register("ordinal")
class OrdinalKind(Leveled):
    """Ordered levels: an ordered pandas category, or a few integers near each other."""

    rank = 40
    family, table_family = "ordinal", "categorical"

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        near = (
            sample.whole
            and len(sample.distinct) <= MOST_ORDINAL
            and np.ptp(sample.distinct) <= 2 * MOST_ORDINAL
        )
        if near or getattr(sample.series.dtype, "ordered", False):
            return replace(sample.column, kind="ordinal", levels=sample.levels)
        return None

    def features(self) -> Sequence[Feature]:
        return (Order(max(len(self.column.levels) - 1, 1)),)

    def decided(self, averaged: Array) -> Array:
        """The level nearest to the mean of numeric levels, or of codes."""
        levels = self.column.levels
        numeric = not any(isinstance(level, str) for level in levels)
        values = np.array(levels if numeric else range(len(levels)), dtype=np.float64)
        mean = averaged @ values / averaged.sum(1)
        return np.asarray(np.abs(values - mean[:, None]).argmin(1))


@COLUMN_KINDS.register("categorical")
class CategoricalKind(Leveled):
    """Unordered levels: text, or a pandas category."""

    rank = 90
    family = table_family = "categorical"
    ordered = False
    embedded = True

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.numeric:
            return None
        return replace(sample.column, kind="categorical", levels=sample.levels)

    def features(self) -> Sequence[Feature]:
        levels = len(self.column.levels)
        if levels > MOST_INDICATORS:
            return ()
        noise = levels / max(levels - 1, 1)
        return [AtLevel(level, level, levels, noise) for level in range(levels)]

    def quantiles(self, draws: Array, shares: Sequence[float] | Array) -> Array:
        """The most frequent code of each row, because levels without an order have no quantiles."""
        from scipy.stats import mode

        return np.broadcast_to(mode(draws, axis=0).mode, (len(shares), *draws.shape[1:]))

    def coordinates(self, values: Array) -> Array:
        """One-hot codes, (rows, levels)."""
        at = np.rint(values)[:, None] == np.arange(len(self.column.levels))
        return np.asarray(at, dtype=np.float64)


def _warn_names(series: Any, column: Column) -> None:
    if len(column.levels) > NAMES_SHARE * max(len(series), 1):
        warnings.warn(
            f"column {column.name!r} has {len(column.levels):,} levels in {len(series):,} "
            "rows: it identifies rows, so the model can only memorize it; the kind 'identifier' "
            "leaves it out",
            UserWarning,
            stacklevel=5,
        )
