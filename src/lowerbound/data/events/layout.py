"""Where the cells of a history are: rows of a tensor (events, features), and what each holds.

::

    event 0   constants of the entity | start |      | columns of the event | end
    event 1                           |       | wait | columns of the event | end
    ...

Features are those of the schema that vary, in this order. Cells that an event does not have are
hidden, as are the events after the last. A column with missing cells comes after a feature that
says whether the cell is present, so that a model knows and draws which cells are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.config import from_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.protection.fresh import FreshCells
from lowerbound.data.protection.record import DETAIL as PROTECTION
from lowerbound.errors import OptionError

if TYPE_CHECKING:  # names for annotations: a schema knows its kind of data
    from lowerbound.data.schema import Schema


@dataclass(frozen=True)
class FreshColumn:
    """A column of histories whose cells identify people, so that drawn ones are fresh.

    Attributes:
        name: of the column.
        cells: makes them, by the number of an entity or of an event.
        once: whether all events of an entity have the same.
    """

    name: str
    cells: FreshCells
    once: bool


@dataclass(frozen=True)
class EventLayout:
    """What a schema of histories knows beside its features; stored in its ``details``.

    Attributes:
        entity: name of the column of entities.
        time: the column of times.
        order: names of all columns of the table, in their order.
        identifiers: of the entities.
        constants: number of features that only the first event has, without its time.
        gates: features that say whether the cell of the feature after them is present.
        grid: features whose values are whole numbers of steps; the step is the column's scale.
        ends: the first and the last time that may be drawn; (): any.
        fresh: of the columns that identify people.
    """

    entity: str
    time: Column
    order: tuple[str, ...]
    identifiers: IdentifierFormat
    constants: int
    gates: tuple[int, ...] = ()
    grid: tuple[int, ...] = ()
    ends: tuple[float, ...] = ()
    fresh: tuple[FreshColumn, ...] = ()

    def __post_init__(self) -> None:
        if len(self.ends) not in (0, 2):
            raise OptionError(f"drawn times have two ends or none, not {len(self.ends)}")

    @classmethod
    def of(cls, schema: Schema) -> EventLayout:
        """The layout in a schema of histories."""
        kept = {name: each for name, each in schema.details.items() if name != PROTECTION}
        return from_mapping(cls, kept)

    @property
    def start(self) -> int:
        """The feature with the time of the first event, in steps after the earliest of the fit."""
        return self.constants

    @property
    def wait(self) -> int:
        """The feature with the time since the event before, in steps."""
        return self.constants + 1


@dataclass(frozen=True)
class Placed:
    """Events of a long table, by the row and the place in time of each.

    Attributes:
        row: number of the entity of each event.
        place: number of the event among those of its entity.
        rows: number of entities.
    """

    row: Array
    place: Array
    rows: int

    @cached_property
    def first(self) -> Array:
        """Whether an event is the first of its entity."""
        return np.asarray(self.place == 0)

    @cached_property
    def last(self) -> Array:
        """Whether an event is the last of its entity."""
        return np.append(self.first[1:], True)

    @property
    def longest(self) -> int:
        """Events of the longest history."""
        return int(self.place.max()) + 1


def placed(entity: Array, rows: int, *keys: Array) -> tuple[Array, Placed]:
    """Sort events by entity and then by the keys, the most important first.

    Events that agree in all keys are equal, so the order of the given events changes nothing.

    Returns:
        The order, and the place of each sorted event.
    """
    order = np.lexsort((*reversed(keys), entity))
    row = entity[order]
    starts = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    place = np.arange(len(row)) - np.repeat(starts, np.diff(np.append(starts, len(row))))
    return order, Placed(row, place, rows)
