"""Levels of columns: rare ones that are missing, new ones, and numbers outside the range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.release.coded_columns import CodedColumn, CodedColumns

RARE = 0.05


@dataclass(frozen=True)
class Coverage:
    """Which levels of the real rows a table has.

    Attributes:
        rare: levels of at most 5 % of the real rows that enough rows of this table should have.
        covered: how many of them occur.
        lost: (column, level) of those that do not occur, the most frequent first.
        new: by column, levels that the real rows do not have.
        outside: by column, the share of numbers outside the range of the real rows.
    """

    rare: int
    covered: int
    lost: tuple[tuple[str, str], ...]
    new: dict[str, tuple[str, ...]]
    outside: dict[str, float]

    @property
    def share(self) -> float | None:
        """Covered over rare; None without rare levels."""
        return self.covered / self.rare if self.rare else None


def coverage(codes: CodedColumns, frame: Any, values: Array) -> Coverage:
    """The rare levels that occur in a table, its new levels and its numbers out of range.

    A rare level counts if a faithful table of as many rows would have it with a probability of at
    least 95 %, so that a small table is not blamed.

    Args:
        codes: the columns of the real rows.
        frame: the table.
        values: the same, encoded.
    """
    found: list[tuple[str, str, float, bool]] = []
    for i, column in enumerate(codes.columns):
        present = set(values[~np.isnan(values[:, i]), i].tolist())
        found += [
            (column.name, level, share, code in present)
            for code, (level, share) in enumerate(zip(column.levels, column.shares, strict=True))
            if share <= RARE and (1 - share) ** len(values) < 0.05
        ]
    lost = sorted((line for line in found if not line[3]), key=lambda line: -line[2])
    new = {c.name: c.new_levels(frame[c.name]) for c in codes.columns}
    outside = {c.name: _outside(c, values[:, i]) for i, c in enumerate(codes.columns)}
    return Coverage(
        len(found),
        len(found) - len(lost),
        tuple((name, level) for name, level, _, _ in lost),
        {name: levels for name, levels in new.items() if levels},
        {name: share for name, share in outside.items() if share},
    )


def _outside(column: CodedColumn, values: Array) -> float:
    if not len(column.values):
        return 0.0
    seen = values[~np.isnan(values)]
    low, high = column.values[0], column.values[-1]
    return float(((seen < low) | (seen > high)).mean()) if len(seen) else 0.0
