"""The labeled rows of a table as the members of a pool see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array


@dataclass(frozen=True)
class LabeledRows:
    """Rows with labels, and the labels that are hidden in turn.

    Attributes:
        x: what the members see, (rows, F).
        shift, scale: mean and standard deviation of each over all rows, with labels or not, (F,).
        label: class indices, or standardized regression targets, (rows,).
        folds: row numbers of each part that is hidden.
    """

    x: Array
    shift: Array
    scale: Array
    label: Array
    folds: Sequence[Array]

    @property
    def standardized(self) -> Array:
        """x in standard deviations, (rows, F)."""
        answer: Array = (self.x - self.shift) / self.scale
        return answer

    @property
    def hidden(self) -> Array:
        """Row numbers of all hidden labels, fold after fold."""
        return np.concatenate([*self.folds, np.zeros(0, int)]).astype(int)

    def splits(self) -> Iterator[tuple[Array, Array]]:
        """Row numbers of those that a fit sees, and of those hidden from it."""
        for fold in self.folds:
            yield np.setdiff1d(np.arange(len(self.label)), fold), fold
