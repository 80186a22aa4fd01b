"""Errors of the columns of a released table: distributions, associations and levels.

Distributions are those of single columns, pairs and triples; associations between two columns are
the trends of a table; levels may be rare ones that are missing, new ones, or numbers outside the
range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.samples.column_judge import CodedColumn, CodedColumns

BINS = {1: 20, 2: 10, 3: 6}
MOST_SETS = 500  # sets of columns of one size; more are drawn at random
RARE = 0.05


@dataclass(frozen=True)
class MarginError:
    """Total variation distances of the sets of columns of one size.

    Attributes:
        size: number of columns in a set.
        mean: over the sets.
        worst: the largest.
        columns: the columns of the worst set.
        sets: number of sets that were measured.
        drawn: whether they are a random part of all sets.
    """

    size: int
    mean: float
    worst: float
    columns: tuple[str, ...]
    sets: int
    drawn: bool


def margin_error(
    codes: CodedColumns, first: Array, second: Array, size: int, seed: int = 0
) -> MarginError:
    r"""TV(p, q) = 1/2 \sum_c |p(c) - q(c)| over the cells c of each set of columns, on bins.

    0 means equal distributions, 1 that no cell is in both tables.

    Args:
        codes: the columns.
        first, second: encoded rows, (rows, columns).
        size: number of columns in a set: 1, 2 or 3.
        seed: of the sets that are drawn if there are more than 500.
    """
    (a, sizes), (b, _) = (codes.bins(rows, BINS[size]) for rows in (first, second))
    sets, drawn = column_sets(len(codes.columns), size, seed)
    found = [total_variation(*_cells(a, b, sizes, chosen)) for chosen in sets]
    worst = int(np.argmax(found))
    names = tuple(codes.names[i] for i in sets[worst])
    return MarginError(size, float(np.mean(found)), found[worst], names, len(sets), drawn)


def column_errors(codes: CodedColumns, first: Array, second: Array) -> dict[str, float]:
    """The total variation distance of each column, by name; arguments as in ``margin_error``."""
    (a, sizes), (b, _) = (codes.bins(rows, BINS[1]) for rows in (first, second))
    found = (total_variation(*_cells(a, b, sizes, (i,))) for i in range(len(codes.columns)))
    return dict(zip(codes.names, found, strict=True))


def column_sets(columns: int, size: int, seed: int) -> tuple[list[tuple[int, ...]], bool]:
    """(sets of columns, whether they are a random part)."""
    sets = list(combinations(range(columns), size)) if columns < 200 else list(_some(columns, size))
    if len(sets) <= MOST_SETS:
        return sets, columns >= 200
    chosen = np.random.default_rng(seed).choice(len(sets), MOST_SETS, replace=False)
    return [sets[i] for i in sorted(chosen)], True


def total_variation(first: Array, second: Array) -> float:
    """The distance of two tables of counts, (cells,)."""
    return 0.5 * float(np.abs(first / first.sum() - second / second.sum()).sum())


def _cells(a: Array, b: Array, sizes: Array, chosen: Sequence[int]) -> tuple[Array, Array]:
    """Counts of the cells of some columns, of both tables."""
    cells = [
        np.ravel_multi_index(tuple(x[:, chosen].T), tuple(sizes[list(chosen)])) for x in (a, b)
    ]
    total = int(np.prod(sizes[list(chosen)]))
    if total > 4 * (len(a) + len(b)):
        found, place = np.unique(np.concatenate(cells), return_inverse=True)
        cells, total = [place[: len(a)], place[len(a) :]], len(found)
    first, second = (np.bincount(cell, minlength=total) for cell in cells)
    return first, second


def _some(columns: int, size: int) -> Iterator[tuple[int, ...]]:
    """Distinct random sets, for tables of so many columns that not all can be listed."""
    random = np.random.default_rng(0)
    seen: set[tuple[int, ...]] = set()
    while len(seen) < min(MOST_SETS, columns):
        chosen = tuple(sorted(random.choice(columns, size, replace=False).tolist()))
        if chosen not in seen:
            seen.add(chosen)
            yield chosen


@dataclass(frozen=True)
class TrendError:
    """Differences between the associations of pairs of columns in two tables.

    Attributes:
        mean: mean absolute difference over the pairs.
        worst: the largest difference.
        columns: the pair with the largest difference.
        first, second: the association of that pair in either table.
    """

    mean: float
    worst: float
    columns: tuple[str, ...]
    first: float
    second: float


def trend_error(
    codes: CodedColumns, first: Array, second: Array, seed: int = 0
) -> TrendError | None:
    """Mean |a_1 - a_2| over pairs; a is Spearman's correlation of two numbers, else Cramér's V.

    Returns:
        None if fewer than two columns vary.
    """
    varied = [i for i, column in enumerate(codes.columns) if not column.constant]
    if len(varied) < 2:
        return None
    sets, _ = column_sets(len(varied), 2, seed)
    pairs = [(varied[i], varied[j]) for i, j in sets]
    a, b = (_associations(codes, rows, pairs) for rows in (first, second))
    off = np.abs(a - b)
    k = int(np.argmax(off))
    names = tuple(codes.names[i] for i in pairs[k])
    return TrendError(float(off.mean()), float(off[k]), names, float(a[k]), float(b[k]))


def _associations(codes: CodedColumns, rows: Array, pairs: list[tuple[int, int]]) -> Array:
    bins, sizes = codes.bins(rows, BINS[2])
    number = [not column.column.levels for column in codes.columns]
    return np.array(
        [
            spearman(rows[:, i], rows[:, j])
            if number[i] and number[j]
            else cramers_v(bins[:, i], bins[:, j], int(sizes[i]), int(sizes[j]))
            for i, j in pairs
        ]
    )


def spearman(x: Array, y: Array) -> float:
    """The correlation of ranks over the rows that have both; 0 if one does not vary."""
    from scipy.stats import rankdata

    both = ~(np.isnan(x) | np.isnan(y))
    if both.sum() < 2:
        return 0.0
    a, b = rankdata(x[both]), rankdata(y[both])
    scale = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / scale) if scale else 0.0


def cramers_v(a: Array, b: Array, rows: int, columns: int) -> float:
    """Cramér's V of two columns of codes, 0 (independent) to 1 (one determines the other)."""
    table = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0].astype(np.float64)
    least = min(table.shape) - 1
    if least < 1:
        return 0.0
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / least))


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
