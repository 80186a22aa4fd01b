"""The columns of an event table, and where the cells of a history are in a tensor of rows.

A column holds times, constants of an entity, or values of the events. A tensor is (events,
features):

::

    event 0   constants of the entity | start |      | columns of the event | end
    event 1                           |       | wait | columns of the event | end
    ...

Features are those of the schema that vary, in this order. Cells that an event does not have are
hidden, as are the events after the last. A column with missing cells comes after a feature that
says whether the cell is present, so that a model knows and draws which cells are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lowerbound.config import from_mapping
from lowerbound.data.arrays import Array, listed, row_numbers
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.dates import closest_format, compact_format, looks_like_date, seconds
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.columns.inference import Hint, dtype_of_numbers, understood
from lowerbound.data.columns.levels import level_type
from lowerbound.data.columns.values import (
    CellError,
    factorized,
    level_name,
    missing,
    parsed_numbers,
)
from lowerbound.data.protection.identity import FreshCells
from lowerbound.data.protection.record import DETAIL as PROTECTION
from lowerbound.data.tables.frames import frame_dtype
from lowerbound.errors import DataError, OptionError, counted

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

MOST_DECIMALS = 4  # of numbers that are whole numbers of steps
MOST_STEPS = 2.0**48  # of a number; a float64 rounds it to less than a tenth of a step
ROUNDED = 2.0**-51  # relative error of a number of steps, after a division
REMEDY = "correct those cells, or drop those rows"  # of events without a time


@dataclass(frozen=True)
class Stepped:
    """A column, and whether its values are whole numbers of steps of its scale."""

    column: Column
    grid: bool = False


def stepped(series: Any, hint: Hint | None, standardize: bool) -> Stepped:
    """Fit a column of events: levels as in a table; numbers in whole steps, or standardized.

    Cells of a histogram take numbers as they are, so no map makes them normal.
    """
    column = understood(series, hint, standardize, normal_scores=False)
    column = replace(column, frame_dtype=frame_dtype(series))
    if column.levels:
        return Stepped(replace(column, level_type=level_type(series.dtype)))
    if not column.modeled:
        return Stepped(column)
    if not column.rules.has_format:
        # sorted, so that the order of the rows changes not even the rounding of a mean
        column = understood(series.sort_values(), "real", standardize, normal_scores=False)
        column = replace(column, dtype=_dtype(series, column), frame_dtype=frame_dtype(series))
    values = column.rules.read(series)
    step = step_of(values[~np.isnan(values)], column)
    if not step:
        return Stepped(column)
    return Stepped(replace(column, shift=0.0, scale=step, resolution=1.0), grid=True)


def _dtype(series: Any, column: Column) -> str:
    """The type of numbers; those written as text are whole or real."""
    if column.dtype != "str":
        return column.dtype
    values = column.rules.read(series)
    return dtype_of_numbers(values[~np.isnan(values)])


def step_of(values: Array, column: Column) -> float:
    """The step of which all values are multiples: of dates days to seconds, of numbers a power of
    ten; 0.0: there is none."""
    if column.rules.has_format:
        return float(column.round_to)
    for decimals in range(MOST_DECIMALS + 1):
        scaled = values * 10.0**decimals
        if np.abs(scaled).max(initial=0.0) < MOST_STEPS and bool(
            np.isclose(scaled, np.rint(scaled), rtol=ROUNDED, atol=1e-6).all()
        ):
            return float(10.0**-decimals)
    return 0.0


def time_column(series: Any, hint: Hint | None, standardize: bool) -> Stepped:
    """Fit the column of times: dates or numbers.

    Whole numbers such as 20240531, which are all dates, are read as dates.

    Raises:
        DataError: the values are neither, or some rows have no time.
    """
    refuse_missing(series, f"no time in column {series.name!r}")
    if hint is None and _numpy_dtype(series)[0] in "iu":
        format = compact_format(np.unique(series.to_numpy()), fewest=1)
        hint = None if format is None else f"datetime:{format}"
    if hint is None:
        _refuse_some(series)
    with _no_empty_time():
        column = understood(series, hint, standardize, normal_scores=False)
    if not column.rules.has_format and column.levels and not _numeric(column):
        raise DataError(
            f"column {series.name!r} holds no times that can be read (such as "
            f"{series.iloc[0]!r}): give dates or numbers, or name the format, as in "
            f"--kind '{series.name}=datetime:%d/%m/%Y'"
        )
    if not column.rules.has_format:
        typed = _numpy_dtype(series)
        column = replace(understood(series.sort_values(), "real", standardize, False), dtype=typed)
    elif not column.modeled:  # one date
        column = replace(column, kind="datetime")
    column = replace(column, frame_dtype=frame_dtype(series))
    values = column.rules.read(series)
    step = step_of(values, column)
    if not step:
        return Stepped(column)
    return Stepped(replace(column, scale=step, resolution=1.0), grid=True)


def read_times(column: Column, series: Any) -> Array:
    """The time of each event, seconds or numbers, (rows,).

    Raises:
        DataError: some rows have no time.
    """
    with _no_empty_time():
        return column.rules.read(series, fitting=True)


@contextmanager
def _no_empty_time() -> Iterator[None]:
    """Context whose errors of cells do not advise to empty them: each event needs a time."""
    try:
        yield
    except CellError as error:
        raise DataError(f"{error.found}: {REMEDY}") from None


def _refuse_some(series: Any) -> None:
    """Raise an error if most cells of the column of times are times and some are not.

    Raises:
        DataError: the message names the rows.
    """
    codes, distinct = factorized(series)
    if not any(isinstance(cell, str) for cell in distinct):
        return
    cells = [level_name(cell) for cell in distinct]
    wrong = parsed_numbers(series)[1]
    dates = [cell for cell in cells if looks_like_date(cell)]
    if wrong.all() and dates:
        wrong = np.isnan(seconds(cells, closest_format(dates)))[codes]
    rows = np.flatnonzero(wrong)
    if len(rows) and 2 * len(rows) <= len(series):
        shown = {level_name(series.iloc[row]): None for row in rows}
        raise DataError(
            f"column {series.name!r} holds the times of the events, but not in "
            f"{row_numbers(rows.tolist())}, counted from 0 "
            f"({listed([repr(cell) for cell in shown])}): {REMEDY}"
        )


def _numeric(column: Column) -> bool:
    return not any(isinstance(level, str) for level in column.levels)


def _numpy_dtype(series: Any) -> str:
    return str(series.dtype).lower() if series.dtype.kind in "iuf" else "float64"


def refuse_missing(series: Any, words: str) -> None:
    """Raise an error if a cell of an entity or a time is missing.

    Raises:
        DataError: the message names the first rows.
    """
    rows = np.flatnonzero(missing(series))
    if len(rows):
        raise DataError(
            f"{words} for {counted(len(rows), 'event')}, {row_numbers(rows.tolist())}, counted "
            "from 0: fill or drop those rows"
        )


def constant_within(frame: Any, entity: Array) -> list[str]:
    """The columns that never vary within an entity, missing cells included."""
    order = np.argsort(entity, kind="stable")
    owner = entity[order]
    first = order[np.searchsorted(owner, owner)]
    codes = {str(name): factorized(frame[name])[0] for name in frame.columns}
    return [name for name, code in codes.items() if bool((code[order] == code[first]).all())]


def hints_of(kinds: Any) -> Mapping[str, Hint]:
    """The given kinds of columns, by name."""
    return kinds if isinstance(kinds, Mapping) else {}


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
