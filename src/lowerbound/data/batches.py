"""Rows from torch's data sets and loaders, and from iterators of batches, collected in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lowerbound import untrusted
from lowerbound.data.arrays import Array, as_array
from lowerbound.errors import DataError

WHAT = "the data in batches"


def is_batched(source: Any) -> bool:
    """Whether ``source`` gives rows or batches one after the other."""
    return isinstance(source, (Dataset, DataLoader, Iterator))


def collected(source: Any) -> tuple[Array, Array | None]:
    """All rows, (rows, ...), and their labels, (rows,), if the source gives them.

    Args:
        source: a torch ``Dataset``, whose items are rows; or a ``DataLoader`` or another iterator,
            whose items are batches. An item is x, or a tuple that begins with x and the label.

    Raises:
        DataError: there are no rows, an item is of another form, rows differ in shape, or they need
            more memory than the limit of ``untrusted.memory``.
    """
    rows: list[Array] = []
    labels: list[Array] = []
    size = 0
    for item in _batches(source):
        x, label = _parts(item)
        if rows and x.shape[1:] != rows[0].shape[1:]:
            raise DataError(
                f"{WHAT}: rows have the shapes {rows[0].shape[1:]} and {x.shape[1:]}; all rows "
                "need one shape"
            )
        size += x.nbytes
        # the parts and the whole are in memory at once
        untrusted.check_memory(2 * size, WHAT, DataError)
        rows.append(x)
        labels += [] if label is None else [label]
    if not rows:
        raise DataError(f"{WHAT} has no rows: an iterator gives its batches only once")
    return np.concatenate(rows), np.concatenate(labels) if len(labels) == len(rows) else None


def _batches(source: Any) -> Iterator[Any]:
    """Items that are batches; the rows of a data set are batches of one."""
    if not isinstance(source, Dataset):
        yield from source
    elif isinstance(source, IterableDataset):
        yield from map(_single, source)
    else:
        sized: Any = source  # torch declares no length
        yield from (_single(sized[index]) for index in range(len(sized)))


def _single(item: Any) -> Any:
    parts = item if isinstance(item, (tuple, list)) else (item,)
    return tuple(np.asarray(part)[None] for part in parts[:2])


def _parts(item: Any) -> tuple[Array, Array | None]:
    parts = item if isinstance(item, (tuple, list)) else (item,)
    if not len(parts) or isinstance(parts[0], (dict, str)):
        raise DataError(
            f"{WHAT}: an item is x, or a tuple that begins with x and the label, not "
            f"{type(parts[0] if len(parts) else item).__name__}"
        )
    x = as_array(parts[0], WHAT)
    if x.ndim < 2:
        raise DataError(f"{WHAT}: a batch has the shape (rows, ...), not {x.shape}")
    label = np.asarray(parts[1]) if len(parts) > 1 else None
    return x, label if label is not None and label.shape == x.shape[:1] else None
