"""Codes as their own bits: known bytes, exact lengths."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.applications.compression import code_coders
from lowerbound.errors import BitstreamError


def test_known_bytes() -> None:
    assert code_coders.encode([np.array([5]), np.array([1]), np.array([7])], 3) == b"\xa7\x80"


@pytest.mark.parametrize("bits", [1, 9, 20])
@pytest.mark.parametrize("rows", [1, 7])
def test_codes_come_back(bits: int, rows: int) -> None:
    columns = list(np.random.default_rng(0).integers(0, 1 << bits, (64, rows)))
    payload = code_coders.encode(columns, bits)
    assert len(payload) == -(-64 * rows * bits // 8)
    np.testing.assert_array_equal(code_coders.decode(payload, rows, 64, bits), columns)


@pytest.mark.parametrize("payload", [b"", b"\xa7", b"\xa7\x80\x00", b"\xa7\x81"])
def test_other_lengths_are_refused(payload: bytes) -> None:
    with pytest.raises(BitstreamError, match="length"):
        code_coders.decode(payload, 1, 3, 3)
