"""CIFAR-10's binary batches: labels, planes, parts, hashes; and the pickled version refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cifar import ARCHIVE, CIFAR10, CLASSES, FOLDER, PICKLED, CifarSet

from lowerbound.data import CATALOG, load
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAINING = [f"data_batch_{i}.bin" for i in range(1, 6)]
ROWS = 4
RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (6 * ROWS, 32, 32, 3), dtype=np.uint8)
LABELS = RANDOM.permutation(np.arange(6 * ROWS) % 10)


def record(picture: Array, label: int) -> bytes:
    """One record as the page describes it: label, all reds by rows, all greens, all blues."""
    return bytes([label]) + b"".join(picture[:, :, color].tobytes() for color in range(3))


def files() -> dict[str, bytes]:
    """The published files, small."""
    content = {CLASSES: "\n".join([*NAMES, ""]).encode()}
    for i, name in enumerate([*TRAINING, "test_batch.bin"]):
        rows = range(i * ROWS, (i + 1) * ROWS)
        content[name] = b"".join(record(PICTURES[row], int(LABELS[row])) for row in rows)
    return content


def packed(content: dict[str, bytes]) -> bytes:
    """The archive as published: a folder in a gzipped tar, not in the order of the names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in sorted(content, reverse=True):
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content[name])
            archive.addfile(member, io.BytesIO(content[name]))
    return buffer.getvalue()


def small_set(home: str = "file:///nowhere/", archive: bytes = b"") -> CifarSet:
    md5 = {name: hashlib.md5(data).hexdigest() for name, data in files().items()}
    return CifarSet("small", home, hashlib.sha256(archive).hexdigest(), md5, rows=ROWS)


