"""Rows that are like others, from which these take cells (a hot deck)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array

MOST_DONORS = 512  # that each row is compared with
NEAREST = 5  # donors, of which one is taken by chance
AT_ONCE = 1 << 22  # comparisons
CLOSE = 10.0  # weight of columns that are tied to those that are taken


@dataclass(frozen=True, eq=False)
class SimilarRows:
    """Compares rows by all their columns.

    Attributes:
        numbers: ranks of each column of numbers between 0 and 1, NaN where missing.
        levels: codes of each column of levels, NaN where missing.
    """

    numbers: Mapping[str, Array]
    levels: Mapping[str, Array]

    @classmethod
    def of(cls, values: Mapping[str, Array], leveled: Collection[str]) -> SimilarRows:
        """Those of a table; ``leveled`` names its columns of codes."""
        numbers = {name: _ranks(each) for name, each in values.items() if name not in leveled}
        return cls(numbers, {name: each for name, each in values.items() if name in leveled})

    def donors(
        self,
        rows: Array,
        pool: Array,
        without: Collection[str],
        close: Collection[str],
        draw: np.random.Generator,
        most: Array | None = None,
    ) -> Array:
        """For each of some rows a row of the pool that is like it, (rows,).

        Args:
            rows: numbers of the rows.
            pool: numbers of possible donors.
            without: columns that are not compared.
            close: columns that are to agree first of all.
            draw: decides which donors are compared, and which of the nearest is taken.
            most: for how many rows each row of the table may be taken, as long as there are
                others, (table's rows,); None: any number.
        """
        some = draw.choice(pool, min(len(pool), MOST_DONORS), replace=False)
        left = np.full(len(some), np.inf) if most is None else most[some]
        limited = not np.isinf(left).all()
        found = np.empty(len(rows), dtype=np.int64)
        size = max(1, AT_ONCE // len(some))
        for start in range(0, len(rows), size):
            far = self._distances(rows[start : start + size], some, without, close)
            if not limited:
                found[start : start + size] = some[_near(far, draw)]
                continue
            for place in range(len(far)):
                free = np.flatnonzero(left > 0) if (left > 0).any() else np.arange(len(some))
                taken = free[_near(far[place : place + 1, free], draw)[0]]
                left[taken] -= 1
                found[start + place] = some[taken]
        return found

    def _distances(
        self, rows: Array, donors: Array, without: Collection[str], close: Collection[str]
    ) -> Array:
        far = np.zeros((len(rows), len(donors)), dtype=np.float32)
        for name, each in {**self.numbers, **self.levels}.items():
            if name in without:
                continue
            weight = CLOSE if name in close else 1.0
            own, other = each[rows].astype(np.float32), each[donors].astype(np.float32)
            if name in self.levels:
                own, other = np.nan_to_num(own, nan=-1), np.nan_to_num(other, nan=-1)
                far += weight * (own[:, None] != other)
                continue
            apart = np.abs(own[:, None] - other)
            gone = np.isnan(own)[:, None] != np.isnan(other)
            far += weight * np.where(np.isnan(apart), gone, apart)
        return far


def _near(far: Array, draw: np.random.Generator) -> Array:
    """For each row, by its distances from donors, one of the nearest: among ties, and near ones, by
    chance; never a farther one in the tied columns, (rows,)."""
    count = min(NEAREST, far.shape[1])
    nearest = np.argpartition(far, count - 1, axis=1)[:, :count]
    level = np.take_along_axis(far, nearest, 1) < far.min(1, keepdims=True) + 0.5 * CLOSE
    chance = draw.random(nearest.shape) * level
    return np.asarray(nearest[np.arange(len(far)), chance.argmax(1)])


def _ranks(values: Array) -> Array:
    """The share of values that are smaller, NaN where missing."""
    there = np.isfinite(values)
    found = np.full(len(values), np.nan)
    present = np.sort(values[there])
    found[there] = np.searchsorted(present, values[there]) / max(1, len(present))
    return found
