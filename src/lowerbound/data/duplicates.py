"""Duplicate rows, found so that a model computes the result of each distinct row once."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset

MOST_DISTINCT = 0.9  # fraction of distinct rows above which nothing is saved
_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def distinct(dataset: Dataset) -> tuple[Dataset, Array] | None:
    """The distinct rows and the index of each row among them, (rows,); None if few repeat.

    Rows are equal if values, missing cells and conditions agree bit by bit. A 64-bit hash finds
    them, and a comparison with the first of them confirms it.
    """
    same = same_rows(_words(dataset)) if len(dataset) > 1 else None
    return None if same is None else (dataset.subset(same[0]), same[1])


def same_rows(words: Array) -> tuple[Array, Array] | None:
    """The first row of each group of equal rows, (groups,), and the group of each row, (rows,).

    Args:
        words: rows as 64-bit numbers of any meaning, (rows, words).

    Returns:
        None if few rows repeat.
    """
    import pandas as pd

    words = words.view(np.uint64)
    place, _ = pd.factorize(_hashes(words))
    count = int(place.max(initial=-1)) + 1
    if count > MOST_DISTINCT * len(words):
        return None
    first = np.empty(count, dtype=np.int64)
    first[place[::-1]] = np.arange(len(words))[::-1]
    if not np.array_equal(words, words[first[place]]):  # once in 10^8 tables of a million rows
        return None
    return first, place


def _words(dataset: Dataset) -> Array:
    """The model's input for each row as (rows, words) unsigned 64-bit numbers."""
    condition = dataset.schema.condition
    label = dataset.label if condition is not None and condition.kind == "label" else None
    seen = (dataset.x, dataset.observed, dataset.condition, label)
    parts = [_bytes(values) for values in seen if values is not None]
    width = sum(part.shape[1] for part in parts)
    padding = np.zeros((len(dataset), -width % 8), dtype=np.uint8)
    return np.ascontiguousarray(np.concatenate([*parts, padding], axis=1)).view(np.uint64)


def _bytes(values: Tensor) -> Array:
    array = np.ascontiguousarray(values.detach().cpu().numpy().reshape(len(values), -1))
    return array.view(np.uint8)


def _hashes(words: Array) -> Array:
    """A hash of each row of words, (rows,)."""
    total = np.zeros(len(words), dtype=np.uint64)
    for column in range(words.shape[1]):
        # a float differs mostly in its upper bits, and a product spreads only the lower bits
        total = (total ^ words[:, column]) * _ODD
        total ^= total >> _HALF
    return total * _ODD
