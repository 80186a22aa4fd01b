"""Rows with missing cells: where those are, and the rows with them filled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema


@dataclass(frozen=True, eq=False)
class Incomplete:
    """Rows as given and what the reader made of them.

    Attributes:
        given: an array in the person's units and layout.
        dataset: the same in model units, ``observed`` where there is something.
    """

    given: Any
    dataset: Dataset

    @property
    def schema(self) -> Schema:
        """Of what is given and filled."""
        return self.dataset.schema

    @cached_property
    def hidden(self) -> Array:
        """Where there is something to fill, laid out as the answers are."""
        if self.dataset.observed is None:
            return np.zeros(self.given.shape, dtype=bool)
        hidden = ~self.dataset.observed.cpu().numpy()
        return self.schema.data_kind.laid_out(self.schema, hidden)

    def filled(self, answers: Array, exact: bool) -> Any:
        """The rows as given, hidden cells filled by ``answers`` in the person's units.

        Args:
            answers: laid out as ``hidden``; codes where a column has levels.
            exact: whether they are such as the data could hold, rather than expectations.
        """
        answers = answers if self.given.dtype.kind == "f" else np.rint(answers)
        return np.where(self.hidden, answers.astype(self.given.dtype), self.given)

    def counts(self) -> dict[str, int]:
        """Cells to fill, by what they are called; nothing where there is none."""
        count = int(self.hidden.sum())
        return {self._cells: count} if count else {}

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        """Mean distance of two ends over the cells to fill."""
        hidden = self.hidden
        return {self._cells: float((high - low)[hidden].mean())} if hidden.any() else {}

    @property
    def _cells(self) -> str:
        return "pixels" if self.schema.data_kind.pictures else "cells"
