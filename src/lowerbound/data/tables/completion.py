"""Rows with their missing cells filled: what was observed stays as it was given, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowerbound.data.arrays import as_array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.values import missing, numbers
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.data.tables.frames import as_typed

Array = np.ndarray[Any, Any]


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
    whole numbers become fractions only where ``exact`` is False, and numbers or dates written as
    text become numbers or dates.

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
            column = schema.columns[i]
            filled[place] = _filled(filled[place], answers[:, i], hidden[:, i], column, exact)
    return _frame(filled, frame)


def places(frame: Any, schema: Schema) -> list[int]:
    """Where in the frame each column of the schema is: by name, or by position without names."""
    found = [str(name) for name in frame.columns]
    names = [column.name for column in schema.columns]
    if schema.kind != "table" and not set(names) & set(found):
        return list(range(len(names)))
    return [found.index(name) for name in names]


def _filled(series: Any, answers: Array, hidden: Array, column: Column, exact: bool) -> Any:
    out = _with_room(series, column, exact)
    fill = _typed(answers[hidden], column, exact, out.dtype)
    # not by position: pandas would convert the column if it took the values one by one
    out.iloc[np.flatnonzero(hidden)] = fill
    return out


def _with_room(series: Any, column: Column, exact: bool) -> Any:
    """A copy of a type that can hold the column's answers."""
    import pandas as pd

    if column.levels:
        return series.copy()
    if column.kind == "datetime":
        if pd.api.types.is_datetime64_any_dtype(series.dtype):
            return series.copy()
        dates = pd.to_datetime(series.mask(missing(series)), utc=True, format="mixed")
        return dates.dt.tz_localize(None)
    if not pd.api.types.is_numeric_dtype(series.dtype):
        return pd.Series(numbers(series), index=series.index, name=series.name)
    if pd.api.types.is_integer_dtype(series.dtype) and not exact:
        return series.astype("Float64")
    return series.copy()


def _typed(answers: Array, column: Column, exact: bool, dtype: Any) -> Any:
    """Answers in the type of the column that takes them."""
    import pandas as pd

    if column.levels and not pd.api.types.is_numeric_dtype(dtype):
        codes = np.rint(answers).astype(np.int64).clip(0, len(column.levels) - 1)
        levels = np.empty(len(column.levels), dtype=object)
        levels[:] = column.levels
        return pd.Series(levels[codes]).astype(dtype).array
    if column.kind == "datetime":
        dates = pd.to_datetime(pd.Series(answers), unit="s", utc=True)
        zone = getattr(dtype, "tz", None)
        return (dates.dt.tz_convert(zone) if zone else dates.dt.tz_localize(None)).astype(dtype)
    return pd.Series(as_typed(answers, column, rounded=exact)).astype(dtype).array


def _frame(columns: dict[int, Any], like: Any) -> Any:
    import pandas as pd

    made = pd.concat(list(columns.values()), axis=1)
    return made.set_axis(like.columns, axis=1)
