"""The two-sample test of drawn rows of a table: boosting on the values that would be written.

AUROC 0.5: no better than guessing. 1: every drawn or released row can be recognized. This test is
harder than errors of margins, because boosting finds any combination of columns that differs.
Source: Lopez-Paz & Oquab 2017.

Cells of a table become the numbers that every measure computes with. The columns are learned from
one table, the real rows. Other tables of the same columns then become matrices: values for columns
of numbers, codes for columns of levels. A score separates two groups of rows as well as its AUROC
says, and its true positives at few false ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.classical.linear_regression import small_fit
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import Hint, check_hints, understood
from lowerbound.data.columns.values import Level, factorized, finite_numbers, level_name, missing
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError
from lowerbound.evaluation.intervals import Interval, clopper_pearson

ROUNDS = 200  # trees of the boosting
LEAF = 20  # rows of a leaf at least, as is scikit-learn's default
MOST_CODES = 250  # levels of a column that a boosted tree splits; the others count as one
MOST_INDICATORS = 48  # levels of a column with a number of their own in the coordinates
FOLDS = 5  # of the two-sample test
LEAVES, LEAST_LEAF = 16, 2  # of few rows; in each leaf at least so many


def boosted_classifier(unordered: Array, seed: int, leaf: int = LEAF) -> Any:
    """scikit-learn's histogram gradient boosting with 200 trees for each class.

    Args:
        unordered: mask of the columns whose codes have no order.
        seed: of its draws.
        leaf: rows of a leaf at least.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=0.1,
        categorical_features=unordered,
        min_samples_leaf=leaf,
        random_state=seed,
    )


