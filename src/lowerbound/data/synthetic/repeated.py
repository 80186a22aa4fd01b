"""Values that rows of a column share more often than by chance, so that synthetic rows do so too.

A cell of a histogram has a probability, and says nothing of the values in it: of 500 prices most
may end in .99. In a cell, a drawn value is one of the repeated values with the share of the rows
that have them there, in proportion to these rows; the others are drawn as before. A whole number
that is no more frequent than the numbers around it is none of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.protection.people import People

FEWEST_ROWS = 3  # that have a value
AROUND = 10  # distinct values on each side, with which one is compared
CERTAINTY = 3.0  # standard errors
LEAST_SHARE = 0.05  # of the rows that have such values
FEW_VALUES = 64  # of a column with steps, whose cells hold one value each
MOST_VALUES = 1_000
ROUNDED = 1e-6  # relative error of numbers that were float32


@dataclass(frozen=True)
class RepeatedValues:
    """The values of a column that several rows have.

    Attributes:
        values: increasing, units of the table.
        rows: how many rows have each.
        between: rows with other values: below the first, between each two, and above the last.
    """

    values: tuple[float, ...]
    rows: tuple[int, ...]
    between: tuple[int, ...]

    @classmethod
    def of(
        cls, values: Array, lattice: Lattice, people: People | None = None
    ) -> RepeatedValues | None:
        """Those of a column; None if there are hardly any, or its cells hold one value each.

        Args:
            values: of the rows, units of the table; NaN where missing.
            lattice: the resolution of the column.
            people: of whom enough must have a repeated value; None: ``FEWEST_ROWS`` rows.
        """
        there = np.isfinite(values)
        distinct, place, rows = np.unique(values[there], return_inverse=True, return_counts=True)
        # float32 numbers that were read from decimals may differ from the lattice in a bit
        step = 0.0 if lattice.single else lattice.step
        kept: Array = np.asarray(rows >= np.maximum(FEWEST_ROWS, by_chance(distinct, rows, step)))
        if people is not None:
            kept = kept & people.enough(place, there, len(distinct))
        if kept.sum() > MOST_VALUES:
            kept &= rows >= np.sort(rows)[-MOST_VALUES]
        if rows[kept].sum() < LEAST_SHARE * max(1, rows.sum()):
            return None
        if step and len(distinct) <= FEW_VALUES:
            return None
        place = np.cumsum(kept)[~kept]
        between = np.bincount(place, rows[~kept], minlength=int(kept.sum()) + 1).astype(int)
        return cls(
            tuple(distinct[kept].tolist()), tuple(rows[kept].tolist()), tuple(between.tolist())
        )

    def drawn(self, values: Array, low: Array, high: Array, level: Array) -> Array:
        """Drawn values, some of which are replaced by repeated ones; all (rows,).

        Args:
            values: drawn from the cells, units of the table.
            low, high: ends of the part of the cell that each is from; equal if the cell holds one
                value.
            level: uniform numbers of [0, 1).
        """
        known, upto, others = self._cumulative
        slack = ROUNDED * np.maximum(np.abs(low), np.abs(high))
        one = high - low <= slack
        first = np.searchsorted(known, low - slack * one)
        last = np.searchsorted(known, high + slack * one, side="right")
        repeated = upto[last] - upto[first]
        rest = np.where(one, 0.0, self._others(high, others) - self._others(low, others))
        goal = level * (repeated + rest)
        place = np.searchsorted(upto, upto[first] + goal, side="right") - 1
        taken = (goal < repeated) & (repeated > 0)
        return np.where(taken, known[np.minimum(place, len(known) - 1)], values)

    @cached_property
    def _cumulative(self) -> tuple[Array, Array, Array]:
        """(values, rows below each and of all, other rows below each and of all)."""
        return (
            np.array(self.values),
            np.concatenate([[0.0], np.cumsum(self.rows, dtype=np.float64)]),
            np.cumsum(self.between, dtype=np.float64),
        )

    def _others(self, end: Array, others: Array) -> Array:
        """Rows with other values up to each end; evenly spread between two repeated values."""
        return np.asarray(np.interp(end, self.values, others[:-1], left=0.0, right=others[-1]))


def by_chance(distinct: Array, rows: Array, step: float) -> Array:
    """How many rows a value of the column's steps may have by chance, given those around it."""
    if not step or len(distinct) < 2:
        return np.zeros(len(distinct))
    place = np.arange(len(distinct))
    first, last = np.maximum(place - AROUND, 0), np.minimum(place + AROUND, len(distinct) - 1)
    upto = np.concatenate([[0], np.cumsum(rows)])
    others = upto[last + 1] - upto[first] - rows
    usual = others / np.maximum((distinct[last] - distinct[first]) / step, 1.0)
    return np.asarray(usual + CERTAINTY * np.sqrt(usual))
