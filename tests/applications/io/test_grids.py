"""Headings of sheets of pictures."""

from __future__ import annotations

from lowerbound.applications.io.drawings import grids


def test_long_headings_keep_their_ends_and_a_gap() -> None:
    names = [f"a_rather_long_picture_name_{number}.png" for number in (1, 2)]
    first, second = (grids._fitting(name, 112) for name in names)
    assert first != second
    assert first.startswith("a_rath")
    assert first.endswith("1.png")
    assert grids._font().getlength(first) <= 112 - 2 * grids.MARGIN
    assert grids._fitting("short.png", 112) == "short.png"
    assert len(grids._fitting(names[0], 1)) == 2