def boosted_regressor(unordered: Array, seed: int) -> Any:
    """The same for a number; ``unordered`` and ``seed`` as for the classifier."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=ROUNDS, learning_rate=0.1, categorical_features=unordered, random_state=seed
    )


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
        table = [float(index.get(level_name(value), len(self.levels))) for value in distinct]
        answer = np.array([*table, np.nan])[codes]
        answer[missing(series)] = np.nan
        return answer

    def new_levels(self, series: Any) -> tuple[str, ...]:
        """The levels that the real rows do not have."""
        if not self.column.levels:
            return ()
        known, (_, distinct) = set(self.levels), factorized(series[~missing(series)])
        return tuple(sorted({level_name(value) for value in distinct} - known))

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
    counts = dict.fromkeys((level_name(level) for level in levels), 0)
    for value, count in zip(distinct, np.bincount(codes, minlength=len(distinct)), strict=True):
        counts[level_name(value)] = counts.get(level_name(value), 0) + int(count)
    order = sorted((level for level in counts if counts[level]), key=lambda key: -counts[key])
    return tuple(order), np.array([counts[level] for level in order], dtype=np.float64)


def _as_ordered(codes: Array, column: CodedColumn) -> Array:
    """Codes by the order of the levels instead of their frequency; a new level comes last."""
    order = {level_name(level): place for place, level in enumerate(column.column.levels)}
    places = [float(order[level]) for level in column.levels]
    table = np.array([*places, float(len(order)), math.nan])
    return np.asarray(table[np.where(np.isnan(codes), len(table) - 1, codes).astype(int)])


@dataclass(frozen=True)
class AtFalsePositives:
    """True positives where few false positives are allowed.

    Attributes:
        allowed: the largest rate of false positives.
        reached: the rate of false positives at the threshold, at most ``allowed``, with the exact
            95 % interval of what it would be in a control group without end.
        true_positives: the rate of true positives there, with its exact 95 % interval.
    """

    allowed: float
    reached: Interval
    true_positives: Interval


Clusters = tuple[Array, Array]
"""The person, or row, that each score of the two groups belongs to: whole numbers from 0."""


def area(positive: Array, negative: Array, clusters: Clusters | None = None) -> tuple[float, float]:
    """(AUROC, its standard error by DeLong et al. 1988); equal scores count half.

    Args:
        positive: scores of the group that should have higher ones, (rows,).
        negative: scores of the other group, (rows,).
        clusters: if scores of the same row may be alike, the row of each score of both groups; the
            error is then that of Obuchowski 1997.
    """
    above, below = _placements(positive, negative)
    value = float(above.mean())
    if clusters is None:
        parts = [p.var(ddof=1) / len(p) if len(p) > 1 else 0.25 for p in (above, below)]
        return value, math.sqrt(sum(parts))
    count = 1 + max(int(rows.max()) for rows in clusters)
    sums = sum(
        np.bincount(rows, (placed - value) / len(placed), count)
        for rows, placed in zip(clusters, (above, below), strict=True)
    )
    return value, math.sqrt(count / max(count - 1, 1) * float(np.square(sums).sum()))


def area_interval(positive: Array, negative: Array, clusters: Clusters | None = None) -> Interval:
    """AUROC with its 95 % interval; without any spread, the ends are those of exact pairs.

    There is no spread if the groups do not overlap, or all scores are equal.
    """
    value, error = area(positive, negative, clusters)
    if not error:
        pairs = min(len(positive), len(negative))
        exact = clopper_pearson(round(value * pairs), pairs)
        return Interval(value, exact.low, exact.high)
    half = 1.959964 * error
    return Interval(value, max(value - half, 0.0), min(value + half, 1.0))


def at_false_positives(positive: Array, negative: Array, allowed: float) -> AtFalsePositives | None:
    """The rate of true positives above the lowest threshold that ``allowed`` permits.

    The interval is that of the rate at this threshold.

    Returns:
        None if there are fewer than 1 / ``allowed`` negative rows.
    """
    if len(negative) * allowed < 1:
        return None
    order = np.sort(negative)[::-1]
    threshold = order[math.floor(allowed * len(negative))]
    alarms, hits = int((negative > threshold).sum()), int((positive > threshold).sum())
    return AtFalsePositives(
        allowed, clopper_pearson(alarms, len(negative)), clopper_pearson(hits, len(positive))
    )


def _placements(positive: Array, negative: Array) -> tuple[Array, Array]:
    """Of each positive row, the share of negative rows below it; of each negative, above it."""
    from scipy.stats import rankdata

    n, m = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:n] - rankdata(positive)) / m
    below = 1 - (ranks[n:] - rankdata(negative)) / n
    return above, below


def distinguished(
    codes: CodedColumns, first: Array, second: Array, seed: int = 0, folds: int = FOLDS
) -> Interval:
    """AUROC of boosting that distinguishes two tables, with its 95 % interval.

    Args:
        codes: the columns.
        first, second: encoded rows; surplus rows of the larger table are left out at random.
        seed, folds: as for ``boosted_area``.
    """
    x, unordered = codes.for_trees(np.concatenate([first, second]))
    return boosted_area(x[: len(first)], x[len(first) :], unordered, seed, folds)


def boosted_area(
    first: Array, second: Array, unordered: Array, seed: int = 0, folds: int = FOLDS
) -> Interval:
    """AUROC of boosting that distinguishes two sets of rows, with its 95 % interval.

    Each row is scored by a classifier that was trained without it. AUROC is the mean over the
    folds. Its variance is that of DeLong in each fold, times 1 + folds / (folds - 1), because the
    classifiers share training rows (Nadeau & Bengio 2003). Trees of few rows have small leaves,
    since they could not split these rows otherwise.

    Args:
        first, second: rows for trees, NaN if missing; surplus rows of the larger set are left out
            at random.
        unordered: mask of the columns whose codes have no order.
        seed: of the rows that are used, the folds and the classifiers.
        folds: parts of the rows, each scored by a classifier that was trained on the others.
    """
    random = np.random.default_rng(seed)
    count = min(len(first), len(second))
    tables = [rows[random.permutation(len(rows))[:count]] for rows in (first, second)]
    x = np.concatenate(tables)
    y = np.repeat([0, 1], count)
    fold = np.concatenate([random.permutation(np.arange(count) % folds) for _ in tables])
    areas = []
    for part in range(folds):
        learn, test = fold != part, fold == part
        with small_fit():
            seen = ~np.isnan(x[learn]).all(0)  # the library refuses a column without a value
            leaf = min(LEAF, max(LEAST_LEAF, int(learn.sum()) // LEAVES))
            model = boosted_classifier(unordered[seen], seed, leaf)
            model.fit(x[learn][:, seen], y[learn])
            scores = model.predict_proba(x[test][:, seen])[:, 1]
        areas.append(area(scores[y[test] == 1], scores[y[test] == 0]))
    value = float(np.mean([mean for mean, _ in areas]))
    error = math.sqrt(sum(error**2 for _, error in areas) * (1 + folds / (folds - 1))) / folds
    return Interval(value, max(value - 1.96 * error, 0.0), min(value + 1.96 * error, 1.0))


def judged_columns(schema: Schema, real: Tensor, samples: Tensor, seed: int = 0) -> Interval:
    """AUROC of boosting that distinguishes samples from real rows, with its 95 % interval.

    0.5: it cannot; 1: always. Numbers have the resolution of the table, so that rounding alone
    tells no row. If no cell of the samples is missing, they are compared in the cells that the real
    rows have.

    Args:
        schema: of the rows, with columns.
        real, samples: (rows, columns) in model units, as many of each; NaN if missing.
        seed: of the folds and the classifiers.
    """
    unordered = np.array([bool(c.levels) and not c.rules.ordered for c in schema.columns])
    samples = in_cells_of(real, samples)
    tables = [_values(schema, rows, unordered, rows.isnan()) for rows in (real, samples)]
    return boosted_area(tables[0], tables[1], unordered, seed)


def in_cells_of(real: Tensor, samples: Tensor) -> Tensor:
    """Samples in the cells that the real rows have, (rows, columns); NaN elsewhere.

    Samples with missing cells of their own are unchanged: the model draws which are missing.
    """
    return samples if samples.isnan().any() else samples.masked_fill(real.isnan(), float("nan"))


def _values(schema: Schema, rows: Tensor, unordered: Array, hidden: Tensor) -> Array:
    """Values and codes for boosted trees; NaN where hidden."""
    values = np.array(schema.decode(rows.nan_to_num(nan=0.0), rounded=True), dtype=np.float64)
    values[:, unordered] = np.minimum(values[:, unordered], MOST_CODES)
    values[schema.data_kind.laid_out(schema, hidden.numpy())] = np.nan
    return values
