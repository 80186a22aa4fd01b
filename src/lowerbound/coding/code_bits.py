"""Codes as bytes and back if all 2 ** b codes are equally likely: b bits per code.

A range coder would sometimes take one byte more, because it rounds its interval down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError


def encode(columns: Sequence[Array], bits: int) -> bytes:
    """The bits of codes, column by column, the highest bit first, with zeros at the end."""
    codes = np.concatenate(list(columns)).astype(np.int64)
    return np.packbits((codes[:, None] >> np.arange(bits)[::-1]) & 1).tobytes()


def decode(payload: bytes, rows: int, places: int, bits: int) -> list[Array]:
    """The columns that were encoded, each (rows,).

    Raises:
        BitstreamError: the length is wrong, or bits other than zeros follow the codes.
    """
    count = rows * places * bits
    found = np.unpackbits(np.frombuffer(payload, np.uint8))
    if len(found) != -(-count // 8) * 8 or found[count:].any():
        raise BitstreamError("the stream has not the length of its codes")
    weights = 1 << np.arange(bits, dtype=np.int64)[::-1]
    codes = found[:count].reshape(-1, bits).astype(np.int64) @ weights
    return list(codes.reshape(places, rows))
