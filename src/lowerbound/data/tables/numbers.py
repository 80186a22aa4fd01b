"""Columns that are numbers in a notation of their own, such as 1.234,50 or $1,234.50 or 1:23:45."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from lowerbound.data.columns.durations import clock_of
from lowerbound.data.columns.notation import COMMA, Notation, decimal_mark, likeliest, recognized
from lowerbound.data.columns.values import (
    check_numbers,
    distinct_values,
    missing,
    parsed_numbers,
    refuse,
)
from lowerbound.data.schema import Schema
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.markers import is_text

LAST_BITS = 1e-14  # relative difference of numbers that are read from the same text
Notations = Mapping[str, Notation]


def found_notations(
    frame: Any, dialect: Dialect | None, skipped: Collection[str], numbers: Collection[str] = ()
) -> Notations:
    """The notations of the columns that are numbers, by name; plain ones are left out.

    A warning names the columns that fit two, such as 1,234.

    Args:
        frame: a pandas frame.
        dialect: of its file; None: it is from no text.
        skipped: columns whose kind is known, and is no number.
        numbers: columns that are known to be numbers.
    """
    if not frame.columns.is_unique:  # which is refused later
        return {}
    clocks = _clocks(frame, skipped)
    skipped = {*skipped, *clocks}
    text = [name for name in frame.columns if str(name) not in skipped and is_text(frame[name])]
    asked = Dialect() if dialect is None else dialect
    thousands = asked.thousands
    decimal = asked.decimal or decimal_mark(frame[name] for name in text)
    only = decimal if "decimal" in asked.given else None
    chosen = dict(clocks)
    for name in text:
        found = recognized(frame[name], only, thousands, str(name) in numbers)
        notation = likeliest(found, decimal)
        if notation is None and decimal == COMMA:
            _check_fractions(frame[name])
        if notation is None or _is_plain(frame[name], notation):
            continue
        chosen[str(name)] = notation
        if len({one.decimal for one in found}) > 1:
            _warn(frame[name], notation, found)
    return chosen


def _check_fractions(series: Any) -> None:
    """Check a column of text in a file with decimal commas.

    Raises:
        DataError: most cells are numbers, some of them fractions, and some are not.
    """
    values = Notation(decimal=COMMA).numbers(series)
    if (values != np.rint(values))[~np.isnan(values)].any():
        check_numbers(series, np.isnan(values) & ~missing(series, words=False))


def _clocks(frame: Any, skipped: Collection[str]) -> dict[str, Notation]:
    """The notations of the columns that hold durations or times of day."""
    names = [name for name in frame.columns if str(name) not in skipped and _written(frame[name])]
    found = {str(name): clock_of(frame[name]) for name in names}
    return {
        name: Notation(clock=each[0], decimals=each[1])
        for name, each in found.items()
        if each is not None
    }


def with_numbers(frame: Any, notations: Notations) -> Any:
    """The frame with columns in these notations as numbers; others stay.

    Raises:
        DataError: some rows of such a column are written otherwise.
    """
    import pandas as pd

    made = {}
    for name, notation in notations.items():
        if name in frame.columns and _written(frame[name]):
            series = frame[name]
            values = notation.numbers(series)
            example = notation.texts([1234.5], rounded=False)[0]
            words = f"column {name!r} holds numbers that are written as {example}, but not"
            refuse(np.isnan(values) & ~missing(series, words=False), series, words)
            made[name] = pd.Series(values, index=series.index)
    return frame.assign(**made) if made else frame


def notations_of(schema: Schema) -> Notations:
    """The notations that a model knows, of a series also by the names before it was cut, and of
    regression targets."""
    columns = (*schema.columns, *schema.features)
    found = {one.name: one.notation for one in columns if one.notation is not None}
    series = {} if schema.windows is None else found
    label, notation = schema.label_column, schema.label_notation
    target = {} if label is None or notation is None else {label: notation}
    return {**found, **{name.rpartition("@")[0]: one for name, one in series.items()}, **target}


def other_notations(frame: Any, dialect: Dialect | None, schema: Schema) -> Notations:
    """The notations, in a file with decimal commas, of the plain numbers of a schema.

    Its whole numbers may have fractions there: those of answers.

    Args:
        frame: the cells of the file, or of some of its rows.
        dialect: of the file; None: as usual.
        schema: of the model.
    """
    if dialect is None or dialect.decimal != COMMA:
        return {}
    columns = (*schema.columns, *schema.features)
    plain = {one.name for one in columns if one.dtype != "str" and not one.rules.has_format}
    if schema.windows is not None:
        plain |= {name.rpartition("@")[0] for name in plain}
    if schema.target is not None and schema.label_column is not None:
        plain.add(schema.label_column)
    plain -= notations_of(schema).keys()
    return found_notations(frame, dialect, {str(name) for name in frame.columns} - plain, plain)


def with_points(text: Any, notations: Notations, schema: Schema) -> Any:
    """Unparsed cells, of which numbers in these notations are written as plain ones; unchanged if
    the schema's table has decimal commas too."""
    if schema.dialect is not None and schema.dialect.decimal == COMMA:
        return text
    made = {}
    for name in notations.keys() & set(text.columns):
        values = notations[name].numbers(text[name])
        plain = Notation(decimals=notations[name].decimals).texts(values, rounded=False)
        made[name] = text[name].where(np.isnan(values), plain)
    return text.assign(**made) if made else text


def _written(series: Any) -> bool:
    """Whether a column is text, objects or durations."""
    return series.dtype.kind == "m" or is_text(series)


def _is_plain(series: Any, notation: Notation) -> bool:
    """Whether a column is read as plain numbers to the same values."""
    plain, other = parsed_numbers(series)
    numbers = notation.numbers(series)
    # pandas 2 reads some long fractions with another last bit
    return not other.any() and np.allclose(plain, numbers, rtol=LAST_BITS, atol=0, equal_nan=True)


def _warn(series: Any, chosen: Notation, found: Collection[Notation]) -> None:
    """Say which of two readings was taken, by the first cell in which they differ."""
    import pandas as pd

    other = next(one for one in found if one.decimal != chosen.decimal)
    cells = pd.Series(
        [cell for cell in distinct_values(series, words=False) if isinstance(cell, str)]
    )
    ours, theirs = chosen.numbers(cells), other.numbers(cells)
    rows = np.flatnonzero(ours != theirs)
    if len(rows):
        warnings.warn(
            f"column {str(series.name)!r}: {cells[rows[0]]} is read as {ours[rows[0]]:.10g}, not "
            f"{theirs[rows[0]]:.10g} (--decimal {other.decimal} if this is wrong)",
            UserWarning,
            stacklevel=4,
        )
