"""Imputation of tables: missing cells are filled, observed cells stay unchanged bit for bit.

In a series, the answers for cells of overlapping windows become answers for points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, as_array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.notation import COMMA, POINT
from lowerbound.data.columns.values import missing
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.series import cut
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.frames import matched_by_place
from lowerbound.errors import DataError


@dataclass(frozen=True, eq=False)
class IncompleteColumns(Incomplete):
    """A frame or a matrix.

    Attributes:
        text: the cells of the csv file of the frame; None: the frame is not from a csv file.
    """

    text: Any = None

    @cached_property
    def hidden(self) -> Array:
        """Mask of the missing cells, (rows, columns of the schema)."""
        return hidden_cells(self.given, self.dataset)

    def filled(self, answers: Array, exact: bool) -> Any:
        """The given rows, hidden cells replaced by ``answers``, (rows, columns of the schema)."""
        if hasattr(self.given, "columns"):
            return completed_frame(self.given, self.schema, answers, self.hidden, exact=exact)
        return completed_array(self.given, self.schema, answers, self.hidden)

    def counts(self) -> dict[str, int]:
        """Number of missing cells by column, for columns with missing cells."""
        each = self.hidden.sum(0)
        names = [column.name for column in self.schema.columns]
        return {name: int(n) for name, n in zip(names, each, strict=True) if n}

    def left_empty(self) -> dict[str, int]:
        """Number of missing cells that stay so by column: the model does not have the column, or
        its rows of the fit had no value."""
        if not hasattr(self.given, "columns"):
            return {}
        pairs = zip(places(self.given, self.schema), self.schema.columns, strict=True)
        filled = {place for place, column in pairs if not column.blank}
        counts = {
            str(name): int(missing(self.given.iloc[:, place]).sum())
            for place, name in enumerate(self.given.columns)
            if place not in filled
        }
        return {name: count for name, count in counts.items() if count}

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        """Mean interval width over the missing cells, by column whose values have a distance; of
        levels in codes, of dates, durations and times of day in seconds."""
        found, hidden = {}, self.hidden
        for i, column in enumerate(self.schema.columns):
            if hidden[:, i].any() and _has_distance(column):
                found[column.name] = float((high - low)[hidden[:, i], i].mean())
        return found


def _has_distance(column: Column) -> bool:
    """Whether values are near or far: not two levels, nor levels that are no numbers."""
    numbers = not any(isinstance(level, bool | str) for level in column.levels)
    return column.rules.ordered and (not column.levels or (numbers and len(column.levels) > 2))


def hidden_cells(rows: Any, dataset: Dataset) -> Array:
    """Mask of the missing cells, (rows, columns of the schema).

    A level that the fit did not see is hidden from the model, but not missing.

    Args:
        rows: a frame or a matrix, as given.
        dataset: the encoded rows.
    """
    schema = dataset.schema
    hidden = np.zeros((len(rows), len(schema.columns)), dtype=bool)
    modeled = [column.modeled for column in schema.columns]
    if dataset.observed is not None:
        hidden[:, modeled] = ~dataset.observed.cpu().numpy()
    frame = hasattr(rows, "columns")
    for i, place in enumerate(places(rows, schema) if frame else range(len(modeled))):
        if not (modeled[i] or schema.columns[i].blank):  # which is filled with its constant
            column = rows.iloc[:, place] if frame else rows[:, place]
            hidden[:, i] = missing(column) if frame else column != column
    return np.asarray(hidden & ~dataset.unseen_cells.cpu().numpy())


def completed_array(values: Array, schema: Schema, answers: Array, hidden: Array) -> Array:
    """Fill the hidden cells of a matrix, in its own type; otherwise as ``completed_frame``.

    Raises:
        DataError: a column has levels that are not numbers.
    """
    answers = answers.astype(np.float64)
    for i, column in enumerate(schema.columns):
        if column.levels and hidden[:, i].any():
            levels = as_array(column.levels, f"column {column.name!r}").astype(np.float64)
            answers[:, i] = levels[answers[:, i].astype(np.int64)]
    if values.dtype.kind != "f":
        answers = np.rint(answers)
    return np.where(hidden, answers.astype(values.dtype), values)


def completed_frame(
    frame: Any, schema: Schema, answers: Array, hidden: Array, *, exact: bool
) -> Any:
    """Fill the hidden cells of a frame; index, order and other columns do not change.

    A column keeps its type if it has no hidden cell, or if its type can represent the answers.
    Integers become floats only if ``exact`` is False, or if those of the fit were floats. Numbers
    written as text become numbers. Dates written as text stay text, and the new dates have the same
    format.

    Args:
        frame: as given.
        schema: of the model.
        answers: (rows, columns of the schema), codes for columns with levels.
        hidden: mask of the cells to fill, shape of ``answers``.
        exact: whether the answers are possible values of the data, not expectations.

    Raises:
        DataError: the type of a column cannot hold its answers.
    """
    filled = {place: frame.iloc[:, place] for place in range(frame.shape[1])}
    for i, place in enumerate(places(frame, schema)):
        rows = np.flatnonzero(hidden[:, i])
        if len(rows):
            filled[place] = _filled(filled[place], schema.columns[i], rows, answers[rows, i], exact)
    return _frame(filled, frame)


def _filled(series: Any, known: Column, rows: Array, answers: Array, exact: bool) -> Any:
    """A column with answers in some rows; text that has a notation stays text."""
    import pandas as pd

    rules = known.rules
    blank = known.notation is not None and known.notation.typed and series.isna().all()
    if blank and known.notation is not None:
        series = known.notation.in_type(pd.Series(np.nan, series.index, name=series.name))
    if known.notation is None or pd.api.types.is_numeric_dtype(series.dtype):
        column = rules.with_room(series, exact)
        values = rules.filling(answers, column, exact)
    else:
        column = series.copy() if series.dtype.kind == "m" else series.astype(object)
        numbers = rules.filling(answers, pd.Series(dtype=float), exact)
        values = known.notation.filling(np.asarray(numbers, dtype=float), series, exact)
    # in one assignment: pandas would convert the column if values were set one by one
    column.iloc[rows] = values
    if column.iloc[rows].isna().any():
        raise DataError(
            f"the type {column.dtype} of column {known.name!r} cannot hold the values that fill "
            "it: convert the column to text or numbers first"
        )
    return column


def places(frame: Any, schema: Schema) -> list[int]:
    """Position in the frame of each column of the schema, by name if there are names."""
    found = [str(name) for name in frame.columns]
    names = [column.name for column in schema.columns]
    if matched_by_place(found, schema):
        return list(range(len(names)))
    return [found.index(name) for name in names]


class GivenText:
    """Completed rows as text, chunk after chunk: observed cells as the file writes them, and filled
    cells in the notation of the observed ones so far."""

    def __init__(self) -> None:
        self._texts: dict[int, dict[Any, str]] = {}  # of levels; other values may be too many
        self._fractions: set[int] = set()  # columns with a decimal point
        self._marks: dict[int, str] = {}  # of decimals, as the file writes them

    def kept(self, completed: Any, rows: Incomplete) -> Any:
        """The completed rows as text; unchanged, if the file of the given rows is no text.

        Args:
            completed: the result of ``completed_frame``.
            rows: the given rows.
        """
        import pandas as pd

        text = getattr(rows, "text", None)
        if text is None:
            return completed
        out = {place: text.iloc[:, place].astype(object) for place in range(text.shape[1])}
        for i, place in enumerate(places(completed, rows.schema)):
            gone = rows.hidden[:, i]
            values = completed.iloc[:, place].to_numpy(dtype=object)
            given = out[place].to_numpy(dtype=object, copy=True)
            lasting = bool(rows.schema.columns[i].levels)
            known = self._seen(i, values[~gone], given[~gone], lasting)
            if gone.any():
                whole = i not in self._fractions
                given[gone] = _spelled(values[gone], known, whole, self._mark(i, known))
                out[place] = pd.Series(given)
        return _frame(out, completed)

    def _mark(self, column: int, known: dict[Any, str]) -> str:
        """The decimal mark of the observed numbers of a column, which may not be the model's."""
        if not self._marks.get(column):
            numbers = [(value, text) for value, text in known.items() if isinstance(value, float)]
            marks = (
                mark
                for value, text in numbers
                for mark in (POINT, COMMA)
                if _is_written(value, text, mark)
            )
            self._marks[column] = next(marks, "")
        return self._marks[column]

    def _seen(self, column: int, values: Array, texts: Array, lasting: bool) -> dict[Any, str]:
        """The text of each observed value of a column; if ``lasting``, also of earlier chunks."""
        known = {**self._texts.get(column, {}), **dict(zip(values, texts, strict=True))}
        if lasting:
            self._texts[column] = known
        if any("." in text for text in known.values()):
            self._fractions.add(column)
        return known


