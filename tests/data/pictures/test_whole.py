"""Names of files that are made of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowerbound.data.pictures.whole import names_beside


@pytest.mark.parametrize(
    ("pictures", "names"),
    [
        (("a.png", "b.jpg", "in/a.png"), ("a", "b", "in/a")),
        (("a.png", "a.jpg", "b.jpg"), ("a.png", "a.jpg", "b")),
        (("a.png", "a.jpg", "a.png.jpg"), ("a.png", "a.jpg", "a.png.jpg")),
        (
            ("a.png", "a.jpg", "a.png.jpg", "a.png.jpg.gif"),
            ("a.png", "a.jpg", "a.png.jpg", "a.png.jpg.gif"),
        ),
        (("a.png.jpg", "b.png"), ("a.png", "b")),
    ],
)
def test_no_two_pictures_have_one_name(pictures: tuple[str, ...], names: tuple[str, ...]) -> None:
    folder = Path("folder")
    found = names_beside(folder, [folder / name for name in pictures], ".lbz")
    assert found == [f"{name}.lbz" for name in names]
