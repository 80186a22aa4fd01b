"""Long tables: reading them, and writing histories as such a table."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.protection.record import Protection
from lowerbound.data.sequences.event_layout import EventLayout, FreshColumn, refuse_missing
from lowerbound.data.synthetic.column_form import in_fresh_type
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.files import read_table
from lowerbound.data.tables.frames import in_frame_type
from lowerbound.data.tables.markers import Kept
from lowerbound.data.tables.numbers import Notations, found_notations, with_numbers
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import DataError, OptionError

if TYPE_CHECKING:  # a name for annotations: a schema knows its kind of data
    from lowerbound.data.schema import Schema


@dataclass(frozen=True, eq=False)
class EventTable:
    """A long table and the entity of each of its rows.

    Attributes:
        frame: the table.
        entity_name, time: its columns of entities and times.
        entity: number of the entity of each row, in the order of ``keys``, (rows,).
        keys: the entities, sorted: whole numbers or text.
        form: how the file of the table writes it.
        protection: what was protected in it; None: nothing.
        ends: the first and the last time that may be drawn; (): any.
        fresh: of the columns that identify people.
    """

    frame: Any
    entity_name: str
    time: str
    entity: Array
    keys: Array
    form: TextForm = field(default_factory=TextForm)
    protection: Protection | None = None
    ends: tuple[float, ...] = ()
    fresh: tuple[FreshColumn, ...] = ()

    @classmethod
    def read(
        cls,
        source: Any,
        entity: str,
        time: str,
        dialect: Dialect | None = None,
        known: Notations | None = None,
        kept: Kept | None = None,
    ) -> EventTable:
        """Read a path or a frame.

        Args:
            source: of the events.
            entity, time: names of these columns.
            dialect: how a file is written, as far as it is known.
            known: the notations of the columns; None: those that are found.
            kept: levels that are no markers of missing values.

        Raises:
            DataError: it cannot be read, is empty, has two columns of one name or none of these
                names, or an event has no entity or no time.
            OptionError: entity and time are the same column.
        """
        path = isinstance(source, (str, Path))
        if path:
            frame, dialect = read_table(source, dialect, known, kept)
        else:
            frame, dialect = (dialect or Dialect()).emptied(source), None
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        notations = found_notations(frame, dialect, {entity, time}) if known is None else known
        frame, form = with_numbers(frame, notations), TextForm(dialect, notations)
        names = list(frame.columns)
        if not len(frame) or not names:
            raise DataError(f"the table of events is empty: {len(frame)} rows")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"several columns are named {listed(twice)}; rename them")
        for name, what in ((entity, "entity"), (time, "time")):
            if name not in names:
                raise DataError(_no_column(names, name, what))
        if entity == time:
            raise OptionError(f"--entity and --time are the same column, {entity!r}")
        refuse_missing(frame[entity], f"no entity in column {entity!r}")
        refuse_missing(frame[time], f"no time in column {time!r}")
        keys = _sorted_keys(frame[entity])
        return cls(frame.reset_index(drop=True), entity, time, *keys, form)

    def some(self, rows: Array) -> EventTable:
        """The table of some rows, by their mask."""
        kept, entity = np.unique(self.entity[rows], return_inverse=True)
        frame = self.frame[rows].reset_index(drop=True)
        return replace(self, frame=frame, entity=entity, keys=self.keys[kept])

    @property
    def names(self) -> tuple[str, ...]:
        """The entities as text."""
        return tuple(str(key) for key in self.keys)

    @property
    def order(self) -> list[str]:
        """The names of all columns."""
        return list(self.frame.columns)

    @property
    def times(self) -> Any:
        """The times of the rows, a pandas series."""
        return self.frame[self.time]

    @cached_property
    def cells(self) -> Any:
        """The frame without entities and times."""
        return self.frame.drop(columns=[self.entity_name, self.time])

    @property
    def longest(self) -> int:
        """Events of the longest history."""
        return int(np.bincount(self.entity).max())

    def warn_repeated(self, left_out: Collection[str]) -> None:
        """Warn of events that agree in every column: a table may contain an event twice."""
        count = int(self.frame.drop(columns=list(left_out)).duplicated().sum())
        if count:
            warnings.warn(
                f"{count:,} rows repeat another row in every column and are kept as events of "
                "their own; drop them first if an event was recorded twice",
                UserWarning,
                stacklevel=5,
            )


def _no_column(names: list[str], name: str, what: str) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"the table has {listed(names)}"
    return f"there is no column {name!r} for the {what}; {hint}"


def _sorted_keys(series: Any) -> tuple[Array, Array]:
    """(the number of the entity of each row, the entities in order)."""
    if series.dtype.kind in "iu":
        keys, numbers = np.unique(series.to_numpy(), return_inverse=True)
        return numbers, keys
    if series.dtype.kind == "f" and bool((series == series.round()).all()):
        return _sorted_keys(series.astype("int64"))
    keys, numbers = np.unique(series.astype(str).to_numpy(dtype=str), return_inverse=True)
    return numbers, keys


def history_frame(
    schema: Schema, x: Any, seen: Any = None, *, first: int = 0, names: Any = None
) -> Any:
    """Histories as a long table, a pandas frame with the columns and types of the fitted table.

    Args:
        schema: of histories.
        x: (rows, events, features) in model units, NaN where there is no cell.
        seen: like x, the cells that there are; None: those that are not NaN.
        first: number of the first row, from which fresh names of entities follow.
        names: names of the entities instead.
    """
    import pandas as pd

    units = np.asarray(x, dtype=np.float64)
    there = ~np.isnan(units) if seen is None else np.asarray(seen)
    layout = EventLayout.of(schema)
    times, events = _clock(schema, layout, units, there), _events(there)
    if names is None and layout.ends:
        low, high = layout.ends
        events &= (times <= high) | (np.arange(times.shape[1]) == 0)  # the table ends there
        times = times.clip(low, high)
    row, place = np.nonzero(events)
    if names is None:
        entities = layout.identifiers.fresh(first, len(units))
    else:
        entities = layout.identifiers.typed(np.asarray(names))
    columns: dict[str, Any] = {
        layout.entity: entities[row],
        layout.time.name: _times(layout, times[row, place]),
    }
    decoded = schema.decode(np.where(there, units, 0.0), rounded=True)
    index = -1
    for number, column in enumerate(schema.features):
        index += column.modeled
        at = np.zeros_like(place) if column.modeled and index < layout.constants else place
        cells = there[row, at, index] if column.modeled else np.full(len(row), not column.blank)
        gated = column.modeled and index - 1 in layout.gates
        columns[column.name] = _typed(column, decoded[row, at, number], cells, gated)
    for each in layout.fresh:
        numbers = first + row if each.once else (first + row) * there.shape[1] + place
        made = each.cells.at(numbers) if names is None else np.full(len(row), None)
        columns[each.name] = in_fresh_type(pd.Series(made, dtype=object), each.cells)
    return pd.DataFrame({name: columns[name] for name in layout.order})


def _events(there: Array) -> Array:
    """Which events each row has, (rows, events): up to the last that has a cell."""
    some = there.any(2)
    return np.asarray(np.flip(np.maximum.accumulate(np.flip(some, 1), 1), 1))


def _clock(schema: Schema, layout: EventLayout, units: Array, there: Array) -> Array:
    """The time of each event in seconds or numbers, (rows, events)."""
    columns = [feature for feature in schema.features if feature.modeled]
    start = columns[layout.start]
    steps = np.where(there[..., layout.start], units[..., layout.start], 0.0)
    steps = steps + np.where(there[..., layout.wait], units[..., layout.wait], 0.0)
    if layout.start in layout.grid:
        steps = np.rint(steps)
    return np.asarray(start.decode(steps.cumsum(1)))


def _times(layout: EventLayout, values: Array) -> Any:
    """Times of events in the type of the table."""
    import pandas as pd

    rules = layout.time.rules
    typed = pd.Series(rules.typed(_round_to_step(rules.rounded(values), layout.time)))
    return in_frame_type(typed, layout.time)


def _typed(column: Column, values: Array, cells: Array, gated: bool) -> Any:
    """Cells in the type of a column, missing where they are not there; a column that may have
    missing cells has the same type without them."""
    import pandas as pd

    filled = np.where(cells, values, values[cells][0] if cells.any() else 0.0)
    series = pd.Series(column.rules.typed(_round_to_step(filled, column)))
    if column.notation is not None and column.notation.typed:
        return column.notation.in_type(series.mask(~cells))
    if gated or not cells.all():
        wide = {"i": "Int64", "u": "UInt64", "b": "boolean"}.get(series.dtype.kind)
        series = (series.astype(wide) if wide else series).mask(~cells)
    return in_frame_type(series, column)


def _round_to_step(values: Array, column: Column) -> Array:
    """Values without the rounding errors of decimal steps, such as 11.770000000000001."""
    decimals = -np.log10(column.scale)
    if column.levels or column.resolution != 1.0 or decimals != np.rint(decimals) or decimals < 0:
        return values
    return np.asarray(np.round(values, int(decimals)))
