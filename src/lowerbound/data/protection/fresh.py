"""Cells of a column that identifies people: fresh ones, which repeat as often as the given ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.errors import OptionError

FRESH = "(a fresh value)"  # the level of cells that get fresh values
LARGEST = 2**62  # of a pool and of rows, as of the numbers that look like chance
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # of splitmix64


@dataclass(frozen=True)
class FreshCells:
    """Fresh cells by the number of their row.

    Attributes:
        format: of the cells.
        dtype: pandas' name of their type.
        pool: distinct values from which ``rows`` neighbors are drawn; 0: none repeats.
        rows: number of the fitted rows.

    Raises:
        OptionError: a number is negative or beyond 62 bits, or there are no rows.
    """

    format: IdentifierFormat = field(default_factory=IdentifierFormat)
    dtype: str = "object"
    pool: int = 0
    rows: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.pool <= LARGEST or not 1 <= self.rows <= LARGEST:
            raise OptionError(
                f"fresh cells need a pool of 0 to {LARGEST:.3g} and 1 row to {LARGEST:.3g}, not "
                f"{self.pool:.3g} and {self.rows:.3g}"
            )

    def fresh(self, first: int, count: int) -> Array:
        """The cells of rows ``first`` and on, (count,)."""
        return self.at(np.arange(first, first + count))

    def at(self, numbers: Array) -> Array:
        """The cells of some rows; equal numbers have the same."""
        if self.pool:
            numbers = numbers // self.rows * self.pool + _mixed(numbers) % self.pool
        return self.format.at(numbers.tolist())


def pool_of(distinct: int, cells: int) -> int:
    """The values from which as many cells are drawn that have ``distinct`` ones on average:
    P (1 - exp(-cells / P)) = distinct; 0: all are distinct."""
    if distinct >= cells:
        return 0
    low, high = float(distinct), 2.0 * cells * cells
    for _ in range(80):
        middle = math.sqrt(low * high)
        if -middle * math.expm1(-cells / middle) < distinct:
            low = middle
        else:
            high = middle
    return max(1, round(low))


def _mixed(numbers: Array) -> Array:
    """Numbers that look like chance, of 62 bits; equal for equal numbers (splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)
