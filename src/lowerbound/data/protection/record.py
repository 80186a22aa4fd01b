"""What was protected in a table, column by column: printed, and kept in a schema.

A value must not tell apart the entities of the table's rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lowerbound import untrusted
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import factorized
from lowerbound.data.options import LEAST_PEOPLE as LEAST_PEOPLE
from lowerbound.errors import DataError, ModelFolderError, OptionError, counted, unknown

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

DETAIL = "protection"  # key in the details of a schema
Role = Literal["identifier", "level", "number", "date", "free text"]


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


@dataclass(frozen=True)
class ColumnProtection:
    """What was protected in one column.

    Attributes:
        name: of the column.
        role: what its cells are.
        how: what happened to the cells, a phrase.
        values: number of distinct values that are never drawn.
        cells: training cells that had one of them.
    """

    name: str
    role: Role
    how: str
    values: int
    cells: int

    @property
    def sentence(self) -> str:
        """Name, what happened and to how many values."""
        return f"{self.name}: {self.how} ({counted(self.values, 'value')})"


@dataclass(frozen=True)
class Protection:
    """What was protected in a table.

    Attributes:
        least_people: k, the entities that a value needs to be drawn; 1: nothing was protected.
        entity: the column whose values are the entities; "": each row is one.
        entities: their number.
        columns: those with protected values.
        people_column: a column of identifiers that repeat, which may be the entities; "": none is.

    Raises:
        OptionError: k is below 1.
    """

    least_people: int = LEAST_PEOPLE
    entity: str = ""
    entities: int = 0
    columns: tuple[ColumnProtection, ...] = ()
    people_column: str = ""

    def __post_init__(self) -> None:
        if self.least_people < 1:
            raise OptionError(
                f"--least-people is the number of people that a value needs, at least 1, not "
                f"{self.least_people}"
            )

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Protection | None:
        """The record in the details of a schema; None: it has none, as of an older fit.

        Raises:
            ModelFolderError: it is none, as in a folder that somebody changed.
        """
        kept = details.get(DETAIL)
        if kept is None:
            return None
        with untrusted.guarded("the record of protected values", ModelFolderError):
            return from_mapping(cls, kept)

    def on(self, schema: Schema) -> Schema:
        """The schema with this record in its details."""
        return replace(schema, details={**schema.details, DETAIL: to_mapping(self)})

    @property
    def uninformative(self) -> tuple[str, ...]:
        """The columns whose cells are fresh or left out, so that they tell nothing of the rows."""
        roles = ("identifier", "free text")
        return tuple(each.name for each in self.columns if each.role in roles)

    @property
    def sentences(self) -> tuple[str, ...]:
        """One about the whole table, and one about each column with protected values."""
        if self.least_people == 1:
            return ("values are not protected, so rows may bear those of one person",)
        who = f"values of {self.entity!r}" if self.entity else "rows"
        rule = f"no value that fewer than {self.least_people} {who} have is drawn"
        rule += "" if self.columns else ", and there is none"
        if self.people_column:
            rule += (
                f"; if a person has several rows, as {self.people_column!r} suggests, give "
                f"--entity {self.people_column}"
            )
        return (rule, *(each.sentence for each in self.columns))


def is_protected(schema: Schema) -> bool:
    """Whether the values of few people were protected before the fit."""
    found = Protection.of(schema.details)
    return found is not None and found.least_people > 1
