"""Sheets and animations: what is shown where, and how often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowerbound.applications.common import drawings
from lowerbound.applications.common.drawings import (
    MARGIN,
    Strip,
    animated,
    flat_image,
    grid,
    heading,
    sheet_of,
    write_animation,
)
from lowerbound.applications.common.rows import row_files
from lowerbound.data import load
from lowerbound.errors import OptionError


def strip(lines: int = 2, columns: int = 4, channels: int = 1) -> Strip:
    """Plain pictures, 4x6, each of a brightness of its own."""
    values = torch.linspace(0, 1, lines * columns).reshape(lines, columns, 1, 1, 1)
    x = values.expand(lines, columns, channels, 4, 6)
    names = tuple(f"line {i}" for i in range(lines))
    return Strip(x, names, tuple(i / 2 for i in range(columns)), "path", "t", x[:, 0], x[:, -1])


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_column_is_a_frame(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    write_animation(path, animated(strip(1, 9, channels)), 10)
    with Image.open(path) as found:
        assert found.n_frames == 9
        brightness = []
        for frame in range(9):
            found.seek(frame)
            brightness.append(np.asarray(found.convert("L")).mean())
    np.testing.assert_allclose(brightness, np.linspace(0, 255, 9), atol=2)


def test_lines_stand_side_by_side_in_a_frame() -> None:
    (first, *_) = frames = animated(strip(3, 4))
    assert len(frames) == 4
    assert first.size[0] > first.size[1]  # two by two, the last place empty
    assert np.asarray(first)[-10, -10] == 255


def test_a_sheet_shows_lines_columns_and_both_ends() -> None:
    found = np.asarray(sheet_of(strip(2, 4)))
    pictures = [np.unique(found[row]) for row in (40, 40 + 40 + 3)]
    for line, values in enumerate(pictures):  # the greys of the line, and the paper
        expected = np.rint(torch.linspace(0, 1, 8).reshape(2, 4)[line].numpy() * 255)
        assert set(expected.astype(int)) <= set(values.tolist())


def test_of_many_columns_a_sheet_shows_some_with_both_ends() -> None:
    narrow, wide = sheet_of(strip(1, 17)), sheet_of(strip(1, 200))
    assert narrow.size == wide.size
    assert np.asarray(wide).min() == 0


def test_words_too_long_are_cut_and_the_column_grows_with_them() -> None:
    picture = np.zeros((8, 8, 1), np.uint8)
    short, long = grid([[picture]], ["a"]), grid([[picture]], ["a" * 60])
    assert short.width < long.width <= 2 * 56 + 10
    both = grid([[picture] * 3], ["a", "a" * 60, "b"])  # the others stay as wide as their pictures
    assert both.width - long.width == 2 * (short.width - MARGIN)


def test_headings_have_letters_of_other_languages() -> None:
    picture = np.zeros((8, 8, 1), np.uint8)
    letters = ["\u0378", *"üłжα"]  # the first one is no letter, so it is drawn as a box
    sheets = {np.asarray(grid([[picture]], [letter])).tobytes() for letter in letters}
    assert len(sheets) == len(letters)


def test_opacity_is_laid_on_white() -> None:
    clear = np.zeros((2, 2, 4), np.uint8)
    assert np.asarray(flat_image(clear)).tolist() == [[[255, 255, 255]] * 2] * 2
    half = np.stack([np.zeros((2, 2)), np.full((2, 2), 128)], -1).astype(np.uint8)
    assert flat_image(half).getpixel((0, 0)) == (127, 127, 127)


def test_headings_are_short() -> None:
    assert [heading(v) for v in (0.0, 0.125, 1.125, 10.0, 1 / 3, -1e-9, -2.0, "input")] == [
        "0",
        "0.125",
        "1.125",
        "10",
        "0.333",
        "0",
        "-2",
        "input",
    ]


def test_no_frames_per_second_make_no_animation(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--fps must be positive"):
        write_animation(tmp_path / "a.gif", animated(strip()), 0)


def test_lines_with_names_that_become_equal_have_files_of_their_own(tmp_path: Path) -> None:
    lines = ("a/b_c.png", "a_b/c.png", "a b/c.png")
    shown = replace(strip(3, 2), lines=lines)
    schema = load(
        np.zeros((4, 4, 6), np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None]
    ).schema
    files = row_files(schema).write_strip(tmp_path / "out", shown)
    assert len(set(files)) == len(files) == 1 + 6
    greys = [int(np.asarray(Image.open(file)).max()) for file in files[1:]]
    assert greys == np.rint(np.linspace(0, 255, 6)).astype(int).tolist()


def test_edited_pictures_have_the_names_of_their_rows(tmp_path: Path) -> None:
    ids, endings = ("circle/ci000.png", "square/sq1.jpg"), ("-reconstruction", "")
    schema = load(np.arange(96, dtype=np.uint8).reshape(4, 4, 6)).schema
    for place, shown, names in (
        ("named", replace(strip(2, 2), ids=ids, endings=endings), ("circle/ci000", "square/sq1")),
        ("bare", replace(strip(2, 2), endings=endings), ("00000", "00001")),
    ):
        files = row_files(schema).write_strip(tmp_path / place, shown)
        expected = [f"{name}{end}.png" for end in endings for name in names]
        assert [str(Path(f).relative_to(tmp_path / place)) for f in files[1:]] == expected
        greys = [int(np.asarray(Image.open(file)).max()) for file in files[1:]]
        assert greys == [0, 170, 85, 255]


def test_long_headings_keep_their_ends_and_a_gap() -> None:
    names = [f"a_rather_long_picture_name_{number}.png" for number in (1, 2)]
    first, second = (drawings._fitting(name, 112) for name in names)
    assert first != second
    assert first.startswith("a_rath")
    assert first.endswith("1.png")
    assert drawings._font().getlength(first) <= 112 - 2 * drawings.MARGIN
    assert drawings._fitting("short.png", 112) == "short.png"
    assert len(drawings._fitting(names[0], 1)) == 2
