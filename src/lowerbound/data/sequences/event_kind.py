"""Histories of events as a data set: a row is an entity, on the time axis of a batch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.config import to_mapping
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.columns.inference import check_hints
from lowerbound.data.columns.matrix import decode_columns, named
from lowerbound.data.kinds import DATA_KINDS, DataKind
from lowerbound.data.protection.record import DETAIL as PROTECTION
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.event_layout import (
    EventLayout,
    Placed,
    Stepped,
    constant_within,
    hints_of,
    placed,
    read_times,
    stepped,
    time_column,
)
from lowerbound.data.sequences.event_table import EventTable
from lowerbound.data.tables.files import is_table
from lowerbound.data.tables.markers import kept_by, levels_of
from lowerbound.data.tables.numbers import notations_of
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import DataError, OptionError

FLAG = Column("", kind="binary", levels=(False, True), dtype="bool")
END = "last event"


@dataclass(frozen=True, eq=False)
class Events:
    """A long table, one row for each event.

    Attributes:
        table: a pandas frame, or a path of a table.
        entity: name of the column with the entity of each event, such as a customer.
        time: name of the column with the time of each event.
    """

    table: Any
    entity: str
    time: str


@DATA_KINDS.register("events")
class EventKind(DataKind):
    """Rows (events, features) of different length; the rest of a row is hidden.

    Entities are sorted by name, and events by time and, at equal times, by the values of their
    columns in the order of the table. The order of the given rows therefore changes nothing.
    """

    grouped = True
    model = "event_history"

    def reads(self, source: Any) -> bool:
        return isinstance(source, Events)

    def takes(self, source: Any, reading: Reading) -> bool:
        if self.reads(source):
            return True
        known = reading.schema is not None and isinstance(reading.schema.data_kind, EventKind)
        given = reading.entity is not None or reading.time is not None
        return (known or given) and (
            is_table(source) if isinstance(source, (str, Path)) else hasattr(source, "set_axis")
        )

    def read(self, source: Any, reading: Reading) -> RawData:
        if reading.windows is not None:
            raise OptionError(
                "events of entities (--entity, --time) have no windows (--window): for a series, "
                "leave --entity and --time out; its rows are in the order of time"
            )
        reading.refuse(source, "label", "spectrograms", "image_size", "resize", "split", "levels")
        entity, time = _names(source, reading)
        table = source.table if isinstance(source, Events) else source
        known = None if reading.schema is None else notations_of(reading.schema)
        events = EventTable.read(table, entity, time, reading.text_dialect, known, kept_by(reading))
        if known is None and reading.least_people > 1:
            from lowerbound.data.protection.histories import protected_events

            events = protected_events(events, reading.least_people, hints_of(reading.kinds))
        name = str(table) if isinstance(table, (str, Path)) else ""
        dialect = events.form.dialect
        return RawData(events, ids=events.names, source=name, kind="events", dialect=dialect)

    def learn(self, raw: RawData, how: Reading) -> Schema:
        table: EventTable = raw.x
        check_hints(hints := hints_of(how.kinds), table.frame.columns)
        if len(table.names) < 2 or table.longest < 2:
            raise DataError(_too_few(table))
        time = time_column(table.times, hints.get(table.time), how.standardize)
        fixed = constant_within(table.cells, table.entity)
        entities, events = _Features(hints, how.standardize), _Features(hints, how.standardize)
        once = table.cells.iloc[np.unique(table.entity, return_index=True)[1]]
        for name in table.cells.columns:
            if name in fixed:
                entities.add(once[name])
            else:
                events.add(table.cells[name])
        table.warn_repeated(set(entities.left_out + events.left_out))
        return _schema(table, time, entities, events)

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        layout = EventLayout.of(schema)
        table = raw if isinstance(raw, EventTable) else _table(raw, schema, layout)
        values, times = _values(schema, layout, table)
        order, found = placed(table.entity, len(table.names), times, *values.T)
        each = _placed_cells(schema, layout, found, values[order], times[order])
        there = ~np.isnan(each)
        each = np.where(there, each, 0.0)
        exact = bool((each == each.astype(np.float32)).all())
        length = max(found.longest, schema.event_shape[0])
        shape = (found.rows, length, each.shape[1])
        x = np.zeros(shape, dtype=np.float32 if exact else np.float64)
        seen = np.zeros(shape, dtype=bool)
        x[found.row, found.place], seen[found.row, found.place] = each, there
        return torch.from_numpy(x), torch.from_numpy(seen)

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        layout = EventLayout.of(schema)
        if rounded:
            units = units.astype(np.float64)
            units[..., layout.grid] = np.rint(units[..., layout.grid])
        return decode_columns(units, schema.features, rounded)

    def values(self, schema: Schema, raw: Any) -> Array:
        packed, seen = self.pack(schema, raw)
        assert seen is not None
        return np.where(seen.numpy(), self.decode(schema, packed.numpy(), True), np.nan)

    def log_slopes(self, schema: Schema, x: Tensor) -> Tensor:
        """Zero for levels and for whole steps, which have probabilities."""
        layout = EventLayout.of(schema)
        slopes = [
            0.0 if column.levels or place in layout.grid else -float(np.log(column.scale))
            for place, column in enumerate(modeled(schema))
        ]
        return torch.tensor(slopes, dtype=torch.float64).expand(1, *x.shape[1:])

    def report_style(self, schema: Schema) -> str:
        return ""

    def describe(self, schema: Schema) -> str:
        layout = EventLayout.of(schema)
        return (
            f"histories of {layout.entity!r}, at most {schema.event_shape[0]} events in the order "
            f"of {layout.time.name!r}, with {schema.event_shape[1]} numbers each"
        )

    def feature_names(self, schema: Schema) -> list[str]:
        places = range(schema.event_shape[0])
        return [f"{column.name}@{place}" for place in places for column in modeled(schema)]


class _Features:
    """Fitted columns, each after a flag if some of its cells are missing."""

    def __init__(self, hints: Any, standardize: bool) -> None:
        self.hints, self.standardize = hints, standardize
        self.found: list[Stepped] = []
        self.gates: list[bool] = []
        self.left_out: list[str] = []

    def add(self, series: Any) -> None:
        """Fit a column; one that names rows is left out."""
        name = str(series.name)
        one = stepped(series, self.hints.get(name), self.standardize)
        if not one.column.rules.kept:
            self.left_out.append(name)
            return
        if one.column.modeled and bool(np.isnan(one.column.rules.read(series)).any()):
            self._append(Stepped(replace(FLAG, name=f"{name} is present")), gate=True)
        self._append(one, gate=False)

    def _append(self, one: Stepped, gate: bool) -> None:
        self.found.append(one)
        self.gates.append(gate)


def modeled(schema: Schema) -> list[Column]:
    """The features that vary."""
    return [feature for feature in schema.features if feature.modeled]


def _schema(table: EventTable, time: Stepped, entities: _Features, events: _Features) -> Schema:
    if left_out := (*entities.left_out, *events.left_out):
        warnings.warn(
            f"{named(left_out)}: almost no value repeats, so it names rows and is left out",
            UserWarning,
            stacklevel=4,
        )
    unit = time.column.scale
    origin = float(time.column.rules.read(table.times).min())
    start = Column(f"first {table.time}", shift=origin, scale=unit, resolution=1.0)
    wait = Column(f"{table.time} after the event before", scale=unit, resolution=1.0)
    clock = [Stepped(start, time.grid), Stepped(wait, time.grid)]
    found = [*entities.found, *clock, *events.found, Stepped(replace(FLAG, name=END))]
    gates = [*entities.gates, False, False, *events.gates, False]
    varying = [place for place, one in enumerate(found) if one.column.modeled]
    known = table.protection
    layout = EventLayout(
        entity=table.entity_name,
        time=time.column,
        order=tuple(name for name in table.order if name not in left_out),
        identifiers=IdentifierFormat.of(table.keys, 1 if known is None else known.least_people),
        constants=sum(one.column.modeled for one in entities.found),
        gates=tuple(i for i, place in enumerate(varying) if gates[place]),
        grid=tuple(i for i, place in enumerate(varying) if found[place].grid),
        ends=table.ends,
        fresh=table.fresh,
    )
    return Schema(
        kind="events",
        event_shape=(table.longest, len(varying)),
        features=tuple(_in_notation(one.column, table.form) for one in found),
        left_out=left_out,
        details=to_mapping(layout) | ({} if known is None else {PROTECTION: to_mapping(known)}),
    )


def _in_notation(column: Column, form: TextForm) -> Column:
    return replace(column, notation=form.notations.get(column.name))


def _names(source: Any, reading: Reading) -> tuple[str, str]:
    """The names of the columns of entities and of times.

    Raises:
        OptionError: one is not given, or differs from that of the fit.
    """
    given = (reading.entity, reading.time)
    if isinstance(source, Events):
        given = (source.entity, source.time)
    if reading.schema is not None:
        layout = EventLayout.of(reading.schema)
        fitted = (layout.entity, layout.time.name)
        if any(name not in (None, own) for name, own in zip(given, fitted, strict=True)):
            raise OptionError(
                f"the model was fitted with the entity {fitted[0]!r} and the time {fitted[1]!r}: "
                "name the columns of the data like these"
            )
        return fitted
    if given[0] is None or given[1] is None:
        raise OptionError(
            "a table of events needs the column of its entities and the column of its times: give "
            "--entity COLUMN and --time COLUMN; of a series of points in time, leave them out and "
            "give --window N"
        )
    return given[0], given[1]


def _too_few(table: EventTable) -> str:
    if len(table.names) < 2:
        return (
            f"all events are of one entity, {table.names[0]!r} in column {table.entity_name!r}: a "
            "model of histories needs several"
        )
    return (
        f"no entity in column {table.entity_name!r} has a second event: this is an ordinary table, "
        "so leave --entity and --time out"
    )


def _table(raw: Any, schema: Schema, layout: EventLayout) -> EventTable:
    source = raw.table if isinstance(raw, Events) else raw
    known = notations_of(schema)
    return EventTable.read(
        source, layout.entity, layout.time.name, known=known, kept=levels_of(schema)
    )


def _values(schema: Schema, layout: EventLayout, table: EventTable) -> tuple[Array, Array]:
    """Columns of each given event in model units, (events, features), and its time in seconds or
    numbers; NaN where missing, and in the features of time and end.

    Raises:
        DataError: a column is missing, or has values of another kind.
    """
    columns = modeled(schema)
    clock = (layout.start, layout.wait, len(columns) - 1)
    values = np.full((len(table.entity), len(columns)), np.nan)
    absent = [
        column.name
        for place, column in enumerate(columns)
        if place not in (*clock, *layout.gates) and column.name not in table.cells
    ]
    if absent:
        raise DataError(
            f"{named(absent)} missing; the table has {listed(list(table.cells.columns))}"
        )
    for place, column in enumerate(columns):
        if place in clock or place in layout.gates:
            continue
        cells = column.encode(column.rules.read(table.cells[column.name]))
        values[:, place] = np.rint(cells) if place in layout.grid else cells
        if place - 1 in layout.gates:
            values[:, place - 1] = ~np.isnan(cells)
    # as in a fit: an event without a time is refused
    return values, read_times(layout.time, table.times)


def _placed_cells(
    schema: Schema, layout: EventLayout, found: Placed, values: Array, times: Array
) -> Array:
    """Cells of the sorted events, (events, features), NaN where an event has no such cell."""
    start, wait = modeled(schema)[layout.start], modeled(schema)[layout.wait]
    since = np.append(0.0, np.diff(times))
    values[:, layout.start] = np.where(found.first, start.encode(times), np.nan)
    values[:, layout.wait] = np.where(found.first, np.nan, wait.encode(since))
    if layout.start in layout.grid:
        clock = [layout.start, layout.wait]
        values[:, clock] = np.rint(values[:, clock])
    values[:, -1] = found.last
    values[~found.first, : layout.constants] = np.nan
    return values