def _spelled(values: Array, known: dict[Any, str], whole: bool, mark: str) -> list[Any]:
    """Values in the notation of the observed ones; ``whole``: integers have no decimal point.

    Args:
        values: of one column.
        known: texts of observed values.
        whole: whether the column has no decimals so far.
        mark: of the decimals of the file; "": not known, so that numbers stay numbers.
    """
    spelled: list[Any] = []
    for value in values:
        if value in known or not isinstance(value, float):
            spelled.append(known.get(value, value))
        elif whole and value.is_integer():
            spelled.append(int(value))
        else:
            spelled.append(str(value).replace(POINT, mark) if mark and value == value else value)
    return spelled


def _is_written(value: Any, text: str, mark: str) -> bool:
    """Whether the text is this number with this decimal mark."""
    try:
        return mark in text and float(text.replace(mark, POINT)) == value
    except ValueError:
        return False


def _frame(columns: dict[int, Any], like: Any) -> Any:
    import pandas as pd

    made = pd.concat(list(columns.values()), axis=1)
    return made.set_axis(like.columns, axis=1)


class Series:
    """A series that was cut into windows; each window is a row of a table.

    Args:
        schema: of the windows.
        windows: how the series was cut.
        points: its length.
    """

    def __init__(self, schema: Schema, windows: Windows, points: int) -> None:
        self.windows, self.points = windows, points
        place = {column.name: i for i, column in enumerate(schema.columns)}
        names = windows.names(place)
        cells = {name: [place.get(at, -1) for at in windows.columns(name)] for name in names}
        # a column that was left out at some of its times stays unchanged
        self.cells = {name: found for name, found in cells.items() if -1 not in found}
        self.times = [[schema.columns[i] for i in found] for found in self.cells.values()]
        own = (_joined(name, times) for name, times in zip(self.cells, self.times, strict=True))
        self.schema = replace(schema, columns=tuple(own), windows=None)

    def hidden(self, cells: Array) -> Array:
        """The points that no window observes, (points, columns), from the hidden cells."""
        seen = [self.windows.averaged(~cells[:, i], self.points) for i in self.cells.values()]
        unseen: Array = np.stack(seen, 1) == 0
        return unseen

    def answers(self, cells: Array, exact: bool) -> Array:
        """Convert answers of cells, (windows, cells), to answers of points, (points, columns).

        Columns with levels have codes. Ordered values are averaged over all windows that contain
        the point. If ``exact``, or if the values have no order, the answer is that of the window
        whose middle is nearest to the point, because it has the most context on both sides.
        """
        found = []
        for own, times, places in zip(
            self.schema.columns, self.times, self.cells.values(), strict=True
        ):
            averages = own.rules.ordered and not exact
            pool = self.windows.averaged if averages else self.windows.central
            found.append(pool(_in_codes_of(own, times, cells[:, places]), self.points))
        return np.stack(found, 1)


