"""Values in units of the table, and the parts of a column's cells that lie between two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice

ROUNDED = 1e-6  # relative error of values in units of the table that were float32


def in_units(columns: Sequence[Column], places: Sequence[int], x: Tensor) -> Array:
    """The values of some columns in units of the table, (rows, columns); NaN: missing, or another
    column.

    Args:
        columns: of the table.
        places: of the columns that are needed.
        x: (rows, columns), model units.
    """
    units = x.detach().double().cpu().numpy()
    found = np.full(units.shape, np.nan)
    for place in places:
        there = ~np.isnan(units[:, place])
        found[there, place] = columns[place].decode(units[there, place])
    return found


def cells_inside(
    column: Column, lattice: Lattice, ends: Array, low: Array, high: Array
) -> tuple[Array, Array, Array]:
    """(share of each cell that lies in each row's window, its first and its last value), model
    units, (rows, cells) each.

    Args:
        column: of numbers.
        lattice: its resolution; a value of it stands for those that are rounded to it.
        ends: smallest and largest value of each cell, (2, cells), model units; equal for a cell of
            one value.
        low, high: of the window, (rows,), units of the table; infinite: no limit.
    """
    single = ends[1] <= ends[0]
    margin = lattice.step / 2
    below, above = (
        np.asarray(column.encode(np.where(np.isfinite(end), end, 0.0)), dtype=np.float64)
        for end in (low - margin, high + margin)
    )
    below = np.where(np.isfinite(low), below, -np.inf)[:, None]
    above = np.where(np.isfinite(high), above, np.inf)[:, None]
    first, last = np.maximum(ends[0], below), np.minimum(ends[1], above)
    width = np.where(single, 1.0, ends[1] - ends[0])
    share = np.clip((last - first) / width, 0.0, 1.0)
    values = np.asarray(column.decode(ends[0].copy()), dtype=np.float64)
    values = lattice.nearest(values)
    slack = ROUNDED * np.abs(values)  # an end that was float32 is not below itself
    if lattice.step:
        slack = np.minimum(slack, margin)  # nor is one of large numbers at its neighbor
    within = (values >= low[:, None] - slack) & (values <= high[:, None] + slack)
    first, last = np.where(single, ends[0], first), np.where(single, ends[0], last)
    return np.where(single, within, share), first, last
