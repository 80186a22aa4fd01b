"""Arrow tables, and frames of other libraries, as pandas frames."""

from __future__ import annotations

from typing import Any

from lowerbound.data.arrays import listed
from lowerbound.errors import DataError


def frame_of(table: Any, source: str) -> Any:
    """Convert an Arrow table or record batch to a pandas frame.

    Args:
        table: of pyarrow.
        source: its name in messages.

    Raises:
        DataError: a column contains neither numbers nor text nor dates, but lists, for example.
    """
    odd = [f"{field.name!r} ({field.type})" for field in table.schema if _beyond_us(field.type)]
    if odd:
        raise DataError(
            f"{source} has columns of unsupported types: {listed(odd)}; leave them out, or convert "
            "them to numbers or text"
        )
    return table.to_pandas()


def is_other_frame(source: Any) -> bool:
    """Whether an object is a frame of another library, such as polars or pyarrow."""
    named = hasattr(source, "columns") or hasattr(source, "column_names")
    return named and hasattr(source, "to_pandas") and not hasattr(source, "set_axis")


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
