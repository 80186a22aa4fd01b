"""Rows with missing cells: the mask of these cells, and the completed rows."""

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
    """Rows with missing cells, as given and as a dataset.

    Attributes:
        given: an array in original units and layout.
        dataset: the same rows in model units, with their mask ``observed``.
    """

    given: Any
    dataset: Dataset

    @property
    def schema(self) -> Schema:
        """The schema of the rows."""
        return self.dataset.schema

    @cached_property
    def hidden(self) -> Array:
        """Mask of the missing cells, in the layout of ``given``."""
        if self.dataset.observed is None:
            return np.zeros(self.given.shape, dtype=bool)
        hidden = ~self.dataset.observed.cpu().numpy()
        return self.schema.data_kind.laid_out(self.schema, hidden)

    def filled(self, answers: Array, exact: bool) -> Any:
        """The given rows with hidden cells replaced by ``answers``.

        Args:
            answers: original units, in the layout of ``hidden``; codes for columns with levels.
            exact: whether the answers are possible values of the data, not expectations.
        """
        answers = answers if self.given.dtype.kind == "f" else np.rint(answers)
        return np.where(self.hidden, answers.astype(self.given.dtype), self.given)

    def counts(self) -> dict[str, int]:
        """Number of missing cells by their name ("pixels" or "cells"); empty without any."""
        count = int(self.hidden.sum())
        return {self._cells: count} if count else {}

    def left_empty(self) -> dict[str, int]:
        """Number of missing cells that no answer fills, by column; empty without any."""
        return {}

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        """Mean width of the intervals (low, high) over the missing cells."""
        hidden = self.hidden
        return {self._cells: float((high - low)[hidden].mean())} if hidden.any() else {}

    @property
    def _cells(self) -> str:
        return "pixels" if self.schema.data_kind.pictures else "cells"