@dataclass(frozen=True, eq=False)
class IncompleteSeries(IncompleteColumns):
    """A frame of points in time, whose windows are the rows of the data set."""

    @cached_property
    def series(self) -> Series:
        """The points of the windows."""
        schema = self.dataset.schema
        assert schema.windows is not None
        return Series(schema, schema.windows, len(self.given))

    @property
    def schema(self) -> Schema:
        """The schema of the points."""
        return self.series.schema

    @cached_property
    def hidden(self) -> Array:
        """Mask of the missing cells, (points, columns)."""
        windows = cut(self.given, self.series.windows)
        return self.series.hidden(hidden_cells(windows, self.dataset))

    def filled(self, answers: Array, exact: bool) -> Any:
        """The given points, hidden cells filled from the ``answers`` of the windows."""
        return super().filled(self.series.answers(answers, exact), exact)

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        """Mean interval width over the missing points, by column, from the windows' cells."""
        return super().widths(*(self.series.answers(end, exact=False) for end in (low, high)))


def _joined(name: str, times: list[Column]) -> Column:
    """Merge the columns of all times into one, with the union of their levels."""
    levels = dict.fromkeys(level for column in times for level in column.levels)
    return replace(times[0], name=name, levels=tuple(levels))


def _in_codes_of(own: Column, times: list[Column], answers: Array) -> Array:
    """Convert the codes of each time, (windows, length), to codes in the levels of ``own``."""
    if all(column.levels == own.levels for column in times):
        return answers
    codes = [np.array([own.levels.index(level) for level in column.levels]) for column in times]
    each = [c[np.rint(a).astype(np.int64)] for c, a in zip(codes, answers.T, strict=True)]
    return np.stack(each, 1).astype(answers.dtype)
