"""Columns outside the model: identifiers of rows, and constants."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.dates import rounding
from lowerbound.data.columns.datetime import DatetimeKind
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind
from lowerbound.data.columns.levels import NAMES_SHARE, Leveled
from lowerbound.data.columns.values import missing, numbers

NAMES_ROWS = 20  # smallest number of rows with which a column can be an identifier
QUANTITIES = {"year", "years", "yr", "age", "rank"}  # in names of columns that identify no rows
INDICES = {"unnamed", "rowname", "rownames"}  # an index that pandas or R saved with the table
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")


@COLUMN_KINDS.register("identifier")
class IdentifierKind(ColumnKind):
    """Integers that count up, but no years, ages and ranks, or are named id; text that rarely
    repeats."""

    rank = 30
    modeled = False
    kept = False

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.numeric:
            found = sample.whole and _names_rows(sample)
        else:
            levels = len(sample.levels) if sample.written else 0
            found = levels >= NAMES_ROWS and levels > NAMES_SHARE * len(sample.present)
        return replace(sample.column, kind="identifier") if found else None


@COLUMN_KINDS.register("constant")
class ConstantKind(ColumnKind):
    """A constant number or date, stored as the column's shift; or no value, if all cells are
    missing."""

    rank = 10
    modeled = False
    any_number = True

    @classmethod
    def of(cls, column: Column) -> ColumnKind:
        if column.levels:
            return ConstantLevel(column)
        if column.missing_share == 1.0:
            return EmptyColumn(column)
        return cls(column) if column.format is None else ConstantDate(column)

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.varieties > 1:
            return None
        if not len(sample.present):
            return replace(sample.column, kind="constant", missing_share=1.0)
        if not sample.numeric:
            return replace(sample.column, kind="constant", levels=sample.levels)
        return replace(sample.column, kind="constant", shift=float(sample.distinct[0]))

    def unseen(self, series: Any) -> Array:
        values = numbers(series)
        types = (self.column.dtype, str(getattr(series, "dtype", "")).lower())
        exact = np.float32 if "float32" in types else np.float64
        changed = values.astype(exact) != exact(self.column.shift)
        return np.asarray(changed & ~np.isnan(values))

    def completed(self, series: Any) -> Column:
        return self.recognize(Sample.of(series)) or self.column


class EmptyColumn(ConstantKind):
    """A column without any fitted value: later values of any type are ignored, with a warning."""

    any_number = False

    def read(self, series: Any, *, fitting: bool = False) -> Array:
        return np.where(missing(series), np.nan, self.column.shift + 1.0)

    def typed(self, values: Array, rounded: bool = True) -> Any:
        """Zeros, since few types represent NaN; ``to_frame`` empties the column."""
        return super().typed(np.zeros_like(values), rounded)

    def unseen(self, series: Any) -> Array:
        return ~missing(series)


class ConstantLevel(Leveled):
    """A constant level, with the code 0."""

    modeled = False


class ConstantDate(DatetimeKind):
    """A constant date, in seconds, read and written in the column's format."""

    modeled = False
    metric = False
    family = ""

    def fitted_to(self, values: Array, standardize: bool, normal_scores: bool) -> Column:
        if not len(values):
            return self.column
        return replace(self.column, shift=float(values[0]), round_to=rounding(values))

    def unseen(self, series: Any) -> Array:
        values = self.read(series)
        return np.asarray((values != self.column.shift) & ~np.isnan(values))


def _names_rows(sample: Sample) -> bool:
    """Whether distinct integers identify rows: by the word "id" in the name, as an index that was
    saved with the table, or by counting up."""
    values, distinct, name = sample.numbers, sample.distinct, sample.column.name
    if len(distinct) < len(values) or len(values) < NAMES_ROWS:
        return False
    if "id" in name.lower().replace("-", "_").split("_") or _words(name) & INDICES:
        return True
    return bool(distinct[-1] - distinct[0] == len(distinct) - 1) and not is_quantity(name)


def is_quantity(name: str) -> bool:
    """Whether a column is called year, age or rank, as birth_year or BirthYear is: its numbers may
    count up and matter."""
    return bool(_words(name) & QUANTITIES)


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
