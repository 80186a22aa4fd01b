"""Codes as bytes and back, each under the table of its place.

The coder is ``constriction``'s range coder, which narrows an interval of long binary fractions by
each code's share. Any number inside the interval identifies the codes. Its most significant byte
comes first, and unnecessary bytes at its end are left off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowerbound.applications.compression.stack import CodingTable, constriction
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError

WORD_BYTES = 4
SPARE = 2 * WORD_BYTES  # zeros that the coder may read beyond the end


def encode(columns: Sequence[Array], tables: Sequence[CodingTable]) -> bytes:
    """The bytes of codes, one column of rows after another.

    Args:
        columns: codes of all rows at one place each, (rows,).
        tables: table of each column.
    """
    coder = constriction().stream.queue.RangeEncoder()
    for column, table in zip(columns, tables, strict=True):
        coder.encode(np.ascontiguousarray(column, np.int32), table.model)
    whole: bytes = coder.get_compressed().astype(">u4").tobytes()
    return _shortened(whole, columns, tables)


def decode(payload: bytes, rows: int, tables: Sequence[CodingTable]) -> list[Array]:
    """The columns that were encoded, each (rows,).

    Raises:
        BitstreamError: these bytes are not valid codes.
    """
    words = np.frombuffer(payload + bytes(-len(payload) % WORD_BYTES + SPARE), ">u4")
    coder = constriction().stream.queue.RangeDecoder(words.astype(np.uint32))
    try:
        return [coder.decode(table.model, rows) for table in tables]
    except AssertionError as error:  # constriction's error for invalid data
        raise BitstreamError("the stream holds no valid codes of this model") from error


def _shortened(whole: bytes, columns: Sequence[Array], tables: Sequence[CodingTable]) -> bytes:
    """The shortest prefix that decodes to the same, because the coder writes spare bytes."""
    for length in range(len(whole) - 1, max(-1, len(whole) - SPARE - 1), -1):
        if not _names(whole[:length], columns, tables):
            return whole[: length + 1]
    return whole[:-SPARE]


def _names(payload: bytes, columns: Sequence[Array], tables: Sequence[CodingTable]) -> bool:
    try:
        found = decode(payload, len(columns[0]), tables)
    except BitstreamError:
        return False
    return all(map(np.array_equal, found, columns))
