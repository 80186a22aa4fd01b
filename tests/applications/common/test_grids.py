"""Headings of sheets of pictures."""

from __future__ import annotations

from lowerbound.applications.common import drawings


def test_long_headings_keep_their_ends_and_a_gap() -> None:
    names = [f"a_rather_long_picture_name_{number}.png" for number in (1, 2)]
    first, second = (drawings._fitting(name, 112) for name in names)
    assert first != second
    assert first.startswith("a_rath")
    assert first.endswith("1.png")
    assert drawings._font().getlength(first) <= 112 - 2 * drawings.MARGIN
    assert drawings._fitting("short.png", 112) == "short.png"
    assert len(drawings._fitting(names[0], 1)) == 2
