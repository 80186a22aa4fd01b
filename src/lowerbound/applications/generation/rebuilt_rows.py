r"""Rows and their reconstructions, and what they add up to over several parts of the rows.

.. math:: 1 - \frac{\sum_i |x_i - \hat x_i|^2}{\sum_i |x_i - \bar x|^2}

is the share of the variance that reconstructions keep. Its sums are over observed cells for which a
distance is defined. Those of the distance from the mean row add differences from the first part's
mean row, which loses no digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RebuiltRows:
    """Rows and their reconstruction in model units, (rows, *event) each.

    Attributes:
        x: input rows.
        mean: decoder mean at the mean code, or a refined draw given it.
        cells: observed cells for which a distance is defined, (rows | 1, *event).
        std: standard deviation of x' given x; None if not requested.
    """

    x: Tensor
    mean: Tensor
    cells: Tensor
    std: Tensor | None = None


class RebuiltTally:
    """What reconstructions of the rows so far add up to."""

    def __init__(self) -> None:
        self.rows = 0
        self._error = self._std = 0.0
        self._exact = 0
        self._measured = False  # whether there are standard deviations
        self._origin: Tensor | None = None

    def add(self, part: RebuiltRows) -> None:
        """Add some rows."""
        cells = part.cells.expand(part.x.shape)
        kept = torch.where(cells, part.x.double(), 0.0)
        if self._origin is None:
            self._origin = kept.sum(0) / cells.sum(0).clamp_min(1)
            self._counts = torch.zeros_like(self._origin)
            self._sums = torch.zeros_like(self._origin)
            self._squares = torch.zeros_like(self._origin)
        apart = torch.where(cells, kept - self._origin, 0.0)
        self._counts += cells.sum(0)
        self._sums += apart.sum(0)
        self._squares += apart.square().sum(0)
        error = torch.where(cells, (part.x - part.mean).double(), 0.0)
        self._error += float(error.square().sum())
        self._exact += int((part.x == part.mean).flatten(1).all(1).sum())
        self.rows += len(part.x)
        if part.std is not None:
            self._measured = True
            self._std += float(torch.where(cells, part.std.double(), 0.0).sum())

    @property
    def explained(self) -> float:
        """1 - squared error / squared distance from the mean row; NaN if the rows do not vary."""
        return float(1 - self._error / self._distance)

    @property
    def exact(self) -> float:
        """Share of the rows that are reconstructed without an error."""
        return self._exact / self.rows

    @property
    def relative_std(self) -> float | None:
        """Mean standard deviation, relative to that of the values around their mean row; None if
        there is none."""
        if not self._measured:
            return None
        count = self._counts.sum()
        return float(self._std / count / (self._distance / count).sqrt())

    @property
    def _distance(self) -> Tensor:
        """Sum of squared distances from the mean row."""
        return (self._squares - self._sums.square() / self._counts.clamp_min(1)).sum()
