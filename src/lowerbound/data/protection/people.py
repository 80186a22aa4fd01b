"""The entities of a table's rows: those whom a value must not tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import factorized
from lowerbound.errors import DataError, unknown


@dataclass(frozen=True, eq=False)
class People:
    """The entity of each row, and how many must share a value.

    Attributes:
        of_row: number of the entity of each row, (rows,).
        least: k.
    """

    of_row: Array
    least: int

    @classmethod
    def of(cls, frame: Any, entity: str | None, least: int) -> People:
        """Those of a table: its rows, or the values of a column; a row without a value is one.

        Raises:
            OptionError: there is no such column.
            DataError: there are fewer than k.
        """
        rows = np.arange(len(frame))
        if entity is not None:
            if entity not in frame.columns:
                raise unknown("column", entity, list(frame.columns))
            codes = factorized(frame[entity])[0]
            rows = np.where(codes < 0, len(frame) + rows, codes)
        found = cls(np.unique(rows, return_inverse=True)[1], least)
        if len(found) < least:
            what = "rows" if entity is None else f"values of {entity!r}"
            raise DataError(
                f"the table has {len(found):,} {what}, and no value is drawn that fewer than "
                f"{least:,} have: take more rows, or allow values of single people with "
                "--least-people 1 (in Python, least_people=1)"
            )
        return found

    def __len__(self) -> int:
        return int(self.of_row.max(initial=-1)) + 1

    def counts(self, codes: Array, rows: Array, size: int) -> Array:
        """How many have each of ``size`` codes, (size,).

        Args:
            codes: of some rows.
            rows: mask of these rows, (rows,).
            size: number of codes.
        """
        pairs = np.unique(codes.astype(np.int64) * max(1, len(self)) + self.of_row[rows])
        return np.bincount(pairs // max(1, len(self)), minlength=size)

    def enough(self, codes: Array, rows: Array, size: int) -> Array:
        """Which codes at least k have, (size,); arguments as for ``counts``."""
        return np.asarray(self.counts(codes, rows, size) >= self.least)

    def some(self, rows: Array) -> People:
        """Those of some rows, by their mask."""
        return People(np.unique(self.of_row[rows], return_inverse=True)[1], self.least)
