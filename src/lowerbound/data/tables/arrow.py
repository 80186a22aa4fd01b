"""Arrow tables, from Parquet or a database, as frames."""

from __future__ import annotations

from typing import Any

from lowerbound.data.arrays import listed
from lowerbound.errors import DataError


def frame_of(table: Any, source: str) -> Any:
    """A pandas frame of an Arrow table or record batch.

    Args:
        table: of pyarrow.
        source: how a message calls it.

    Raises:
        DataError: a column holds what is neither a number, nor text, nor a date: lists, say.
    """
    odd = [f"{field.name!r} ({field.type})" for field in table.schema if _beyond_us(field.type)]
    if odd:
        raise DataError(
            f"{source} has columns of types that no kind of column is for: {listed(odd)}; leave "
            "them out, or turn them into numbers or text"
        )
    return table.to_pandas()


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
