"""Protection of event tables, whose entities have several rows each."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import Hint
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.values import factorized, missing
from lowerbound.data.protection.identity import FRESH, pool_of
from lowerbound.data.protection.numbers import bounds, protected_numbers
from lowerbound.data.protection.protect import (
    ProtectedTable,
    ProtectionOptions,
    end_as_text,
    protected_table,
    role_of,
)
from lowerbound.data.protection.record import ColumnProtection, People
from lowerbound.data.sequences.event_layout import (
    FreshColumn,
    constant_within,
    read_times,
    time_column,
)
from lowerbound.data.sequences.event_table import EventTable
from lowerbound.data.synthetic.column_form import ColumnForm
from lowerbound.errors import DataError, counted


def protected_events(table: EventTable, least_people: int, kinds: Mapping[str, Hint]) -> EventTable:
    """A table of events without values that fewer than ``least_people`` entities have.

    Histories are cut first: events before or after the bounds of time go, and those beyond the
    number of events that k entities have. Then times of first events and waiting times are
    protected as numbers are. Entities get fresh names anyway, and columns that identify people
    fresh cells.

    Raises:
        DataError: there are fewer entities, or fewer with a second event.
    """
    name, time = table.entity_name, table.time
    cut = _cut(table, least_people, kinds.get(time))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit reads the table again
        options = ProtectionOptions(least_people=least_people, entity=name, kinds=kinds)
        found = protected_table(cut.table.frame, options)
    events = cut.table
    made, notes = found.frame.copy(), {each.name: each for each in found.record.columns}
    first = np.unique(events.entity, return_index=True)[1]
    fixed = constant_within(events.cells, events.entity)
    for each in fixed:
        # all events of an entity have the cell of its first one
        made[each] = made[each].iloc[first[events.entity]].set_axis(made.index)
    fresh = _fresh(events, found, fixed)
    for hidden in fresh:
        made[hidden.name] = FRESH
        how = notes[hidden.name].how.removesuffix(" that are rare")
        notes[hidden.name] = replace(notes[hidden.name], how=how)
    made[name] = events.frame[name]
    made[time], notes[time] = cut.waited(table)
    columns = tuple(notes[each] for each in table.order if each in notes and notes[each].cells)
    record = replace(found.record, columns=columns)
    return replace(events, frame=made, protection=record, ends=cut.ends, fresh=fresh)


def _fresh(table: EventTable, found: ProtectedTable, fixed: list[str]) -> tuple[FreshColumn, ...]:
    """What makes the cells of the columns that identify people, of an entity or of an event."""
    made, entities = [], len(table.keys)
    for name, cells in found.fresh.items():
        if name == table.entity_name:
            continue
        there = ~missing(table.frame[name])
        distinct, once = len(factorized(table.frame[name][there])[1]), name in fixed
        size = len(np.unique(table.entity[there])) if once else int(there.sum())
        rows = entities if once else entities * table.longest
        made.append(
            FreshColumn(name, replace(cells, pool=pool_of(distinct, size), rows=rows), once)
        )
    return tuple(made)


@dataclass(frozen=True, eq=False)
class _Cut:
    """A table whose histories are cut.

    Attributes:
        table: its events.
        column: of the times.
        times: of the events, between the ends, (rows,).
        ends: the first and the last time that may be drawn.
        least: k.
        gone: number of distinct times beyond the ends.
    """

    table: EventTable
    column: Column
    times: Array
    ends: tuple[float, float]
    least: int
    gone: int

    def waited(self, given: EventTable) -> tuple[Any, ColumnProtection]:
        """The times after first times and waiting times were protected, and the note."""
        entity, lattice = self.table.entity, self.column.rules.lattice
        order = np.lexsort((self.times, entity))
        sorted_times, owner = self.times[order], entity[order]
        starts = np.append(True, owner[1:] != owner[:-1])
        new = sorted_times.copy()
        begun = protected_numbers(new[starts], People(owner[starts], self.least), lattice)
        people = People(np.unique(owner[~starts], return_inverse=True)[1], self.least)
        gaps = np.diff(sorted_times)[~starts[1:]]
        waits = protected_numbers(gaps, people, Lattice(lattice.step))
        if waits is None or begun is None:
            raise DataError(
                f"fewer than {self.least} values of {self.table.entity_name!r} have a second event,"
                " so no waiting time is drawn: take more rows, or a smaller --least-people"
            )
        steps = np.zeros(len(new))
        steps[~starts] = waits.values
        upto, first = steps.cumsum(), np.flatnonzero(starts)
        since = upto - upto[first][owner]
        last = since[np.append(first[1:], len(new)) - 1]
        low, high = self.ends
        begin = (begun.values - (begun.values + last - high).clip(0)).clip(low, high)
        changed = begin != sorted_times[first]
        changed |= np.bincount(owner[~starts], waits.values != gaps, len(first)) > 0
        made = lattice.nearest((begin[owner] + since).clip(low, high))
        new = np.where(changed[owner], made, sorted_times)
        times = np.empty_like(new)
        times[order] = new
        series = self.table.times
        form = ColumnForm.of(series, self.column, self.times)
        cells = form.series(self.column, times, 0).set_axis(series.index)
        moved = times != self.times
        values = self.gone + len(np.unique(self.times[moved]))
        rows = len(given.entity) - len(entity) + int(moved.sum())
        return cells, ColumnProtection(
            self.table.time, role_of(self.column), self._how(given), values, rows
        )

    def _how(self, given: EventTable) -> str:
        low, high = (end_as_text(self.column, end) for end in self.ends)
        gone = len(given.entity) - len(self.table.entity)
        short = len(given.keys) - len(self.table.keys)
        whole = f", and {short:,} of the shortest histories" if short else ""
        left = f"; {counted(gone, 'event')} beyond or of longer histories{whole} left out"
        return f"between {low} and {high}, waiting times bounded alike" + (left if gone else "")


def _cut(table: EventTable, least: int, hint: Hint | None) -> _Cut:
    """The events of a table within the bounds of times and of lengths."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        column = time_column(table.times, hint, True).column
        times = read_times(column, table.times)
    people = People.of(table.frame, table.entity_name, least)
    low, high = bounds(times, people, column.rules.lattice)
    beyond = np.maximum(low - times, times - high).clip(0)
    order = np.lexsort((beyond, table.entity))
    nearest = order[np.unique(table.entity[order], return_index=True)[1]]
    kept = (beyond == 0) | (low == high)  # of fewer than 2k entities, there is one time
    kept[nearest] = True  # each entity has an event
    gone = len(np.unique(times[beyond > 0]))
    table, times = table.some(kept), times[kept].clip(low, high)
    kept = _within_lengths(table.entity, times, least)
    return _Cut(table.some(kept), column, times[kept], (low, high), least, gone)


def _within_lengths(entity: Array, times: Array, least: int) -> Array:
    """Which events are left if no history has a number of events that few others have; those that
    are too short have none, (rows,)."""
    lengths = np.bincount(entity)
    found = protected_numbers(lengths.astype(np.float64), _each(len(lengths), least), Lattice(1.0))
    assert found is not None  # there are at least k entities
    usual = np.unique(found.values)
    below = np.searchsorted(usual, lengths, side="right") - 1
    most = np.where(found.values <= lengths, found.values, usual[below.clip(0)])
    few = len(lengths) < 2 * least
    most[below < 0] = lengths[below < 0] if few else 0
    order = np.lexsort((times, entity))
    owner = entity[order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = np.empty(len(owner), dtype=bool)
    kept[order] = place < most[owner]
    return kept


def _each(entities: int, least: int) -> People:
    return People(np.arange(entities), least)
