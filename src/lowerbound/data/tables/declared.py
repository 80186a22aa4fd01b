"""A schema from declarations alone: kinds, ranges and categories that do not come from rows.

::

    {"columns": {
        "age":    {"kind": "count", "low": 17, "high": 90},
        "income": {"kind": "real", "low": 0, "high": 250000, "whole": true},
        "sex":    {"kind": "categorical", "levels": ["Female", "Male"]},
        "paid":   {"kind": "mixed", "atom": 0, "low": 0, "high": 5000}}}

The schema is learned, as any other, from rows made for this purpose: the categories in turn, and
numbers evenly spaced in their range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import BoundedKind
from lowerbound.data.columns.dates import DAY, ISO, as_dates, as_text, seconds
from lowerbound.data.columns.inference import HINT_FIELDS
from lowerbound.data.columns.kind import ColumnKind
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.values import is_range, level_name as level_name
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.tables.frames import from_frame
from lowerbound.errors import DataError

ROWS = 2_000
OWN_FIELDS = ("whole", "missing", "log")  # of a declaration, besides the fields of a hint
MOST_LEVELS = ROWS  # so that each is in the rows
LONGEST_LEVEL = 1_000  # characters
MISSING_SHARE = 20  # every so many rows lack a value that may be missing


def declared_schema(columns: Mapping[str, Mapping[str, Any]], label: str | None = None) -> Schema:
    """The schema of a table with these columns.

    Args:
        columns: for each column, its kind, and its ``levels``, or ``low`` and ``high``; ``atom`` of
            a mixed column; ``whole`` for numbers without fractions; ``missing`` if cells may lack.
        label: the column that holds the class.

    Raises:
        DataError: a declaration lacks a field, or has an unknown one.
        OptionError: a kind is unknown.
    """
    import pandas as pd

    frame = pd.DataFrame({name: _values(name, dict(said)) for name, said in columns.items()})
    hints = {
        name: {
            field: said[field]
            for field in HINT_FIELDS
            if field in said and _is_hint(name, said, field)
        }
        for name, said in columns.items()
        if name != label
    }
    raw = from_frame(frame, label, None, "declared", False)
    schema = Reading(label=label, kinds=hints, normal_scores=False).encoded(raw).schema
    return replace(
        schema, columns=tuple(_in_range(column, columns[column.name]) for column in schema.columns)
    )


def _in_range(column: Column, said: Mapping[str, Any]) -> Column:
    """The column with the declared range, and the grid that ``whole`` tells; the rows that were
    made here tell neither."""
    column = replace(column, missing_share=0.0)
    if column.levels:
        return column
    low, high = _range(said)
    values = [low, high] if said.get("atom") is None else [low, high, float(said["atom"])]
    lattice = Lattice(1.0) if said.get("whole") else None
    return replace(column, lattice=lattice, observed=(min(values), max(values)))


def _range(said: Mapping[str, Any]) -> tuple[float, float]:
    """The declared range; dates in seconds."""
    if isinstance(said["low"], str):
        low, high = seconds([said["low"], said["high"]], ISO).tolist()
        return low, high
    return float(said["low"]), float(said["high"])


def check_declaration(name: str, said: Mapping[str, Any]) -> None:
    """Check what would otherwise be taken for something else without an error.

    Raises:
        DataError: a level is declared twice, or a yes or no is neither true nor false.
    """
    for field in OWN_FIELDS:
        if not isinstance(said.get(field, False), bool):
            raise DataError(
                f'the declaration of column {name!r} has "{field}": {said[field]!r}; write true or '
                "false, without quotes"
            )
    levels = said.get("levels")
    counts = Counter(map(level_name, levels)) if isinstance(levels, list | tuple) else Counter()
    if twice := [level for level, count in counts.items() if count > 1]:
        raise DataError(
            f"the declaration of column {name!r} has the levels {listed(twice)} more than once"
        )


def _is_hint(name: str, said: Mapping[str, Any], field: str) -> bool:
    """Whether the field belongs to the column's kind: a range does to a bounded one only."""
    return field not in ("low", "high") or isinstance(_rules(name, said), BoundedKind)


def _values(name: str, said: Mapping[str, Any]) -> Any:
    """Rows of one column, an array or a list."""
    unknown = [field for field in said if field not in (*HINT_FIELDS, *OWN_FIELDS)]
    if unknown:
        raise DataError(f"the declaration of column {name!r} has an unknown field: {unknown[0]!r}")
    check_declaration(name, said)
    try:
        found = _levels(name, said["levels"]) if "levels" in said else _numbers(name, said)
    except (TypeError, KeyError, ZeroDivisionError) as error:
        raise DataError(
            f"the declaration of column {name!r} has a value of a wrong type, or no levels"
        ) from error
    if said.get("missing"):
        values = np.array(found, dtype=object)
        values[::MISSING_SHARE] = None
        return list(values)
    return found


def _levels(name: str, levels: Any) -> list[Any]:
    if len(levels) > MOST_LEVELS or any(len(str(level)) > LONGEST_LEVEL for level in levels):
        raise DataError(
            f"the declaration of column {name!r} has more than {MOST_LEVELS:,} levels, "
            f"or one of more than {LONGEST_LEVEL:,} characters"
        )
    return [levels[row % len(levels)] for row in range(ROWS)]


def _numbers(name: str, said: Mapping[str, Any]) -> Array | Any:
    """Numbers evenly spaced in the range; dates for a range of dates."""
    try:
        low, high = said["low"], said["high"]
    except KeyError as error:
        raise DataError(
            f"the declaration of column {name!r} needs levels, or low and high: {error} is missing"
        ) from error
    if isinstance(low, str):
        return _dates(name, said)
    if not is_range(low, high):
        raise DataError(f"declare column {name!r} with levels, or with numbers low < high")
    # the ends of the range lie outside the support of a bounded column
    values = np.linspace(float(low), float(high), ROWS + 2)[1:-1]
    if not isinstance(_rules(name, said), BoundedKind):
        values[0], values[-1] = float(low), float(high)
    whole = said.get("whole", _rules(name, said).always_whole)
    values = np.rint(values) if whole else values
    if said.get("atom") is not None:
        values[::2] = float(said["atom"])
    return values.astype(np.int64) if whole else values


def _dates(name: str, said: Mapping[str, Any]) -> Any:
    """Days evenly spaced in the range, as text or as pandas' type."""
    low, high = _range(said)
    if not low < high:
        raise DataError(f"declare column {name!r} with two dates low < high, such as 2001-12-31")
    values = np.linspace(low, high, ROWS)
    if not said.get("format"):
        return as_dates(values, DAY)
    return as_text(values, said["format"], DAY)


def _rules(name: str, said: Mapping[str, Any]) -> ColumnKind:
    return Column(name, said.get("kind", "real")).rules
