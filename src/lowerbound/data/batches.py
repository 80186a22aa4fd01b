"""Rows from torch's data sets and loaders, and from iterators of batches, collected in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lowerbound import untrusted
from lowerbound.data.arrays import Array, as_array, listed
from lowerbound.data.tables.arrow import is_other_frame, other_frame
from lowerbound.errors import DataError

WHAT = "the data in batches"


def is_batched(source: Any) -> bool:
    """Whether ``source`` gives rows or batches one after the other."""
    return isinstance(source, (Dataset, DataLoader, Iterator)) and not is_other_frame(source)


def collected(source: Any) -> tuple[Any, Array | None]:
    """All rows, (rows, ...), and their labels, (rows,), if the source gives them; a pandas frame if
    the batches are frames.

    Args:
        source: a torch ``Dataset``, whose items are rows; or a ``DataLoader`` or another iterator,
            whose items are batches. An item is x, or a tuple that begins with x and the label; or a
            frame of pandas, polars or pyarrow.

    Raises:
        DataError: there are no rows, an item is of another form, rows differ in shape, or they need
            more memory than the limit of ``untrusted.memory``.
    """
    items = _batches(source)
    first = next(items, None)
    if first is None:
        raise DataError(f"{WHAT} has no rows: an iterator gives its batches only once")
    if _is_frame(first):
        return _joined(chain([first], items)), None
    rows: list[Array] = []
    labels: list[Array] = []
    size = 0
    for item in chain([first], items):
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
    return np.concatenate(rows), np.concatenate(labels) if len(labels) == len(rows) else None


def _is_frame(item: Any) -> bool:
    return hasattr(item, "set_axis") or is_other_frame(item)


def _joined(frames: Iterable[Any]) -> Any:
    """The rows of all frames as one pandas frame.

    Raises:
        DataError: a batch is no frame or has other columns, or the rows need more memory than the
            limit of ``untrusted.memory``.
    """
    import pandas as pd

    found: list[Any] = []
    size = 0
    for number, item in enumerate(frames):
        if not _is_frame(item):
            raise DataError(f"{WHAT}: the first batch is a frame, batch {number} is no frame")
        frame = other_frame(item) if is_other_frame(item) else item
        if found and list(frame.columns) != list(found[0].columns):
            raise DataError(
                f"{WHAT}: batch {number} has the columns {listed(frame.columns)}, the first batch "
                f"{listed(found[0].columns)}; all batches need the same columns"
            )
        size += int(frame.memory_usage(deep=True).sum())
        untrusted.check_memory(2 * size, WHAT, DataError)
        found.append(frame)
    return pd.concat(found, ignore_index=True)


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
