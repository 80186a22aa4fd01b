"""Numbers for the cells of a table: what every measure of a released table computes with.

The columns are learned from one table, the real rows. Other tables of the same columns then become
matrices of numbers: values for columns of numbers, codes for columns of levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import Hint, check_hints, understood
from lowerbound.data.columns.values import Level, factorized, finite_numbers, missing, name
from lowerbound.errors import DataError
from lowerbound.evaluation.release.utility.boosting import MOST_CODES

MOST_INDICATORS = 48  # levels of a column with a number of their own in the coordinates


@dataclass(frozen=True, eq=False)
class CodedColumn:
    """One column of the real rows.

    Attributes:
        column: its kind.
        levels: names of its levels, the most frequent first; empty for numbers.
        shares: share of each level among the real rows that are not missing.
        values: the sorted numbers of the real rows; empty for levels.
        missing: share of the real rows without a value.
    """

    column: Column
    levels: tuple[str, ...]
    shares: Array
    values: Array
    missing: float

    @classmethod
    def of(cls, series: Any, hint: Hint | None = None) -> CodedColumn:
        """Learn a column from its cells."""
        column = understood(series, hint, standardize=False, normal_scores=False)
        gone = missing(series)
        if not column.rules.kept:
            return cls(column, (), np.empty(0), np.empty(0), float(gone.mean()))
        if column.levels:
            names, counts = _counted(series[~gone], column.levels)
            shares = counts / max(counts.sum(), 1)
            return cls(column, names, shares, np.empty(0), float(gone.mean()))
        values = _numbers(series, column)
        kept = np.sort(values[~np.isnan(values)])
        return cls(column, (), np.empty(0), kept, float(np.isnan(values).mean()))

    @property
    def name(self) -> str:
        """Its name."""
        return self.column.name

    @property
    def ordered(self) -> bool:
        """Whether its levels have an order, or it has numbers."""
        return self.column.rules.ordered

    @property
    def constant(self) -> bool:
        """Whether all real rows have the same value."""
        if self.levels or self.column.levels:
            return len(self.levels) + (self.missing > 0) < 2
        return not len(self.values) or (self.values[0] == self.values[-1] and not self.missing)

    def encode(self, series: Any) -> Array:
        """Numbers, or codes of levels, float64; NaN if missing; one code for every new level.

        Raises:
            DataError: a column of numbers or dates has text in some rows.
        """
        if not self.column.levels:
            return _numbers(series, self.column)
        index = {level: code for code, level in enumerate(self.levels)}
        codes, distinct = factorized(series)
        table = [float(index.get(name(value), len(self.levels))) for value in distinct]
        answer = np.array([*table, np.nan])[codes]
        answer[missing(series)] = np.nan
        return answer

    def new_levels(self, series: Any) -> tuple[str, ...]:
        """The levels that the real rows do not have."""
        if not self.column.levels:
            return ()
        known, (_, distinct) = set(self.levels), factorized(series[~missing(series)])
        return tuple(sorted({name(value) for value in distinct} - known))

    def bins(self, values: Array, most: int) -> tuple[Array, int]:
        """(the bin of each value, number of bins); the last bin holds missing cells.

        Frequent numbers have a bin of their own, and quantiles of the real rows separate the rest.
        The most frequent levels have a bin each, and the rest share one; new levels share one too.
        """
        gone = np.isnan(values)
        if self.levels or self.column.levels:
            kept, new = min(len(self.levels), most), values == len(self.levels)
            found = np.minimum(np.where(gone, 0, values), kept)
            found[new] = kept + 1
            size = kept + 2
        else:
            atoms, edges = self._grid(most)
            found = len(atoms) + np.searchsorted(edges, values, side="left")
            at = np.searchsorted(atoms, values) if len(atoms) else np.zeros(len(values), int)
            near = np.append(atoms, np.nan)[np.minimum(at, len(atoms))]
            found = np.where(near == values, at, found)
            size = len(atoms) + len(edges) + 1
        return np.where(gone, size, found).astype(np.int64), size + 1

    def _grid(self, most: int) -> tuple[Array, Array]:
        """(numbers with a bin of their own, edges between the others)."""
        distinct, counts = np.unique(self.values, return_counts=True)
        if len(distinct) <= most:
            return distinct, np.empty(0)
        frequent = counts > len(self.values) / most
        rest = np.repeat(distinct[~frequent], counts[~frequent])
        cuts = max(round(most * len(rest) / len(self.values)), 1)
        return distinct[frequent], np.unique(np.quantile(rest, np.arange(1, cuts) / cuts))

    def coordinates(self, values: Array) -> Array:
        """Numbers whose differences are distances, (rows, width).

        Numbers are their position among the real rows, normal scores of their ranks; levels are
        indicators. Two random numbers and two different levels have the squared distance 2.
        """
        from scipy.special import ndtri

        gone = np.isnan(values)
        if self.levels or self.column.levels:
            width = min(len(self.levels), MOST_INDICATORS) + 2
            place = np.where(gone, width - 1, np.minimum(values, width - 2)).astype(int)
            return np.asarray(place[:, None] == np.arange(width), dtype=np.float64)
        if not len(self.values):
            return gone[:, None].astype(np.float64)
        count = len(self.values)
        below = np.searchsorted(self.values, values, side="left")
        upto = np.searchsorted(self.values, values, side="right")
        scores = ndtri((0.5 * (below + upto) + 0.5) / (count + 1))
        place = np.where(gone, 0.0, scores + self._beyond(values))
        return np.stack([place, gone], axis=1).astype(np.float64)

    def _beyond(self, values: Array) -> Array:
        """How far numbers are outside the range of the real rows, in its standard deviations."""
        spread = float(self.values.std()) or 1.0
        low, high = self.values[0], self.values[-1]
        return np.asarray((np.maximum(values - high, 0) - np.maximum(low - values, 0)) / spread)


@dataclass(frozen=True, eq=False)
class CodedColumns:
    """The columns of the real rows.

    Attributes:
        columns: the columns that are measured.
        left_out: names of columns that identify rows.
    """

    columns: tuple[CodedColumn, ...]
    left_out: tuple[str, ...] = ()

    @classmethod
    def learn(cls, frame: Any, hints: Mapping[str, Hint] | None = None) -> CodedColumns:
        """Learn the columns of a frame.

        Args:
            frame: the real rows.
            hints: kinds of columns by name; the others are inferred.

        Raises:
            DataError: a column mixes numbers and text, or no column is left.
            OptionError: a hint names no column, or an unknown kind.
        """
        hints = hints or {}
        check_hints(hints, frame.columns)
        found = [CodedColumn.of(frame[name], hints.get(name)) for name in frame.columns]
        kept = tuple(column for column in found if column.column.rules.kept)
        left_out = tuple(c.name for c in found if not c.column.rules.kept)
        if not kept:
            raise DataError(f"every column identifies rows ({listed(left_out)}): none is left")
        return cls(kept, left_out)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are measured."""
        return tuple(column.name for column in self.columns)

    @property
    def constant(self) -> tuple[str, ...]:
        """Names of the columns with one value in all real rows."""
        return tuple(column.name for column in self.columns if column.constant)

    def position(self, name: str) -> int:
        """The position of a column."""
        return self.names.index(name)

    def without(self, name: str) -> CodedColumns:
        """The same columns, except one."""
        return CodedColumns(tuple(c for c in self.columns if c.name != name), self.left_out)

    def encode(self, frame: Any) -> Array:
        """The numbers of a frame's cells, (rows, columns) float64; NaN if missing."""
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        return np.stack([column.encode(frame[column.name]) for column in self.columns], axis=1)

    def bins(self, values: Array, most: int) -> tuple[Array, Array]:
        """(bins (rows, columns), number of bins of each column)."""
        found = [c.bins(values[:, i], most) for i, c in enumerate(self.columns)]
        return np.stack([bins for bins, _ in found], axis=1), np.array([n for _, n in found])

    def coordinates(self, values: Array) -> tuple[Array, Array]:
        """(coordinates (rows, width), the column of each coordinate)."""
        parts = [c.coordinates(values[:, i]) for i, c in enumerate(self.columns)]
        owner = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
        return np.concatenate(parts, axis=1), owner

    def for_trees(self, values: Array) -> tuple[Array, Array]:
        """(numbers and codes for boosted trees, mask of the columns whose codes have no order)."""
        found, unordered = values.copy(), np.zeros(len(self.columns), dtype=bool)
        for i, column in enumerate(self.columns):
            if column.levels and column.ordered:
                found[:, i] = _as_ordered(values[:, i], column)
            elif column.column.levels:
                unordered[i] = True
                found[:, i] = np.minimum(values[:, i], MOST_CODES)
        return found, unordered


def _numbers(series: Any, column: Column) -> Array:
    """Numbers, dates as seconds."""
    return column.rules.read(series) if column.rules.has_format else finite_numbers(series)


def _counted(series: Any, levels: Sequence[Level]) -> tuple[tuple[str, ...], Array]:
    """(names of the levels that occur, the most frequent first; how often)."""
    codes, distinct = factorized(series)
    counts = dict.fromkeys((name(level) for level in levels), 0)
    for value, count in zip(distinct, np.bincount(codes, minlength=len(distinct)), strict=True):
        counts[name(value)] = counts.get(name(value), 0) + int(count)
    order = sorted((level for level in counts if counts[level]), key=lambda key: -counts[key])
    return tuple(order), np.array([counts[level] for level in order], dtype=np.float64)


def _as_ordered(codes: Array, column: CodedColumn) -> Array:
    """Codes by the order of the levels instead of their frequency; a new level comes last."""
    order = {name(level): place for place, level in enumerate(column.column.levels)}
    places = [float(order[level]) for level in column.levels]
    table = np.array([*places, float(len(order)), math.nan])
    return np.asarray(table[np.where(np.isnan(codes), len(table) - 1, codes).astype(int)])
