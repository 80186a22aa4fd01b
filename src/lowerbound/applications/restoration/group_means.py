r"""Means of a column among the rows that share a value of another, as features of its trees.

Of the rows of one shop, patient or day, a tree sees only how its number compares with others. The
mean of the column among these rows says more. It is shrunk as in a model with random effects: of
n_g rows with the mean m_g, within a variance s^2 and between groups t^2,

.. math:: \hat m_g = m + \frac{n_g}{n_g + s^2 / t^2} (m_g - m)

(Robinson 1991; Micci-Barreca 2001). Rows that trees are grown on see means of the other folds only,
because a mean that includes the row's own value reveals it. So does a mean without just this
value: in its group, it is the higher the lower the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.lookups import places_of

FOLDS = 10
FEWEST_VALUES = 8  # of a column that groups rows: trees split few as well
MOST_GROUPINGS = 10  # of a column
MOST_SHARES = 7  # levels whose shares are features
LEAST_RATIO = 1e-9  # of variances
LEAST_GAIN = 0.01  # share of the variance that means of other folds explain
STORED = ("overall", "places", "sizes", "values", "means")


@dataclass(frozen=True, eq=False)
class Grouping:
    """Means of a column by the values of another.

    Attributes:
        place: of the other column in the schema.
        values: of the other column, units of the table or codes of levels, increasing, (values,).
        means: shrunk, (values, numbers).
    """

    place: int
    values: Array
    means: Array


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """Means of a column by the values of others.

    Attributes:
        overall: of all rows, (numbers,).
        groupings: one or more.
    """

    overall: Array
    groupings: tuple[Grouping, ...]

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.groupings) * len(self.overall)

    def features(self, values: Array) -> Array:
        """The means of the rows' groups, (rows, features); overall ones of other rows.

        Args:
            values: units of the table or codes of levels, NaN where missing, (rows, columns).
        """
        each = []
        for grouping in self.groupings:
            which = places_of(values[:, grouping.place], grouping.values)
            each.append(np.vstack([grouping.means, self.overall])[which])
        return np.concatenate(each, 1)

    @classmethod
    def of(cls, arrays: Mapping[str, Array], columns: int) -> GroupMeans:
        """Means from stored arrays, which anyone may have written.

        Raises:
            ValueError: the arrays are no means of groups by some of so many columns.
        """
        sizes, places = arrays["sizes"], arrays["places"]
        right = sizes.ndim == 1 and sizes.shape == places.shape and len(sizes) > 0
        right = right and bool((sizes > 0).all() and (places >= 0).all())
        right = right and bool((places < columns).all() and sizes.sum() == len(arrays["values"]))
        right = right and arrays["means"].shape == (len(arrays["values"]), *arrays["overall"].shape)
        right = right and arrays["overall"].ndim == 1 and arrays["values"].ndim == 1
        right = right and all(np.isfinite(arrays[name]).all() for name in STORED)
        if not right:
            raise ValueError("its means of groups have wrong sizes or places")
        ends = np.cumsum(sizes)[:-1]
        parts = (np.split(arrays[name], ends) for name in ("values", "means"))
        each = tuple(Grouping(int(p), v, m) for p, v, m in zip(places, *parts, strict=True))
        if not all((np.diff(own.values) > 0).all() for own in each):
            raise ValueError("its means of groups have values that do not increase")
        return cls(arrays["overall"], each)

    def arrays(self) -> dict[str, Array]:
        """What ``of`` reads."""
        return {
            "overall": self.overall,
            "places": np.array([own.place for own in self.groupings]),
            "sizes": np.array([len(own.values) for own in self.groupings]),
            "values": np.concatenate([own.values for own in self.groupings]),
            "means": np.concatenate([own.means for own in self.groupings]),
        }


@dataclass(frozen=True, eq=False)
class KnownCells:
    """The observed cells of a table, of which means are taken.

    Attributes:
        columns: of the schema.
        cells: units of the table or codes of levels, NaN where not observed, (rows, columns).
        seed: of the folds.
    """

    columns: Sequence[Column]
    cells: Array
    seed: int

    def means(self, place: int, rows: Array) -> tuple[GroupMeans, Array] | None:
        """Means of a column, and those without the fold of each of some rows, (some rows,
        features); None if no other column's values explain it.

        Args:
            place: of the column.
            rows: their numbers, (some rows,).
        """
        there = np.isfinite(self.cells[:, place])
        y = _numbers(self.cells[there, place], self.columns[place])
        found = []
        for other, (distinct, which) in self._groups.items():
            if other != place:
                means = _Folds.of(y, which[there], self._fold[there], len(distinct))
                if means is not None and means.gain >= LEAST_GAIN:
                    found.append((other, distinct, means))
        found = sorted(found, key=lambda each: -each[2].gain)[:MOST_GROUPINGS]
        if not found:
            return None
        groupings = tuple(
            Grouping(other, distinct, folds.means) for other, distinct, folds in found
        )
        apart = [
            folds.without[self._fold[rows], self._groups[other][1][rows]]
            for other, _, folds in found
        ]
        return GroupMeans(y.mean(0), groupings), np.concatenate(apart, 1)

    @cached_property
    def _fold(self) -> Array:
        """Of each row."""
        return np.random.default_rng(self.seed).permutation(len(self.cells)) % FOLDS

    @cached_property
    def _groups(self) -> dict[int, tuple[Array, Array]]:
        """Of columns that group rows: their values, and the number of each row's value."""
        found = {}
        for place, column in enumerate(self.columns):
            cells = self.cells[:, place]
            distinct = np.unique(cells[np.isfinite(cells)])
            if column.modeled and FEWEST_VALUES <= len(distinct) <= len(cells) // 2:
                found[place] = distinct, places_of(cells, distinct)
        return found


