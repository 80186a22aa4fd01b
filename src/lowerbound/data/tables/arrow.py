"""Arrow tables, and frames of other libraries, as pandas frames.

A frame of pandas does not tell some types of Arrow, of text and of decimals. One that is read from
a Parquet file has their names, by column, in its ``attrs``; a schema has them in its columns. A
Parquet file is written with them.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lowerbound.data.arrays import listed
from lowerbound.data.columns.values import with_room_for_gaps
from lowerbound.errors import DataError

if TYPE_CHECKING:  # a name for annotations: a schema knows its kind of data
    from lowerbound.data.schema import Schema

ArrowTypes = Mapping[str, str]
KEY = "types of Arrow"  # in the attributes of a frame
TEXTS = ("string", "large_string")
_DECIMAL = re.compile(r"decimal(?P<bits>128|256)\((?P<digits>\d{1,2}), (?P<decimals>\d{1,2})\)")


def frame_of(table: Any, source: str) -> Any:
    """Convert an Arrow table or record batch to a pandas frame.

    Args:
        table: of pyarrow.
        source: its name in messages.

    Raises:
        DataError: a column contains neither numbers nor text nor dates, but lists, for example.
    """
    check_types(table.schema, source)
    return _exact_frame(table, table)


def check_types(schema: Any, source: str) -> None:
    """Check that the columns of an Arrow schema contain numbers, text or dates.

    Raises:
        DataError: one contains something else, such as lists.
    """
    odd = [f"{field.name!r} ({field.type})" for field in schema if _beyond_us(field.type)]
    if odd:
        raise DataError(
            f"{source} has columns of unsupported types: {listed(odd)}; leave them out, or convert "
            "them to numbers or text"
        )


def is_other_frame(source: Any) -> bool:
    """Whether an object is a frame of another library: polars, pyarrow, Dask or Spark."""
    return _conversion(source) is not None


def other_frame(source: Any) -> Any:
    """All rows of such a frame as a pandas frame; one that is computed later is computed now."""
    convert = _conversion(source)
    assert convert is not None
    return convert()


def plain_frame(frame: Any) -> Any:
    """A pandas frame whose cells can be read and filled one by one: sparse columns are dense, and
    Arrow's dictionaries, decimals, durations and times of day are in types of pandas."""
    packed = [place for place, dtype in enumerate(frame.dtypes) if _is_packed(dtype)]
    if not packed:
        return frame
    made = frame.copy(deep=False)
    for place in packed:
        made.isetitem(place, _unpacked(frame.iloc[:, place]))
    return made


def _is_packed(dtype: Any) -> bool:
    import pandas as pd

    if not isinstance(dtype, pd.ArrowDtype):
        return isinstance(dtype, pd.SparseDtype)
    import pyarrow as pa

    tests = (pa.types.is_dictionary, pa.types.is_decimal, pa.types.is_duration, pa.types.is_time)
    return any(test(dtype.pyarrow_dtype) for test in tests)


def _unpacked(series: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    if isinstance(series.dtype, pd.SparseDtype):
        return series.sparse.to_dense()
    cells = pa.array(series).to_pandas().set_axis(series.index)
    return cells.astype("float64") if pa.types.is_decimal(series.dtype.pyarrow_dtype) else cells


def _conversion(source: Any) -> Callable[[], Any] | None:
    """What makes a pandas frame of a frame of another library; None: it is none."""
    if hasattr(source, "set_axis"):  # of pandas
        return None
    # polars' LazyFrame, which warns if asked for its columns
    if hasattr(source, "collect") and hasattr(source, "collect_schema"):
        return lambda: _of_polars(source.collect())
    named = any(hasattr(source, name) for name in ("columns", "column_names", "schema"))
    if named and hasattr(source, "to_pandas"):
        return lambda: _of_any(source)
    if hasattr(source, "read_pandas"):  # pyarrow's reader of batches
        return lambda: _of_any(source.read_all())
    if hasattr(source, "npartitions") and hasattr(source, "columns"):  # of Dask
        return typing.cast(Callable[[], Any], source.compute)
    return getattr(source, "toPandas", None)  # of Spark


def _of_any(source: Any) -> Any:
    """A frame of polars or pyarrow, a batch of rows of it, or what else converts itself."""
    import pyarrow as pa

    if isinstance(source, pa.Table | pa.RecordBatch):
        return _exact_frame(source, source)
    is_polars = hasattr(source, "to_arrow") and hasattr(source, "schema")
    return _of_polars(source) if is_polars else source.to_pandas()


def _of_polars(source: Any) -> Any:
    exact = [
        name
        for name, kind in source.schema.items()
        if kind.is_integer() or kind.is_decimal() or kind.is_temporal()
    ]
    return _exact_frame(source, source.select(exact).to_arrow())


def _exact_frame(source: Any, table: Any) -> Any:
    """What ``source`` makes of itself for pandas, with the whole numbers, the decimals and the
    dates without a time of an Arrow table.

    pandas has whole numbers with gaps as floats, which have too few digits above 2**53, and
    decimals as objects of Python. Polars makes dates with a time of those without, which are
    objects of Python here, as pyarrow has them.
    """
    import pyarrow as pa

    frame = source.to_pandas()
    places = {str(name): place for place, name in enumerate(frame.columns)}
    for field, given in zip(table.schema, table.columns, strict=True):
        cells = _numbers_of(given) if pa.types.is_decimal(field.type) else given
        if field.name not in places:
            continue
        if pa.types.is_integer(cells.type) and cells.null_count:
            numbers = with_room_for_gaps(cells.fill_null(0).to_pandas())
            gone = cells.is_null().to_numpy(zero_copy_only=False)
            frame.isetitem(places[field.name], numbers.mask(gone).array)
        elif cells is not given or pa.types.is_date(cells.type):
            frame.isetitem(places[field.name], cells.to_pandas().array)
    return frame


def _numbers_of(decimals: Any) -> Any:
    """Arrow's decimals as whole numbers or floats; unchanged if these have too few digits."""
    import pyarrow as pa

    with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if decimals.type.scale <= 0:
            return decimals.cast(pa.int64())  # an error if one is larger
        numbers = decimals_as_floats(decimals)
        if numbers.cast(decimals.type).equals(decimals):
            return numbers
    return decimals


def _beyond_us(kind: Any) -> bool:
    import pyarrow as pa

    tests = (
        pa.types.is_nested,
        pa.types.is_interval,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


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
