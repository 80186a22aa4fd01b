"""Rows with missing cells or noise: the mask of these cells, and the completed rows.

Hot-deck imputation gives hidden cells the values of other rows. Noisy rows are read with the schema
of clean rows; their values may lie between the levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, check_finite_rows
from lowerbound.data.dataset import Dataset
from lowerbound.data.loading import load
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError
from lowerbound.trace import Batch


def hot_deck(batch: Batch) -> Tensor:
    """Fill each hidden cell of x from the nearest row above (else below) that observes it.

    Every column keeps its marginal. A column without observed cells contains zeros.
    """
    if batch.observed is None:
        return batch.filled
    x, seen = batch.filled.flatten(1), batch.observed.flatten(1)
    row = torch.arange(len(x)).unsqueeze(1)
    above = torch.where(seen, row, -1).cummax(0).values
    first = torch.where(seen, row, len(x)).amin(0).clamp_max(len(x) - 1)
    source = torch.where(above < 0, first, above)
    return x.gather(0, source).reshape(batch.filled.shape)


def noisy_rows(raw: Any, schema: Schema, source: str = "") -> Dataset:
    """Convert noisy rows to model units; grey values may lie between and beyond the levels.

    Args:
        raw: an array or a frame.
        schema: of the clean rows; if it allows missing cells, NaN marks them.
        source: origin of the rows.

    Raises:
        DataError: the rows do not fit the schema; the message names the position.
    """
    kind = schema.data_kind
    if schema.levels is None and not schema.binary and not kind.pictures:
        return replace(load(raw, schema=schema), source=source)
    values = kind.values(schema, raw)
    units: Array = np.asarray(values, np.float64) / schema.white
    if values.dtype != np.float64:
        units = units.astype(np.float32)
    observed = None
    if schema.missing and np.isnan(units).any():
        observed = torch.from_numpy(~np.isnan(units))
        units = np.nan_to_num(units, nan=0.0)
    check_finite_rows(units, source or "the data")
    between = replace(schema, levels=None, binarize="none")
    # a copy, so that the caller's array does not change
    return Dataset(between, torch.from_numpy(np.array(units)), observed=observed, source=source)


def noise_in_units(schema: Schema, level: float) -> Tensor:
    """Convert a standard deviation from original units to model units, (*event | 1).

    Raises:
        DataError: a column's map is not affine, or its values are not real numbers.
    """
    if not schema.modeled or schema.levels is not None:
        return torch.tensor(level / schema.white)
    for column in schema.modeled:
        if not column.plain:
            raise DataError(
                f"noise on column {column.name!r} is not Gaussian in the units that the model "
                "sees; fit it again with --likelihood gaussian, which takes columns as plain "
                "numbers"
            )
    return torch.tensor([level / column.scale for column in schema.modeled], dtype=torch.float32)


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