@dataclass(frozen=True, eq=False)
class _Folds:
    """Means of groups, of all rows and without each fold.

    Attributes:
        means: (values, numbers).
        without: the last value is for rows in no group, (folds, values + 1, numbers).
        gain: share of the variance that they explain in the fold left out.
    """

    means: Array
    without: Array
    gain: float

    @classmethod
    def of(cls, y: Array, which: Array, fold: Array, values: int) -> _Folds | None:
        """None if groups differ by no more than chance.

        Args:
            y: numbers of each row, (rows, numbers).
            which: the number of the row's value; ``values`` for none, (rows,).
            fold: (rows,).
            values: their number.
        """
        cell = fold * (values + 1) + which
        shape = (FOLDS, values + 1)
        rows = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
        sums = np.stack(
            [np.bincount(cell, each, shape[0] * shape[1]).reshape(shape) for each in y.T], -1
        )
        ratio = _variance_ratio(y[which < values], rows.sum(0)[:-1], sums.sum(0)[:-1])
        if ratio is None:
            return None
        without = _shrunk(rows.sum(0) - rows, sums.sum(0) - sums, ratio)
        missed = np.square(y - without[fold, which]).sum()
        base = np.square(y - without[fold, -1]).sum()
        means = _shrunk(rows.sum(0)[None], sums.sum(0)[None], ratio)[0, :-1]
        return cls(means, without, float(1 - missed / base) if base > 0 else 0.0)


def _shrunk(rows: Array, sums: Array, ratio: float) -> Array:
    """Shrunk means, (folds, values + 1, numbers); the last value's is the overall mean."""
    overall = sums.sum(1, keepdims=True) / np.maximum(rows.sum(1), 1)[:, None, None]
    found = (sums + ratio * overall) / (rows + ratio)[..., None]
    found[:, -1] = overall[:, 0]
    return np.asarray(found)


def _variance_ratio(y: Array, rows: Array, sums: Array) -> float | None:
    """s^2 / t^2 by the method of moments, of rows in groups; None if t^2 is not positive.

    Args:
        y: numbers of each row, (rows, numbers).
        rows: of each group, (groups,).
        sums: of each group, (groups, numbers).
    """
    rows, sums = rows[rows > 0], sums[rows > 0]
    count, groups = len(y), len(rows)
    if groups < FEWEST_VALUES or count <= groups:
        return None
    mean = y.mean(0)
    between = float((rows[:, None] * np.square(sums / rows[:, None] - mean)).sum())
    within = max(float(np.square(y - mean).sum()) - between, 0.0) / (count - groups)
    typical = (count - np.square(rows).sum() / count) / (groups - 1)  # rows of a group
    apart = (between / (groups - 1) - within) / typical
    return max(within / apart, LEAST_RATIO) if apart > 0 else None


def _numbers(cells: Array, column: Column) -> Array:
    """What is averaged of observed cells, (rows, 1); of levels, whether they are each of the most
    frequent but one, (rows, numbers)."""
    if not column.levels:
        return column.rules.averaged(column.rules.rounded(cells))[:, None]
    counts = np.bincount(cells.astype(np.int64), minlength=len(column.levels))
    most = np.argsort(-counts, kind="stable")[: min(MOST_SHARES, len(counts) - 1)]
    return np.asarray(cells[:, None] == most, dtype=np.float64)
