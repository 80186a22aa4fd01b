"""Draws of columns one after another, whose values somebody else chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Copies:
    """Columns of which a value may be a copy.

    Attributes:
        sources: places of these columns.
        shares: probability that the value, if it is not missing, is that of each source, (rows,
            sources).
    """

    sources: tuple[int, ...]
    shares: Tensor


class ChoosesValues(Protocol):
    """Draws the values of a column from the probabilities of its cells, under restrictions."""

    def choose(
        self, place: int, rows: Tensor, shares: Tensor, cells: Tensor, copies: Copies | None = None
    ) -> Tensor:
        """A value for each row, (rows,), model units; NaN is a missing cell.

        Args:
            place: of the column.
            rows: numbers of the rows, (rows,).
            shares: probability of each cell of a value that is not missing, (rows, cells), and
                last that the value is missing, if it may be.
            cells: smallest and largest value of each cell, (2, cells), model units.
            copies: columns whose value it may have; None: there are none.
        """
