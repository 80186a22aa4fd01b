"""What a schema says of all rows, from chunks of them: missing cells, ranges and resolutions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.values import missing


@dataclass
class SettledColumn:
    """A column of a schema that was learned from a sample, on its way through all rows.

    After all rows it equals ``ColumnKind.settled`` of them, given the same kind and map.
    """

    column: Column
    rows: int = 0
    gone: int = 0
    low: float = np.inf
    high: float = -np.inf
    lattice: Lattice | None = None

    def add(self, cells: Any) -> None:
        """Count the next cells, and widen range and resolution by them."""
        absent = missing(cells)
        self.rows += len(absent)
        self.gone += int(absent.sum())
        if self.column.levels or absent.all():
            return
        with warnings.catch_warnings():  # the rows are read again when they are encoded
            warnings.simplefilter("ignore")
            present = self.column.rules.read(cells)[~absent]
        self.low = min(self.low, present.min().item())
        self.high = max(self.high, present.max().item())
        self.lattice = finer(self.lattice, present, self.column.dtype)

    @property
    def settled(self) -> Column:
        """The column after the rows so far."""
        column = replace(self.column, missing_share=self.gone / max(self.rows, 1))
        if self.low > self.high:
            return column
        return replace(column, lattice=self.lattice, observed=(self.low, self.high))


def finer(lattice: Lattice | None, values: Array, dtype: str) -> Lattice:
    """The coarsest lattice that has the numbers of a lattice, and further values.

    Args:
        lattice: None: there are no numbers so far.
        values: float64, at least one, not NaN.
        dtype: numpy's name of the type in which they are exact.
    """
    if lattice is None:
        return Lattice.of(values, dtype)
    if not lattice.step:
        return lattice
    off = values[lattice.nearest(values) != values]
    if not len(off):
        return lattice
    known = lattice.at_least(off[:1])[0]
    return Lattice.of(np.array([*off, known, known + lattice.step]), dtype)
