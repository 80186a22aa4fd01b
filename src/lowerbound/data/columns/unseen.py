"""Cells of new rows with values that the fit did not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.matrix import matched


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
