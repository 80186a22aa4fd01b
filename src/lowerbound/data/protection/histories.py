"""Protection of event tables, whose entities have several rows each."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.columns.inference import Hint
from lowerbound.data.columns.values import missing
from lowerbound.data.events.columns import constant_within, read_times, time_column
from lowerbound.data.events.table import EventTable
from lowerbound.data.protection.numbers import bounds
from lowerbound.data.protection.people import People
from lowerbound.data.protection.protect import protected_table, role_of
from lowerbound.data.protection.record import ColumnProtection, Protection
from lowerbound.data.synthetic.column_form import ColumnForm
from lowerbound.errors import counted


def protected_events(
    table: EventTable, least_people: int, kinds: Mapping[str, Hint]
) -> tuple[EventTable, Protection]:
    """A table of events without values that fewer than ``least_people`` entities have, and the
    record.

    Columns that identify people are left empty; those of entities and times stay columns of their
    own: entities get fresh names anyway, and times are bounded, so that their order stays.

    Raises:
        DataError: there are fewer entities.
    """
    name, time = table.entity_name, table.time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit reads the table again
        found = protected_table(table.frame, least_people, name, kinds=kinds)
    if found.people is None:
        return table, found.record
    made, notes = found.frame.copy(), {each.name: each for each in found.record.columns}
    first = np.unique(table.entity, return_index=True)[1]
    for fixed in constant_within(table.cells, table.entity):
        # all events of an entity have the cell of its first one
        made[fixed] = made[fixed].iloc[first[table.entity]].set_axis(made.index)
    for hidden in found.fresh:
        if hidden != name:
            made[hidden] = made[hidden].mask(~missing(made[hidden]), None)
            notes[hidden] = replace(notes[hidden], how="left empty, because it identifies people")
    made[name], made[time] = table.frame[name], table.times
    notes.pop(time, None)
    if (bounded := _bounded(table, found.people, kinds.get(time))) is not None:
        made[time], notes[time] = bounded
    columns = tuple(notes[each] for each in table.order if each in notes)
    return replace(table, frame=made), replace(found.record, columns=columns)


def _bounded(
    table: EventTable, people: People, hint: Hint | None
) -> tuple[Any, ColumnProtection] | None:
    """The times between bounds, and the note; None: no time lies beyond."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        column = time_column(table.times, hint, True).column
        times = read_times(column, table.times)
    low, high = bounds(times, people, column.rules.lattice)
    beyond = (times < low) | (times > high)
    if not beyond.any():
        return None
    cells = ColumnForm.of(table.times, column, times).series(column, times.clip(low, high), 0)
    count = len(np.unique(times[beyond]))
    how = f"{counted(int(beyond.sum()), 'time')} moved to the nearest that {people.least} or more "
    note = ColumnProtection(
        table.time, role_of(column), how + "have passed", count, int(beyond.sum())
    )
    return cells.set_axis(table.times.index), note
