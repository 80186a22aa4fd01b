"""Tiles of photographs: where they are cut, which part they are in, and what is missing."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _kodak_tiles import KODAK_TILES, KodakTiles, cut
from PIL import Image

from lowerbound.data import load
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]
SMALL = KodakTiles("small", side=2, photographs=3, held_out=1)
RANDOM = np.random.default_rng(0)
PHOTOGRAPHS = {  # lying, upright, and not a multiple of the tile
    "01.png": RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8),
    "02.png": RANDOM.integers(0, 256, (6, 4, 3), dtype=np.uint8),
    "03.png": RANDOM.integers(0, 256, (5, 3, 3), dtype=np.uint8),
}


def png(pixels: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    return {name: png(pixels) for name, pixels in PHOTOGRAPHS.items()}


def unpack(folder: Path, content: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)


def packed(path: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name in reversed(content):
            member = tarfile.TarInfo(name)
            member.size = len(content[name])
            archive.addfile(member, io.BytesIO(content[name]))


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder LOWERBOUND_DATA, empty; so is the cache."""
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


@pytest.mark.parametrize("how", ["kodak", "kodak24", "kodak24.tar"])
def test_every_tile_lies_where_its_id_says(mine: Path, how: str) -> None:
    if how.endswith(".tar"):
        packed(mine / how, files())
    else:
        unpack(mine / how, {**files(), "README.txt": b"none of them"})
    training, test = SMALL.read(None), SMALL.read("test")
    assert training.x.shape == (12, 2, 2, 3)
    assert test.ids == ("03.png:0,0", "03.png:2,0")
    for raw in (training, test):
        assert raw.ids is not None
        assert len(set(raw.ids)) == len(raw.x)
        for tile, place in zip(raw.x, raw.ids, strict=True):
            name, corner = place.split(":")
            top, left = (int(number) for number in corner.split(","))
            expected = PHOTOGRAPHS[name][top : top + 2, left : left + 2]
            np.testing.assert_array_equal(tile, expected)
    with pytest.raises(DataError, match="parts train and test, not 'val'"):
        SMALL.read("val")


def test_training_tiles_may_overlap_and_test_tiles_do_not(mine: Path) -> None:
    unpack(mine / "kodak", files())
    dense = replace(SMALL, stride=1)
    training = dense.read("train")
    assert len(training.x) == 3 * 5 + 5 * 3
    assert training.ids is not None
    tile = training.x[training.ids.index("01.png:1,3")]
    np.testing.assert_array_equal(tile, PHOTOGRAPHS["01.png"][1:3, 3:5])
    np.testing.assert_array_equal(dense.read("test").x, SMALL.read("test").x)


def test_a_missing_folder_is_said_in_one_sentence(mine: Path) -> None:
    with pytest.raises(DataError) as caught:
        load("kodak_tiles")
    message = str(caught.value)
    assert message.startswith(
        "the data set kodak_tiles is missing: put the 24 photographs of https://r0k.us"
    )
    assert f"as a folder named kodak, or as kodak24.tar, into {mine} or" in message


def test_too_few_photographs_are_counted(mine: Path) -> None:
    unpack(mine / "kodak", files())
    with pytest.raises(DataError, match="kodak has 3 PNG, not the 24 of"):
        load("kodak_tiles")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(PHOTOGRAPHS["01.png"])[:-30], r"03.png cannot be read as a picture"),
        (b"text", r"03.png cannot be read as a picture"),
        (png(PHOTOGRAPHS["01.png"][..., 0]), r"03.png is L, not a photograph in RGB"),
        (png(PHOTOGRAPHS["01.png"][:1]), r"no tile of 2x2 fits into a picture \(1, 6\)"),
    ],
    ids=["cut short", "text", "grey", "narrow"],
)
def test_what_is_no_photograph_is_named(mine: Path, content: bytes, message: str) -> None:
    unpack(mine / "kodak", {**files(), "03.png": content})
    assert len(SMALL.read("train").x) == 12
    with pytest.raises(DataError, match=message):
        SMALL.read("test")


def test_a_damaged_tar_is_named(mine: Path) -> None:
    packed(mine / "kodak24.tar", files())
    content = (mine / "kodak24.tar").read_bytes()
    (mine / "kodak24.tar").write_bytes(content[:700])
    with pytest.raises(DataError, match=r"kodak24.tar cannot be read; it is damaged or cut short"):
        SMALL.read("test")


def test_tiles_go_by_rows_and_leave_the_rest() -> None:
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    tiles = cut(picture, 2, 2)
    assert tiles.shape == (6, 2, 2, 3)
    np.testing.assert_array_equal(tiles[4], picture[2:4, 2:4])


def test_the_real_photographs(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWERBOUND_DATA", str(shared_data))
    test = load("kodak_tiles", split="test")
    assert (len(test), test.schema.event_shape, test.schema.levels) == (6 * 384, (3, 32, 32), 256)
    assert test.ids is not None
    assert {name.split(":")[0] for name in test.ids} == {f"{i}.png" for i in range(19, 25)}
    with tarfile.open(shared_data / "kodak24.tar") as archive:
        file = archive.extractfile("24.png")
        assert file is not None
        photograph = np.asarray(Image.open(io.BytesIO(file.read())))
    decoded = test.schema.decode(test.schema.units(test.x[-384:]))
    np.testing.assert_array_equal(decoded[-1], photograph[480:512, 736:768])
    assert KODAK_TILES.locate().name == "kodak24.tar"
