"""Columns that never varied in the data they were fitted on: left out, and put back in answers."""

from __future__ import annotations

from dataclasses import replace

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind
from lowerbound.data.columns.levels import Leveled
from lowerbound.data.columns.sample import Sample


@COLUMN_KINDS.register("constant")
class ConstantKind(ColumnKind):
    """One number, which is the column's shift."""

    rank = 10
    modeled = False

    @classmethod
    def of(cls, column: Column) -> ColumnKind:
        return ConstantLevel(column) if column.levels else cls(column)

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.varieties > 1:
            return None
        if not sample.numeric:
            return replace(sample.column, kind="constant", levels=sample.levels)
        shift = float(sample.distinct[0]) if len(sample.distinct) else 0.0
        return replace(sample.column, kind="constant", shift=shift)

    @property
    def any_number(self) -> bool:
        return True


class ConstantLevel(Leveled):
    """One level, of code 0."""

    modeled = False
