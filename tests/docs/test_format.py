"""The specification of compressed files says what the code writes."""

from __future__ import annotations

import re

from lowerbound.applications.compression import header, varint
from tests.applications.compression.test_container import GOLDEN
from tests.docs.pages import DOCS, section

PAGE = DOCS / "format.md"


def cells(title: str) -> list[tuple[str, str]]:
    """The first two cells of each row of a section's table, backticks left off."""
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]*?) \|", section(PAGE, title).text, re.MULTILINE)
    return [(one.strip("`"), other.strip("`")) for one, other in rows[1:]]


def test_the_worked_example_is_the_file_of_the_tests() -> None:
    assert bytes.fromhex("".join(found for found, _ in cells("A worked example"))) == GOLDEN


def test_the_varints_are_right() -> None:
    examples = cells("Varint")
    assert len(examples) == 5
    for value, spelled in examples:
        assert varint.encode(int(value)) == bytes.fromhex(spelled)


def test_the_kinds_are_those_of_the_code() -> None:
    listed = {name: int(number) for number, name in cells("Kinds")}
    assert listed == {**header.KINDS, **header.RESERVED}


def test_every_kind_that_can_be_written_has_a_section() -> None:
    for kind in header.KINDS:
        assert section(PAGE, kind).level == 3


def test_the_limits_are_those_of_the_code() -> None:
    text = section(PAGE, "What a reader must check").text.replace("\n   ", " ")
    most = f"{header.MOST_DIMENSIONS} dimensions, {header.MOST_SETTINGS:,} bytes of settings"
    assert f"at most {most} and {header.MOST_CHUNKS:,} chunks" in text
    assert header.MOST_SYMBOLS == 2**31
    assert "(2^31 unless" in text
