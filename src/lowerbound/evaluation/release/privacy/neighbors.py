"""Distances between encoded rows, in chunks, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lowerbound.data.arrays import Array

CHUNK_CELLS = 4_000_000
SAME = 1e-9  # squared distance below which rows are equal, beyond rounding


def nearest_distances(rows: Array, others: Array, count: int = 1, *, itself: bool = False) -> Array:
    """Distances to the ``count`` nearest other rows, increasing, (rows, count).

    Args:
        rows, others: coordinates, (rows, width).
        count: number of neighbors.
        itself: whether ``others`` are ``rows``, so that a row is not its own neighbor.
    """
    found = np.empty((len(rows), count))
    for part, squared in squared_distances(rows, others):
        if itself:
            squared[np.arange(len(squared)), np.arange(part.start, part.stop)] = np.inf
        found[part] = _least(squared, count)
    return np.asarray(np.sqrt(found))


def nearest(rows: Array, others: Array) -> tuple[Array, Array]:
    """(distance of each row to the nearest other row, number of that row), (rows,) each."""
    distance, place = np.empty(len(rows)), np.empty(len(rows), dtype=np.int64)
    for part, squared in squared_distances(rows, others):
        place[part] = squared.argmin(1)
        distance[part] = squared.min(1)
    return np.asarray(np.sqrt(distance)), place


def _least(squared: Array, count: int) -> Array:
    """The smallest numbers of each row, increasing, (rows, count)."""
    if count == 1:
        return np.asarray(squared.min(axis=1, keepdims=True))
    return np.asarray(np.sort(np.partition(squared, count - 1, axis=1)[:, :count], axis=1))


def squared_distances(rows: Array, others: Array) -> Iterator[tuple[slice, Array]]:
    """(slice of the rows, their squared distances to all others (rows of the slice, others))."""
    step = max(1, CHUNK_CELLS // max(len(others), 1))
    lengths = (others**2).sum(1)
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        yield part, squared_between(rows[part], others, lengths)


def squared_between(rows: Array, others: Array, lengths: Array | None = None) -> Array:
    """Squared distances (rows, others); those that are 0 up to rounding are 0."""
    lengths = (others**2).sum(1) if lengths is None else lengths
    squared: Array = (rows**2).sum(1)[:, None] + lengths - 2 * (rows @ others.T)
    squared[squared < SAME] = 0.0
    return squared
