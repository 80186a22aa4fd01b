"""Draws of columns one after another, whose values somebody else chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lowerbound.data.arrays import Array


@dataclass(frozen=True)
class RelatedValues:
    """Values that follow from other columns.

    Attributes:
        shares: probability that the value, if it is not missing, is by each residual, (rows,
            residuals).
        draw: maps rows in units of the table, (rows, columns), to a value by each residual, (rows,
            residuals); NaN where there is none.
    """

    shares: Tensor
    draw: Callable[[Array], Array]


class ChoosesValues(Protocol):
    """Draws the values of a column from the probabilities of its cells, under restrictions."""

    def choose(
        self,
        place: int,
        rows: Tensor,
        shares: Tensor,
        cells: Tensor,
        related: RelatedValues | None = None,
    ) -> Tensor:
        """A value for each row, (rows,), model units; NaN is a missing cell.

        Args:
            place: of the column.
            rows: numbers of the rows, (rows,).
            shares: probability of each cell of a value that is not missing, (rows, cells), and
                last that the value is missing, if it may be.
            cells: smallest and largest value of each cell, (2, cells), model units.
            related: values by other columns that it may have; None: there are none.
        """
