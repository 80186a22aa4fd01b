"""What a schema says of all rows, from chunks of them: missing cells, ranges and resolutions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice


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
    lattice: Lattice | None = None  # None while all values are equal

    def add(self, cells: Any) -> None:
        """Count the next cells, and widen range and resolution by them."""
        absent = self.column.rules.missing(cells)
        self.rows += len(absent)
        self.gone += int(absent.sum())
        if self.column.levels or absent.all():
            return
        with warnings.catch_warnings():  # the rows are read again when they are encoded
            warnings.simplefilter("ignore")
            present = self.column.rules.read(cells)[~absent]
        self.lattice = finer(self.lattice, self.low, present, self.column.dtype)
        self.low = min(self.low, present.min().item())
        self.high = max(self.high, present.max().item())

    @property
    def settled(self) -> Column:
        """The column after the rows so far."""
        if self.column.blank:  # it is not modeled, whatever later rows have
            return self.column
        column = replace(self.column, missing_share=self.gone / max(self.rows, 1))
        if self.low > self.high:
            return column
        lattice = self.lattice or Lattice.of(np.array([self.low]), self.column.dtype)
        return replace(column, lattice=lattice, observed=(self.low, self.high))


def finer(lattice: Lattice | None, known: float, values: Array, dtype: str) -> Lattice | None:
    """The coarsest lattice that has the values so far, and further ones; None: all are equal.

    Args:
        lattice: of the values so far.
        known: one of them; inf: there is none.
        values: the further ones, float64, at least one, not NaN.
        dtype: numpy's name of the type in which they are exact.
    """
    if lattice is None:
        known = known if np.isfinite(known) else values[0]
        return None if (values == known).all() else Lattice.of(np.append(values, known), dtype)
    if not lattice.step:
        return lattice
    off = values[lattice.nearest(values) != values]
    if not len(off):
        return lattice
    neighbor = np.round(known + lattice.step, lattice.decimals)
    return Lattice.of(np.array([*off, known, neighbor]), dtype)
