"""Columns that name rows: left out of the schema and of the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind
from lowerbound.data.columns.sample import Sample

Array = np.ndarray[Any, Any]

NAMES_SHARE, NAMES_ROWS = 0.9, 20  # text that (nearly) never repeats names rows


@COLUMN_KINDS.register("identifier")
class IdentifierKind(ColumnKind):
    """Whole numbers that count up or are called id, and text that hardly repeats."""

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


def _names_rows(sample: Sample) -> bool:
    """Whole numbers that never repeat name rows if they are called so or simply count up."""
    values, distinct = sample.numbers, sample.distinct
    if len(distinct) < len(values) or len(values) < NAMES_ROWS:
        return False
    words = sample.column.name.lower().replace("-", "_").split("_")
    return "id" in words or bool(distinct[-1] - distinct[0] == len(distinct) - 1)
