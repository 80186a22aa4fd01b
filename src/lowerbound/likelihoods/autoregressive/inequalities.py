r"""Columns of which one is at most another: p(x_j | z, x_known) is zero outside of a window.

.. math:: \log p(x_j \mid z, x_{known}, l \le x_j \le h)
    = \log p(x_j \mid z, x_{known}) - \log P(l \le x_j \le h \mid z, x_{known})
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.columns.windows import cells_inside, in_units


class Inequalities:
    """The windows that the known columns of a row leave to the others.

    Args:
        columns: of the table.
        pairs: places of a column and of another that it is at most, in every row.
    """

    def __init__(self, columns: Sequence[Column], pairs: Sequence[tuple[int, int]]) -> None:
        self.columns, self.pairs = columns, pairs
        self.places = sorted({place for pair in pairs for place in pair})

    def values(self, x: Tensor) -> Array:
        """The values of the columns in ``pairs``, units of the table; NaN: missing, or of others.

        Args:
            x: (rows, columns), model units.
        """
        return in_units(self.columns, self.places, x)

    def inside(self, place: int, ends: Tensor, values: Array, known: Tensor) -> Tensor:
        """The share of each cell of column j that lies in its window, (rows, cells), float64.

        Args:
            place: of column j.
            ends: smallest and largest value of each cell, (2, cells), model units.
            values: as ``values`` gives them.
            known: the columns that are known, (rows, columns).
        """
        column = self.columns[place]
        low, high = self._window(place, values, known)
        cells = ends.double().cpu().numpy()
        share, _, _ = cells_inside(column, column.rules.lattice, cells, low, high)
        return torch.from_numpy(share).to(ends.device)

    def limited(self, place: int, drawn: Array, x: Tensor, known: Tensor) -> Array:
        """Values of a column in units of the table, (rows, values); NaN outside of its window.

        Args:
            place: of the column.
            drawn: the values.
            x: rows, model units.
            known: the columns that are known, (rows, columns).
        """
        if place not in self.places:
            return drawn
        low, high = self._window(place, self.values(x), known)
        with np.errstate(invalid="ignore"):
            return np.where((drawn >= low[:, None]) & (drawn <= high[:, None]), drawn, np.nan)

    def _window(self, place: int, values: Array, known: Tensor) -> tuple[Array, Array]:
        seen = np.where(known.cpu().numpy(), values, np.nan)
        low, high = np.full(len(values), -np.inf), np.full(len(values), np.inf)
        for lower, upper in self.pairs:
            if upper == place:
                low = np.fmax(low, seen[:, lower])
            if lower == place:
                high = np.fmin(high, seen[:, upper])
        return low, high
