"""The types of Arrow that a frame of pandas does not tell: of text, and of decimals.

A frame that is read from a Parquet file has their names, by column, in its ``attrs``; a schema has
them in its columns. A Parquet file is written with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a name for annotations: a schema knows its kind of data
    from lowerbound.data.schema import Schema

ArrowTypes = Mapping[str, str]
KEY = "types of Arrow"  # in the attributes of a frame
TEXTS = ("string", "large_string")
_DECIMAL = re.compile(r"decimal(?P<bits>128|256)\((?P<digits>\d{1,2}), (?P<decimals>\d{1,2})\)")


def with_arrow_types(frame: Any, schema: Any) -> Any:
    """The frame of a Parquet file, with the types of its schema of Arrow that it does not tell."""
    named = {field.name: str(field.type) for field in schema}
    frame.attrs[KEY] = {name: kind for name, kind in named.items() if _is_kept(kind)}
    return frame


def arrow_types(frame: Any) -> ArrowTypes:
    """The types that the frame has from ``with_arrow_types``, by column."""
    found: ArrowTypes = getattr(frame, "attrs", {}).get(KEY, {})
    return found


def fitted_arrow_types(schema: Schema) -> ArrowTypes:
    """The types of the columns that a model was fitted to, by name."""
    return {column.name: column.arrow_type for column in schema.columns if column.arrow_type}


def in_arrow_types(table: Any, types: ArrowTypes) -> Any:
    """An Arrow table with columns in these types, where that loses no digit.

    Args:
        table: of pyarrow, as pandas' types make it.
        types: by column; names of other columns are ignored.
    """
    for place, name in enumerate(table.column_names):
        kind = types.get(name, "")
        if kind and str(table.schema.field(place).type) != kind:
            cells = _in_type(table.column(place), kind)
            table = table.set_column(place, table.schema.field(place).with_type(cells.type), cells)
    return table


def widened(table: Any, schema: Any) -> Any:
    """An Arrow table with the columns of a schema, whose types hold those of the table."""
    import pyarrow as pa

    for place, field in enumerate(schema):
        own = table.schema.field(place)
        if pa.types.is_decimal(own.type) and pa.types.is_floating(field.type):
            cells = decimals_as_floats(table.column(place))
            table = table.set_column(place, own.with_type(cells.type), cells)
    return table.cast(schema)


def decimals_as_floats(cells: Any) -> Any:
    """The floats nearest to the decimals of Arrow; directly, 0.35 is inexact."""
    import pyarrow as pa

    return cells.cast(pa.string()).cast(pa.float64())


def _is_kept(kind: str) -> bool:
    return kind in TEXTS or _DECIMAL.fullmatch(kind) is not None


def _in_type(cells: Any, kind: str) -> Any:
    """Cells of an Arrow table in a type; unchanged if they are no text, or have more digits."""
    import pyarrow as pa

    if kind in TEXTS:
        return cells.cast(getattr(pa, kind)()) if str(cells.type) in TEXTS else cells
    found = _DECIMAL.fullmatch(kind)
    number = pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)
    if found is None or not number:
        return cells
    with suppress(pa.ArrowInvalid):  # more digits than the type has
        wanted = getattr(pa, f"decimal{found['bits']}")(
            int(found["digits"]), int(found["decimals"])
        )
        if pa.types.is_integer(cells.type):
            return cells.cast(pa.string()).cast(wanted)
        made = cells.cast(wanted)
        if decimals_as_floats(made).equals(cells.cast(pa.float64())):
            return made
    return cells
