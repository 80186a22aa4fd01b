"""Errors of the distributions of single columns, of pairs and of triples of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.release.coded_columns import CodedColumns

BINS = {1: 20, 2: 10, 3: 6}
MOST_SETS = 500  # sets of columns of one size; more are drawn at random


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
