"""Whole numbers as LEB128: known spellings, every one comes back, and no other spelling is read."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from lowerbound.applications.compression import varint

KNOWN = {
    0: "00",
    1: "01",
    127: "7f",
    128: "80 01",
    300: "ac 02",
    624_485: "e5 8e 26",  # the example of the DWARF standard
    2**32 - 1: "ff ff ff ff 0f",
}


@pytest.mark.parametrize(("value", "spelled"), KNOWN.items())
def test_known_spellings(value: int, spelled: str) -> None:
    assert varint.encode(value) == bytes.fromhex(spelled)
    assert varint.decode(bytes.fromhex(spelled)) == value


@pytest.mark.slow
@given(st.integers(0, varint.MOST))
def test_every_number_comes_back(value: int) -> None:
    spelled = varint.encode(value)
    assert len(spelled) <= varint.LONGEST
    assert varint.decode(spelled) == value


@pytest.mark.parametrize("value", [-1, 2**32, 2**64])
def test_other_numbers_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="between"):
        varint.encode(value)


@pytest.mark.parametrize(
    "spelled",
    ["80 00", "ff 00", "80 80 80 80 00", "80 80 80 80 10", "ff" * 9 + "01", "80", "01 01", ""],
)
def test_other_spellings_are_refused(spelled: str) -> None:
    with pytest.raises(ValueError, match=r"above|shortest"):
        varint.decode(bytes.fromhex(spelled))
