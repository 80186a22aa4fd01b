"""Rows are written in the data's own units, whole or not at all."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lowerbound.applications.common.drawings import MARGIN, SHEET_MARGIN
from lowerbound.applications.common.files import replacing
from lowerbound.applications.common.rows import Drawn, Reconstructed, row_files
from lowerbound.data import Dataset, load
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.errors import NotFiniteError, OptionError

FRAME = pd.DataFrame({"age": [3, 5, 9, 11], "same": [7.0] * 4, "height": [0.5, 0.25, 2.0, -1.0]})


@pytest.fixture
def table() -> Dataset:
    with pytest.warns(UserWarning, match="no variation in column 'same'"):
        return load(FRAME, kinds="real")


@pytest.fixture
def pictures() -> Dataset:
    return load(np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5) * 4)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_comes_back_in_its_own_types(tmp_path: Path, table: Dataset, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    files = row_files(table.schema).write(path, table.all().filled, rounded=True)
    assert files == (str(path),)
    read = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    pd.testing.assert_frame_equal(read, FRAME)


def test_means_keep_their_fractions(tmp_path: Path, table: Dataset) -> None:
    halfway = table.all().filled[:2].mean(0, keepdim=True)
    row_files(table.schema).write(tmp_path / "t.csv", halfway, rounded=False)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "t.csv")["age"], [4.0])


def test_extra_columns_go_along(tmp_path: Path, table: Dataset) -> None:
    x = table.all().filled
    row_files(table.schema).write(tmp_path / "t.csv", x, rounded=True, extra={"kind": list("abca")})
    assert list(pd.read_csv(tmp_path / "t.csv")["kind"]) == list("abca")


def test_pictures_come_back_from_npz_and_folder(tmp_path: Path, pictures: Dataset) -> None:
    x = pictures.all().filled
    row_files(pictures.schema).write(tmp_path / "p.npz", x, rounded=True)
    original = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) * 4
    with np.load(tmp_path / "p.npz") as file:
        np.testing.assert_array_equal(file["x"], original)
    files = row_files(pictures.schema).write(tmp_path / "folder", x, rounded=True)
    assert [Path(file).name for file in files] == [
        "sheet.png",
        "00000.png",
        "00001.png",
        "00002.png",
    ]
    np.testing.assert_array_equal(np.asarray(Image.open(files[2])), original[1])


@pytest.mark.parametrize(
    ("ids", "draws", "names"),
    [
        (("cat/a.png", "dog/b.jpg"), 1, ["cat/a.png", "dog/b.png"]),
        (("a.png", "a.jpg"), 1, ["a.png.png", "a.jpg.png"]),
        (("a.png:0,0", "a.png:0,32"), 1, ["a-0-0.png", "a-0-32.png"]),
        (("a.png", "b.png"), 2, ["a.png", "b.png", "a-1.png", "b-1.png"]),
        (("a.png", "a-1.png"), 2, ["00000.png", "00001.png", "00000-1.png", "00001-1.png"]),
        (("../a.png", "b.png"), 1, ["00000.png", "00001.png"]),
        (("/a.png", "b.png"), 1, ["00000.png", "00001.png"]),
        (("sheet.png", "b.png"), 1, ["00000.png", "00001.png"]),
        (("a.png", "A.png"), 1, ["00000.png", "00001.png"]),  # one file where case is ignored
        (("a.jpg", "a.png/b.jpg"), 1, ["00000.png", "00001.png"]),  # a.png would be a folder
        (("sheet.png/a.jpg", "b.png"), 1, ["00000.png", "00001.png"]),
        (("a" * 252, "b.png"), 1, ["00000.png", "00001.png"]),  # too long a name
        (("a\0.png", "b.png"), 1, ["00000.png", "00001.png"]),
        (None, 1, ["00000.png", "00001.png"]),
    ],
)
def test_pictures_in_a_folder_keep_their_names(
    tmp_path: Path,
    pictures: Dataset,
    ids: tuple[str, ...] | None,
    draws: int,
    names: list[str],
) -> None:
    given, answer, *drawn = np.arange(20 * 2 * (draws + 1)).reshape(-1, 2, 4, 5).astype(np.uint8)
    writer = row_files(pictures.schema)
    files = writer.write_clean(tmp_path / "out", given, answer, drawn, ids)
    assert files == tuple(str(tmp_path / "out" / name) for name in ["sheet.png", *names])
    for file, expected in zip(
        files[1:], [*answer, *(x for draw in drawn for x in draw)], strict=True
    ):
        shown = np.rint(expected / pictures.schema.white * 255).clip(0, 255)
        np.testing.assert_array_equal(np.asarray(Image.open(file)), shown)


def test_a_sheet_shows_every_picture_enlarged(tmp_path: Path, pictures: Dataset) -> None:
    row_files(pictures.schema).write(tmp_path / "p.png", pictures.all().filled, rounded=True)
    sheet = np.asarray(Image.open(tmp_path / "p.png"))
    times, margin = 12, SHEET_MARGIN  # 5 pixels wide become at least 56
    assert sheet.shape == (2 * (4 * times + margin) + margin, 2 * (5 * times + margin) + margin)
    second = sheet[margin : margin + 4 * times, 5 * times + 2 * margin :][:, : 5 * times]
    expected = (np.arange(20, 40, dtype=np.uint8) * 4).reshape(4, 5)
    np.testing.assert_array_equal(second[::times, ::times], expected)


def test_reconstructions_on_a_sheet_are_spread_over_the_rows(tmp_path: Path) -> None:
    rows = load(np.arange(100, dtype=np.uint8)[:, None, None].repeat(56, 1).repeat(56, 2))
    x, writer = rows.all().filled, row_files(rows.schema)
    writer.write_reconstructions(tmp_path / "r.png", [Reconstructed(x, 1 - x)])
    sheet = np.asarray(Image.open(tmp_path / "r.png"))
    first, last = eight_bit(x[[0, -1]])[:, 0, 0, 0]
    inside = 30  # pixels into a picture
    assert sheet[-inside, -inside] == 255 - last  # its reconstruction is the last picture
    wide, top = sheet.shape[1] // 8, sheet.shape[0] - 8 * (56 + MARGIN)
    assert sheet[top + inside, wide // 2] == first


def test_a_name_that_says_no_format_is_refused(table: Dataset, pictures: Dataset) -> None:
    with pytest.raises(OptionError, match=r"tables are written as \.csv, \.parquet or \.npz"):
        row_files(table.schema).check(Path("out.png"))
    with pytest.raises(OptionError, match=r"pictures are written as one \.png sheet"):
        row_files(pictures.schema).check(Path("out.csv"))


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def fill_the_disk() -> None:
        with replacing(path) as place:
            place.write_text("half")
            raise OSError(28, "full")

    with pytest.raises(OSError, match="full") as caught:
        fill_the_disk()
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_eight_bits_are_for_looking_at_only() -> None:
    assert eight_bit(torch.tensor([[[[-0.1, 0.5, 1.2]]]])).ravel().tolist() == [0, 128, 255]


def test_a_sheet_of_restored_rows_is_spread_over_those_with_hidden_pixels(tmp_path: Path) -> None:
    given = np.arange(100, dtype=np.uint8)[:, None, None].repeat(56, 1).repeat(56, 2)
    rows = load(given)
    observed = torch.ones_like(rows.all().filled, dtype=torch.bool)
    observed[40:, ..., :28] = False
    incomplete = Incomplete(given, replace(rows, observed=observed))
    writer = row_files(rows.schema)
    writer.write_redrawn(tmp_path / "r.png", incomplete, [255 - given])
    sheet = np.asarray(Image.open(tmp_path / "r.png"))
    inside = 45  # pixels into a picture, where it is given
    wide, top = sheet.shape[1] // 8, sheet.shape[0] - 8 * (56 + MARGIN)
    assert sheet[top + inside, wide - 11] == 40  # the first row with hidden pixels
    assert sheet[-inside, -inside] == 255 - 99
    assert writer.rows_shown(tmp_path / "r.png", 60) == 32
    assert writer.rows_shown(tmp_path / "r.png", 32) is None
    assert writer.rows_shown(tmp_path / "folder", 60) is None


def test_a_missing_cell_of_a_drawn_table_is_no_overflow(tmp_path: Path) -> None:
    gap = torch.tensor([[1.0, math.nan], [2.0, 3.0]])
    assert Drawn(gap).x is gap
    rows = load(np.array([[1.0, math.nan], [2.0, 3.0], [2.5, 4.0]]), missing="model")
    files = row_files(rows.schema)
    drawn = rows.schema.units(rows.x)
    drawn[0, 1] = math.nan
    files.write(tmp_path / "x.npz", drawn, rounded=True)
    assert np.isnan(np.load(tmp_path / "x.npz")["x"]).tolist() == [
        [False, True],
        *[[False] * 2] * 2,
    ]
    for x in (gap[None, None], gap / 0, torch.full((2, 2), math.nan)):
        with pytest.raises(NotFiniteError):
            Drawn(x)