def unpack(folder: Path, content: dict[str, bytes]) -> None:
    (folder / FOLDER).mkdir(parents=True)
    for name, data in content.items():
        (folder / FOLDER / name).write_bytes(data)


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder LOWERBOUND_DATA, empty; so is the cache."""
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


@pytest.mark.parametrize("how", ["folder", "archive"])
def test_parts_labels_and_colors_are_those_of_the_batches(mine: Path, how: str) -> None:
    if how == "folder":
        unpack(mine, files())
    else:
        (mine / ARCHIVE).write_bytes(packed(files()))
    training, test = small_set().read(None), small_set().read("test")
    np.testing.assert_array_equal(np.moveaxis(training.x, 1, -1), PICTURES[: 5 * ROWS])
    np.testing.assert_array_equal(np.moveaxis(test.x, 1, -1), PICTURES[5 * ROWS :])
    assert training.labels.tolist() == [NAMES[i] for i in LABELS[: 5 * ROWS]]
    assert test.labels.tolist() == [NAMES[i] for i in LABELS[5 * ROWS :]]
    with pytest.raises(DataError, match="parts train and test, not 'val'"):
        small_set().read("val")


def test_the_archive_is_downloaded_once_and_kept(tmp_path: Path) -> None:
    archive = packed(files())
    (tmp_path / ARCHIVE).write_bytes(archive)
    small = small_set(tmp_path.as_uri() + "/", archive)
    assert small.locate() == tmp_path / "cache" / "lowerbound" / ARCHIVE
    (tmp_path / ARCHIVE).unlink()
    assert len(small.read("test").x) == ROWS


def test_a_download_of_another_hash_is_refused_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(packed(files()))
    with pytest.raises(DataError, match="is not that of small: its SHA-256 differs"):
        small_set(tmp_path.as_uri() + "/", b"another").locate()
    assert not (tmp_path / "cache").exists()


def test_an_altered_batch_is_refused(mine: Path) -> None:
    content = files()
    content["data_batch_3.bin"] = content["data_batch_3.bin"][:-1] + b"!"
    unpack(mine, content)
    with pytest.raises(DataError, match=r"data_batch_3.bin in .* MD5 differs"):
        small_set().read("train")
    assert len(small_set().read("test").x) == ROWS


def test_a_batch_that_is_cut_short_is_named(mine: Path) -> None:
    content = files()
    content["test_batch.bin"] = content["test_batch.bin"][:-1]
    unpack(mine, content)
    with pytest.raises(DataError, match=r"test_batch.bin in .* has 12,291 bytes, not 12,292"):
        small_set().read("test")


@pytest.mark.parametrize("missing", ["data_batch_2.bin", CLASSES])
@pytest.mark.parametrize("how", ["folder", "archive"])
def test_a_missing_file_is_named(mine: Path, how: str, missing: str) -> None:
    content = files()
    del content[missing]
    if how == "folder":
        unpack(mine, content)
    else:
        (mine / ARCHIVE).write_bytes(packed(content))
    with pytest.raises(DataError, match=f"cifar.* has no {missing}"):
        small_set().read("train")


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"no tar"), packed(files())[:30_000]],
    ids=["empty", "no gzip", "no tar", "cut short"],
)
def test_a_damaged_archive_is_named(mine: Path, content: bytes) -> None:
    (mine / ARCHIVE).write_bytes(content)
    with pytest.raises(DataError, match=f"{ARCHIVE} cannot be read; it is damaged or cut short"):
        small_set().read("test")


def test_classes_are_ten(mine: Path) -> None:
    unpack(mine, {**files(), CLASSES: b"cat\ndog\n"})
    with pytest.raises(DataError, match="names 2 classes, not 10"):
        small_set().read("test")


@pytest.mark.parametrize("pickled", PICKLED)
def test_the_pickled_version_is_refused_with_what_to_get_instead(mine: Path, pickled: str) -> None:
    (mine / pickled).write_bytes(b"cposix\nsystem\n(S'exit'\ntR.")
    with pytest.raises(DataError) as caught:
        small_set().read(None)
    message = str(caught.value)
    assert f"{mine / pickled} is the pickled version, which is never opened" in message
    assert f"put the binary version, {ARCHIVE} or its folder {FOLDER}, into {mine} or" in message
    assert "file:///nowhere/cifar-10-binary.tar.gz cannot be downloaded" in message


def test_nothing_is_said_of_pickles_where_there_are_none(mine: Path) -> None:
    with pytest.raises(DataError, match=f"small is missing: put the binary version.*{mine}"):
        small_set().read(None)


def test_the_name_loads_pictures_with_the_classes(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(mine, files())
    monkeypatch.setitem(CATALOG._parts, "cifar10", small_set().read)
    training, test = load("cifar10"), load("cifar10", split="test")
    assert (training.schema.event_shape, training.schema.levels) == ((3, 32, 32), 256)
    assert training.schema == test.schema
    assert training.schema.class_names == tuple(NAMES)
    assert training.label is not None
    np.testing.assert_array_equal(training.label.numpy(), LABELS[: 5 * ROWS])


def test_the_published_hashes_are_those_of_different_files(mine: Path) -> None:
    assert set(CIFAR10.md5) == {*TRAINING, "test_batch.bin"}
    assert len(set(CIFAR10.md5.values())) == 6
    assert {len(value) for value in CIFAR10.md5.values()} == {32}
    unpack(mine, {**files(), "test_batch.bin": bytes(10_000 * 3073)})
    with pytest.raises(DataError, match=r"is not that of cifar10: its MD5 differs"):
        load("cifar10", split="test")


def test_batches_cut_from_photographs_keep_their_pixels(
    shared_data: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    with tarfile.open(shared_data / "kodak24.tar") as archive:
        file = archive.extractfile("01.png")
        assert file is not None
        photograph = np.asarray(Image.open(io.BytesIO(file.read())))
    tiles = [photograph[:32, 32 * i : 32 * i + 32] for i in range(ROWS)]
    content = {**files(), "test_batch.bin": b"".join(record(tile, 3) for tile in tiles)}
    unpack(mine, content)
    md5 = {name: hashlib.md5(data).hexdigest() for name, data in content.items()}
    small = CifarSet("small", "file:///nowhere/", "", md5, rows=ROWS)
    monkeypatch.setitem(CATALOG._parts, "cifar10", small.read)
    dataset = load("cifar10", split="test")
    decoded = dataset.schema.decode(dataset.schema.units(dataset.x))
    np.testing.assert_array_equal(np.moveaxis(decoded, 1, -1), np.stack(tiles))
