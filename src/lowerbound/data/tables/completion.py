"""Rows with their missing cells filled: what was observed stays as it was given, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, as_array
from lowerbound.data.columns.values import missing
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.schema import Schema


@dataclass(frozen=True, eq=False)
class IncompleteColumns(Incomplete):
    """A frame or a matrix.

    Attributes:
        text: the cells of the csv file that the frame came from; None: it came from none.
    """

    text: Any = None

    @cached_property
    def hidden(self) -> Array:
        """Where there is something to fill, (rows, columns of the schema)."""
        return hidden_cells(self.given, self.dataset)

    def filled(self, answers: Array, exact: bool) -> Any:
        """The rows as given, hidden cells filled by ``answers``, (rows, columns of the schema)."""
        if hasattr(self.given, "columns"):
            return completed_frame(self.given, self.schema, answers, self.hidden, exact=exact)
        return completed_array(self.given, self.schema, answers, self.hidden)

    def counts(self) -> dict[str, int]:
        """Cells to fill, by column; those without any are left out."""
        each = self.hidden.sum(0)
        names = [column.name for column in self.schema.columns]
        return {name: int(n) for name, n in zip(names, each, strict=True) if n}

    def widths(self, low: Array, high: Array) -> dict[str, float]:
        """Mean distance of two ends over the cells to fill, by column; unordered levels have none,
        and other levels are counted."""
        found, hidden = {}, self.hidden
        for i, column in enumerate(self.schema.columns):
            if hidden[:, i].any() and column.rules.ordered:
                found[column.name] = float((high - low)[hidden[:, i], i].mean())
        return found


def hidden_cells(rows: Any, dataset: Dataset) -> Array:
    """Where there is something to fill, (rows, columns of the schema).

    A level that the fit did not see counts as missing, as the reader's warning says.

    Args:
        rows: as given, a frame or a matrix.
        dataset: what the reader made of it.
    """
    schema = dataset.schema
    hidden = np.zeros((len(rows), len(schema.columns)), dtype=bool)
    modeled = [column.modeled for column in schema.columns]
    if dataset.observed is not None:
        hidden[:, modeled] = ~dataset.observed.cpu().numpy()
    frame = hasattr(rows, "columns")
    for i, place in enumerate(places(rows, schema) if frame else range(len(modeled))):
        if not modeled[i]:  # the model does not see it, but it has a value to be put back
            column = rows.iloc[:, place] if frame else rows[:, place]
            hidden[:, i] = missing(column) if frame else column != column
    return hidden


def completed_array(values: Array, schema: Schema, answers: Array, hidden: Array) -> Array:
    """The matrix with its hidden cells filled, in its own type; the rest as ``completed_frame``.

    Raises:
        DataError: levels of the table that the model was fitted on are no numbers.
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
    """The frame with its hidden cells filled; index, order and other columns as they are.

    A column without a hidden cell keeps its type, and so does one whose type can hold its answers:
    whole numbers become fractions only where ``exact`` is False, and numbers written as text become
    numbers. Dates written as text stay text, and the new ones are written as they are.

    Args:
        frame: as given.
        schema: of the model.
        answers: (rows, columns of the schema), codes where a column has levels.
        hidden: likewise.
        exact: whether the answers are such as the data could hold, rather than expectations.
    """
    filled = {place: frame.iloc[:, place] for place in range(frame.shape[1])}
    for i, place in enumerate(places(frame, schema)):
        if hidden[:, i].any():
            rules, rows = schema.columns[i].rules, hidden[:, i]
            column = rules.with_room(filled[place], exact)
            # not by position: pandas would convert the column if it took the values one by one
            column.iloc[np.flatnonzero(rows)] = rules.filling(answers[rows, i], column, exact)
            filled[place] = column
    return _frame(filled, frame)


def places(frame: Any, schema: Schema) -> list[int]:
    """Where in the frame each column of the schema is: by name, or by position without names."""
    found = [str(name) for name in frame.columns]
    names = [column.name for column in schema.columns]
    if not schema.data_kind.named_columns and not set(names) & set(found):
        return list(range(len(names)))
    return [found.index(name) for name in names]


def with_given_text(completed: Any, text: Any, schema: Schema, hidden: Array) -> Any:
    """The completed rows as text: each cell that was observed as its file spells it.

    Args:
        completed: of ``completed_frame``.
        text: the cells of the file, a frame of its shape.
        schema, hidden: as of ``completed_frame``.
    """
    import pandas as pd

    out = {place: text.iloc[:, place].astype(object) for place in range(text.shape[1])}
    for i, place in enumerate(places(completed, schema)):
        rows = hidden[:, i]
        if rows.any():
            values = completed.iloc[:, place].to_numpy(dtype=object)
            given = out[place].to_numpy(dtype=object, copy=True)
            given[rows] = _spelled(
                values[rows], dict(zip(values[~rows], given[~rows], strict=True))
            )
            out[place] = pd.Series(given)
    return _frame(out, completed)


def _spelled(values: Array, known: dict[Any, str]) -> list[Any]:
    """Values as the observed ones are spelled; whole ones without a point if those have none."""
    whole = not any("." in text for text in known.values())
    return [
        known.get(v, int(v) if whole and isinstance(v, float) and v.is_integer() else v)
        for v in values
    ]


def _frame(columns: dict[int, Any], like: Any) -> Any:
    import pandas as pd

    made = pd.concat(list(columns.values()), axis=1)
    return made.set_axis(like.columns, axis=1)
