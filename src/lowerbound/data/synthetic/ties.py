"""Columns of numbers that equal another column in many rows: a list price that was never changed.

Independent columns of the same resolution are equal now and then, and so are columns that are close
to each other, but these are one step apart about as often. A pair has ties if many more rows are
equal than are 1, 2 or 3 steps apart. Rows in which both values are frequent, such as two zeros, are
no evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column

FEWEST, LEAST_SHARE = 10, 0.01  # equal rows, and their share of the rows that are evidence
NEIGHBORS = (1, 2, 3)  # steps apart
CERTAINTY = 3.0  # standard errors
FREQUENT_ROWS, FREQUENT_SHARE, LEAD = 5, 0.004, 3.0  # of a value; the last over the average value
MOST_ROWS = 20_000  # that are looked at
MOST_SOURCES = 6  # pairs of one column
BLOCK = 2**22  # differences at once


def found_ties(columns: Sequence[Column], values: Array) -> tuple[tuple[int, int], ...]:
    """Pairs of places of columns with ties, those with most equal rows first.

    Args:
        columns: of the table.
        values: (rows, columns) in units of the table; NaN where missing.
    """
    numeric = np.array([place for place, each in enumerate(columns) if not each.levels], dtype=int)
    every = max(1, len(values) // MOST_ROWS)
    some = values[::every][:, numeric]
    steps = np.array([columns[place].rules.lattice.step for place in numeric])
    usual = ~np.stack([_frequent(column) for column in some.T], 1) if len(numeric) else some
    found = []
    for place in range(len(numeric) - 1):
        equal, evidence = _equal(some, usual, steps, place)
        for other in np.flatnonzero(evidence):
            found.append((-int(equal[other]), place, place + 1 + int(other)))
    counts = np.zeros(len(numeric), dtype=int)
    kept = []
    for _, *pair in sorted(found):
        if counts[pair].max() < MOST_SOURCES:
            counts[pair] += 1
            kept.append((int(numeric[pair[0]]), int(numeric[pair[1]])))
    return tuple(kept)


def _frequent(column: Array) -> Array:
    """Whether the value of each row is frequent; missing ones are."""
    _, places, counts = np.unique(column, return_inverse=True, return_counts=True)
    there = np.isfinite(column)
    least = max(
        FREQUENT_ROWS, FREQUENT_SHARE * len(column), LEAD * there.sum() / max(1, len(counts))
    )
    return np.asarray((counts >= least)[places] | ~there)


def _equal(values: Array, usual: Array, steps: Array, place: int) -> tuple[Array, Array]:
    """Equal rows of a column and each later one, and whether these are evidence."""
    later = slice(place + 1, None)
    step = np.maximum(steps[place], steps[later])
    slack = 0.25 * np.minimum(steps[place], steps[later])
    size = max(1, BLOCK // max(1, values.shape[1]))
    counts = np.zeros((2 + len(NEIGHBORS), len(step)))
    for start in range(0, len(values), size):
        rows = slice(start, start + size)
        evident = usual[rows, place, None] | usual[rows, later]
        apart = np.where(evident, np.abs(values[rows, later] - values[rows, place, None]), np.nan)
        counts[0] += np.isfinite(apart).sum(0)
        counts[1] += (apart <= slack).sum(0)
        for index, number in enumerate(NEIGHBORS):
            near = np.abs(apart - number * step) <= slack
            counts[2 + index] += 0.5 * near.sum(0)
    rows_looked_at, equal = counts[:2]
    chance = np.where(slack > 0, counts[2:].max(0), 0.0)
    least = np.maximum(FEWEST, LEAST_SHARE * rows_looked_at)
    sure = equal > 2 * chance + CERTAINTY * np.sqrt(chance)
    return equal, (equal >= least) & sure
