"""Pictures in tar files: the rows, classes and names of the same pictures in a folder."""

from __future__ import annotations

import errno
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowerbound.data import load
from lowerbound.data.pictures import shards
from lowerbound.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lowerbound" / "shards"


def picture(level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((5, 4), level, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def written(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


NESTED = {f"{kind}/{n}.png": picture(40 * n) for kind in ("cat", "dog") for n in range(3)}


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_folders_in_a_tar_are_those_of_a_folder(name: str, tmp_path: Path) -> None:
    for place, content in NESTED.items():
        (tmp_path / "plain" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / place).write_bytes(content)
    plain, found = load(tmp_path / "plain"), load(written(tmp_path / name, NESTED))
    assert np.array_equal(found.x, plain.x)
    assert found.ids == plain.ids
    assert found.schema == plain.schema
    assert found.label is not None
    assert plain.label is not None
    assert np.array_equal(found.label, plain.label)
    assert found.source == str(tmp_path / name)


def test_shards_of_webdataset(tmp_path: Path) -> None:
    """Classes are in files of their own, before or after the picture; names repeat in shards."""
    folder = tmp_path / "shards"
    folder.mkdir()
    first = {
        "0.cls": b"3",
        "0.png": picture(1),
        "0.json": b"{}",
        "1.png": picture(2),
        "1.cls": b"7",
    }
    written(folder / "train-0.tar", first)
    written(folder / "train-1.tar", {"deep/0.png": picture(3), "deep/0.cls": b"7\n"})
    found = load(folder)
    assert found.schema.class_names == ("3", "7")
    assert found.ids == ("3/train-0-0.png", "7/train-0-1.png", "7/train-1-deep_0.png")
    assert found.label is not None
    assert found.label.tolist() == [0, 1, 1]
    assert [int(row[0, 0, 0]) for row in found.x] == [1, 2, 3]


def test_they_are_unpacked_once_and_anew_when_they_change(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.tar", NESTED)
    load(path)
    before = sorted(cache.iterdir())
    with monkeypatch.context() as patch:
        patch.delattr(shards, "_unpack")
        load(path)
    assert sorted(cache.iterdir()) == before
    written(path, {**NESTED, "dog/9.png": picture(250)})
    assert len(load(path)) == 7


def test_a_name_never_leaves_the_cache(tmp_path: Path, cache: Path) -> None:
    names = ["../../out.png", "/etc/out.png", "a/../../../out2.png", "x.png"]
    files = {name: picture(n) for n, name in enumerate(names)}
    files |= {"y.png": picture(9), "y.cls": b"../../up"}
    found = load(written(tmp_path / "a.tar", files))
    assert len(found) == 3  # names with .. are left out
    inside = set(tmp_path.rglob("*.png"))
    assert all(path.is_relative_to(cache) for path in inside)
    assert {path.name for path in inside} == {"out.png", "x.png", "y.png"}


def test_links_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", {"x.png": picture(1), ".hidden.png": picture(2)})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("passwords.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(load(path)) == 1


def test_a_damaged_shard_is_named_and_left_out_on_request(tmp_path: Path, cache: Path) -> None:
    path = written(tmp_path / "a.tar", NESTED)
    path.write_bytes(path.read_bytes()[:4_000])
    with pytest.raises(DataError, match=r"a\.tar cannot be read; it is damaged or cut short"):
        load(path)
    assert not list(cache.iterdir())
    for _ in range(2):  # unpacked, and from the cache
        with pytest.warns(UserWarning, match=r"a\.tar damaged"):
            found = load(path, on_error="skip")
        assert 0 < len(found) < 6


@pytest.mark.parametrize("damage", ["cut between files", "one byte of a header", "garbage"])
def test_a_damaged_header_is_not_the_end(damage: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", NESTED)
    content = bytearray(path.read_bytes())
    third = 2 * (512 + 512)  # each file has a header and one block
    if damage == "cut between files":
        content = content[:third]
    elif damage == "garbage":
        content[third : third + 512] = bytes(range(256)) * 2
    else:
        content[third + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar cannot be read; it is damaged or cut short"):
        load(path)
    with pytest.warns(UserWarning, match=r"a\.tar damaged"):
        assert len(load(path, on_error="skip")) == 2


def test_shards_whose_names_differ_after_a_dot(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in ("train.000.tar", "train.001.tar", "train.001.tgz"):
        written(folder / name, {"0.png": picture(len(name))})
    assert len(load(folder)) == 3


def test_a_folder_that_another_process_made_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, work, made = written(tmp_path / "a.tar", NESTED), shards._unpack_all, []

    def slow(*arguments: Any) -> None:
        work(*arguments)
        monkeypatch.setattr(shards, "_unpack_all", work)
        made.append(shards.unpacked([path]).stat().st_ino)

    monkeypatch.setattr(shards, "_unpack_all", slow)
    assert shards.unpacked([path]).stat().st_ino == made[0]


def test_a_full_disk_is_no_damage_of_the_file(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    path = written(tmp_path / "a.tar", NESTED)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        load(path, on_error="skip")
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": b"words"}, "no pictures"),
        ({}, "no pictures"),
        ({"a.png": picture(1), "a.cls": b""}, "holds no class"),
        ({"a.png": picture(1), "a.cls": b"x" * 300}, "holds no class"),
        ({"a.png": picture(1), "./a.png": picture(2)}, "two pictures"),
    ],
)
def test_bad_shards(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load(written(tmp_path / "a.tar", files))


def test_a_folder_with_pictures_is_no_folder_of_shards(tmp_path: Path) -> None:
    written(tmp_path / "a.tar", NESTED)
    (tmp_path / "x.png").write_bytes(picture(3))
    with pytest.warns(UserWarning, match=r"^a\.tar left out"):
        assert len(load(tmp_path)) == 1
