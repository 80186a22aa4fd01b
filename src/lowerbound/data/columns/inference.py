"""What kind of column a column is: found from its values, or said by the person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lowerbound.config import from_mapping
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.data.columns.sample import Sample, numpy_name
from lowerbound.errors import DataError, OptionError, unknown

Hint = str | Mapping[str, Any]

SAID = ("kind", "levels", "low", "high", "atom", "format")  # what a person may say of a column


def understood(
    series: Any, hint: Hint | None = None, standardize: bool = True, bend: bool = True
) -> Column:
    """The column of a frame, its kind and its way into model units.

    Args:
        series: with its name.
        hint: the person's word: a kind ("datetime:%d/%m/%Y" says the format too), or a mapping of
            a ``Column``'s fields (kind, levels, low, high, atom, format) as ``lowerbound schema``
            writes them.
        standardize: False keeps continuous columns in their own units.
        bend: False leaves them without a spline to normal scores.

    Raises:
        DataError: some rows do not fit the kind; they are named.
        OptionError: an unknown kind or field, or what is no format of dates.
    """
    found = recognized(series) if hint is None else _told(series, hint)
    return found.rules.fitted(series, standardize, bend)


def recognized(series: Any) -> Column:
    """The column of the first kind, by rank, that its values look like.

    Raises:
        DataError: they look like numbers, and some are none.
    """
    sample = Sample.of(series)
    for kind in sorted((COLUMN_KINDS[name] for name in COLUMN_KINDS), key=lambda kind: kind.rank):
        if (found := kind.recognize(sample)) is not None:
            return found
    raise DataError(f"column {series.name!r} is of no kind; say which")


def _told(series: Any, hint: Hint) -> Column:
    fields = _fields(hint) if isinstance(hint, str) else dict(hint)
    kind = fields.get("kind")
    if kind not in COLUMN_KINDS:
        raise unknown(f"kind of column {series.name!r}:", kind, COLUMN_KINDS)
    known = {key: fields[key] for key in SAID if key in fields}
    bare = {"name": str(series.name), "dtype": numpy_name(series.dtype)}
    told = from_mapping(Column, {**known, **bare}).rules.completed(series)
    if told.format is not None and not told.rules.has_format:
        raise OptionError(f"column {told.name!r}: only datetime has a format, not {told.kind}")
    return told


def _fields(hint: str) -> dict[str, Any]:
    """A kind, and after a colon how it writes dates."""
    kind, colon, format = hint.partition(":")
    return {"kind": kind, "format": format} if colon else {"kind": kind}


def check_hints(hints: Mapping[str, Hint], columns: Iterable[Any]) -> None:
    """Refuse kinds of columns that are not there.

    Raises:
        OptionError: the nearest name is suggested.
    """
    names = [str(column) for column in columns]
    for hinted in hints:
        if hinted not in names:
            raise unknown("column", hinted, names)
