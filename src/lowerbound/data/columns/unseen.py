"""Cells of new rows with values that the fit did not see, or that lie beyond all model units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import HIGHEST, LOWEST, Continuous
from lowerbound.data.columns.matrix import matched
from lowerbound.data.columns.mixed import is_atom
from lowerbound.data.columns.values import finite_numbers


def unseen_cells(
    raw: Any, columns: Sequence[Column], observed: Array | None, by_name: bool
) -> Array | None:
    """The cells with a new level, or with another value in a constant column.

    Args:
        raw: a frame or an array of new rows.
        columns: of the fit.
        observed: mask of the cells that have a value for the model, (rows, modeled columns); None:
            all have.
        by_name: whether columns are found by their names, and not by their positions.

    Returns:
        (rows, columns) float32, as ``Dataset.unseen``; None if there is no such cell.
    """
    modeled = [place for place, column in enumerate(columns) if column.modeled]
    gaps = set() if observed is None else {modeled[i] for i in np.flatnonzero(~observed.all(0))}
    doubtful = [
        place
        for place, column in enumerate(columns)
        if not column.modeled or (column.levels and place in gaps)
    ]
    if not doubtful:
        return None
    frame = matched(raw, columns, by_name)
    found = np.zeros((len(frame), len(columns)), dtype=np.float32)
    for place in doubtful:
        found[:, place] = columns[place].rules.unseen(frame.iloc[:, place])
    return found if found.any() else None


def beyond_ends(column: Column, units: Array) -> Array:
    """Which model units of a column stand for a number beyond the ends of its map, (rows,)."""
    if column.affine or not isinstance(column.rules, Continuous):
        return np.zeros(units.shape, dtype=bool)
    return np.asarray(((units <= LOWEST) & ~is_atom(units)) | (units >= HIGHEST))


def beyond_cells(raw: Any, columns: Sequence[Column], units: Array, by_name: bool) -> Array | None:
    """The numbers beyond the ends of the maps to model units, which do not hold them.

    Args:
        raw: a frame or an array of new rows.
        columns: of the fit.
        units: of the rows, (rows, modeled columns).
        by_name: whether columns are found by their names, and not by their positions.

    Returns:
        (rows, columns) float64, as ``Dataset.beyond``; None if there is no such cell.
    """
    modeled = [place for place, column in enumerate(columns) if column.modeled]
    beyond = {
        place: rows
        for position, place in enumerate(modeled)
        if len(rows := np.flatnonzero(beyond_ends(columns[place], units[:, position])))
    }
    if not beyond:
        return None
    frame = matched(raw, columns, by_name)
    found = np.full((len(frame), len(columns)), np.nan)
    for place, rows in beyond.items():
        rules, cells = columns[place].rules, frame.iloc[rows, place]
        # a number is not read by its rules, which set it to a bound of the column
        found[rows, place] = rules.read(cells) if rules.has_format else finite_numbers(cells)
    return found
