"""Range coding of rounded coefficients under the stored tables of rounded logistic variables."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowerbound.coding.stack import constriction
from lowerbound.coding.whole_numbers.logistic_tables import REACHES, Coded, Tables
from lowerbound.data.arrays import Array

HALF, HALF_BITS = 1 << 31, 16  # numbers beyond a table, written as two halves of 32 bits


def put(coder: Any, numbers: Array, coded: Coded, tables: Tables) -> None:
    """Encode numbers grouped by table, then the numbers beyond the tables."""
    entries = numbers.astype(np.int64) - coded.first  # numbers may have all 32 bits
    last = 2 * REACHES[coded.table] + 1
    beyond = (entries < 0) | (entries >= last)
    order, parts = _by_table(coded.table)
    ordered = np.where(beyond, last, entries).astype(np.int32)[order]
    for table, part in parts:
        coder.encode(ordered[part], tables[table].model)
    far = numbers[beyond].astype(np.int64) + HALF
    if len(far):
        halves = np.concatenate([far >> HALF_BITS, far & ((1 << HALF_BITS) - 1)])
        coder.encode(halves.astype(np.int32), _uniform())


def take(coder: Any, coded: Coded, tables: Tables) -> Array:
    """Decode the numbers that ``put`` encoded, int32."""
    order, parts = _by_table(coded.table)
    found = [coder.decode(tables[table].model, part.stop - part.start) for table, part in parts]
    entries = np.empty(len(order), np.int64)
    entries[order] = np.concatenate([np.empty(0, np.int32), *found])
    beyond = entries > 2 * REACHES[coded.table]
    numbers = entries + coded.first
    count = int(beyond.sum())
    if count:
        high, low = coder.decode(_uniform(), 2 * count).astype(np.int64).reshape(2, count)
        numbers[beyond] = (high << HALF_BITS) + low - HALF
    return numbers.astype("<i4")


def _by_table(tables: Array) -> tuple[Array, list[tuple[int, slice]]]:
    """An order that groups numbers by table, and the slice of each table."""
    order = np.argsort(tables.astype(np.int16), kind="stable")  # radix sort, by far the fastest
    ordered = tables[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
    parts = map(slice, starts, [*starts[1:], len(order)])
    return order, list(zip(ordered[starts].tolist(), parts, strict=True))


def _uniform() -> Any:
    return constriction().stream.model.Uniform(1 << HALF_BITS)
