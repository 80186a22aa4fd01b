"""Downsampled ImageNet's npz: labels, planes, parts, places; what is altered is named."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _downsampled_imagenet import (
    CLASSES,
    FILES,
    IMAGENET32,
    IMAGENET64,
    DownsampledImageNet,
)

from lowerbound.data import CATALOG, load
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]
SIDE = 4
COUNTS = (3, 1, 2, 4, 1, 1, 2, 3, 1, 2)  # batches are not all of one size
RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (sum(COUNTS) + 5, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.concatenate([[1, 1000], RANDOM.integers(1, 1001, len(PICTURES) - 2)])
TRAINING = sum(COUNTS)


def npz(pictures: Array, labels: Any, **others: Any) -> bytes:
    """One file as published: reds by rows, greens, blues in one row of data per picture."""
    planes = [pictures[..., color].reshape(len(pictures), -1) for color in range(3)]
    buffer = io.BytesIO()
    np.savez(buffer, data=np.concatenate(planes, 1), labels=labels, **others)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """The published files, small; training batches also hold a mean picture."""
    content, start = {}, 0
    for name, count in zip(FILES["train"], COUNTS, strict=True):
        rows = slice(start, start + count)
        content[name] = npz(PICTURES[rows], LABELS[rows], mean=np.zeros(3 * SIDE**2))
        start += count
    content["val_data.npz"] = npz(PICTURES[start:], LABELS[start:])
    return content


FILES_ONCE = files()


def small_set(**changes: Any) -> DownsampledImageNet:
    options: dict[str, Any] = {
        "side": SIDE,
        "archives": {"train": ("Small_part1_npz", "Small_part2_npz"), "test": ("Small_val_npz",)},
        "md5": {name: hashlib.md5(data).hexdigest() for name, data in FILES_ONCE.items()},
        "rows": {"train": TRAINING, "test": 5},
    }
    return DownsampledImageNet("small", **(options | changes))


def zipped(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir(path.stem)
        for name, data in content.items():
            archive.writestr(f"{path.stem}/{name}", data)


def unpack(folder: Path, content: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder LOWERBOUND_DATA, empty; so is the cache."""
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def as_zips(mine: Path) -> None:
    parts = FILES["train"][:5], FILES["train"][5:], FILES["test"]
    names = "Small_part1_npz", "Small_part2_npz", "Small_val_npz"
    for name, part in zip(names, parts, strict=True):
        zipped(mine / f"{name}.zip", {file: FILES_ONCE[file] for file in part})


def as_one_folder(mine: Path) -> None:
    unpack(mine / "small", FILES_ONCE)


def as_a_mixture(mine: Path) -> None:
    unpack(mine / "Small_part1_npz", {name: FILES_ONCE[name] for name in FILES["train"][:5]})
    zipped(mine / "Small_part2_npz.zip", {name: FILES_ONCE[name] for name in FILES["train"][5:]})
    unpack(mine / "Small_val_npz", {"val_data.npz": FILES_ONCE["val_data.npz"]})


@pytest.mark.parametrize("lay_out", [as_zips, as_one_folder, as_a_mixture])
def test_parts_labels_and_colors_are_those_of_the_batches(mine: Path, lay_out: Any) -> None:
    lay_out(mine)
    training, test = small_set().read(None), small_set().read("test")
    np.testing.assert_array_equal(np.moveaxis(training.x, 1, -1), PICTURES[:TRAINING])
    np.testing.assert_array_equal(np.moveaxis(test.x, 1, -1), PICTURES[TRAINING:])
    np.testing.assert_array_equal(training.labels, LABELS[:TRAINING])
    np.testing.assert_array_equal(test.labels, LABELS[TRAINING:])
    with pytest.raises(DataError, match="parts train and test, not 'val'"):
        small_set().read("val")


def test_an_altered_batch_is_refused(mine: Path) -> None:
    changed = npz(PICTURES[:3] ^ 1, LABELS[:3], mean=np.zeros(3 * SIDE**2))
    unpack(mine / "small", {**FILES_ONCE, "train_data_batch_1.npz": changed})
    with pytest.raises(DataError, match=r"train_data_batch_1.npz in .* MD5 differs"):
        small_set().read("train")
    assert len(small_set(md5={}).read("train").x) == TRAINING


def test_a_batch_that_is_cut_short_is_named(mine: Path) -> None:
    cut = FILES_ONCE["val_data.npz"][:-30]
    unpack(mine / "small", {**FILES_ONCE, "val_data.npz": cut})
    with pytest.raises(DataError, match=r"val_data.npz in .* has no readable data and labels"):
        small_set(md5={}).read("test")


def test_a_zip_that_is_cut_short_is_named(mine: Path) -> None:
    as_zips(mine)
    path = mine / "Small_part2_npz.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"Small_part2_npz.zip cannot be read; it is damaged"):
        small_set().read("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npz(PICTURES[:5, :2], LABELS[:5]), r"data \(5, 24\) of uint8; small needs \(N, 48\)"),
        (npz(PICTURES[:5] / 255, LABELS[:5]), r"data \(5, 48\) of float64; small needs"),
        (npz(PICTURES[:5], LABELS[:4]), "does not have one label from 1 to 1000 per picture"),
        (npz(PICTURES[:5], LABELS[:5] - 1), "does not have one label from 1 to 1000 per picture"),
        (npz(PICTURES[:5], LABELS[:5] / 2), "does not have one label from 1 to 1000 per picture"),
        (npz(PICTURES[:5], np.array([1, None] * 2 + [3])), "allow_pickle=False"),
        (npz(PICTURES[:3], LABELS[:3]), "the test part of small has 3 rows, not 5"),
        (npz(PICTURES[:7], LABELS[:7]), "the test part of small has 7 rows, not 5"),
    ],
    ids=["size", "floats", "few labels", "label 0", "halves", "pickled", "few", "many"],
)
def test_other_arrays_are_refused(mine: Path, content: bytes, message: str) -> None:
    unpack(mine / "small", {"val_data.npz": content})
    with pytest.raises(DataError, match=message):
        small_set(md5={}).read("test")


def test_what_is_missing_is_said_in_one_sentence(mine: Path) -> None:
    with pytest.raises(DataError) as caught:
        small_set().read(None)
    message = str(caught.value)
    assert "the data set small is missing train_data_batch_1.npz and 9 more: put" in message
    asked = f"Small_part1_npz.zip and Small_part2_npz.zip, or what they unpack to, into {mine} or"
    assert asked in message
    assert "https://image-net.org/download-images has them" in message
    assert "pickled" not in message
    unpack(mine / "small", {name: FILES_ONCE[name] for name in FILES["train"][:-1]})
    with pytest.raises(DataError, match=r"small is missing train_data_batch_10.npz: put"):
        small_set().read(None)


@pytest.mark.parametrize("name", ["Small_val.zip", "Small_val"])
def test_the_pickled_version_is_refused_with_what_to_get_instead(mine: Path, name: str) -> None:
    zipped(mine / name, {"val_data": b"cposix\nsystem\n(S'exit'\ntR."})
    expected = f"{mine / name} is the pickled version, which is never opened; put Small_val_npz.zip"
    with pytest.raises(DataError, match=re.escape(expected)):
        small_set().read("test")


def test_the_name_loads_pictures_with_their_classes(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_one_folder(mine)
    monkeypatch.setitem(CATALOG._parts, "imagenet32", small_set().read)
    training, test = load("imagenet32"), load("imagenet32", split="test")
    assert (training.schema.event_shape, training.schema.levels) == ((3, SIDE, SIDE), 256)
    assert training.schema == test.schema
    assert training.schema.class_names == CLASSES
    assert training.label is not None
    np.testing.assert_array_equal(training.label.numpy(), LABELS[:TRAINING] - 1)


def test_the_published_sets_look_for_their_own_files(mine: Path) -> None:
    assert set(IMAGENET32.md5) == {*FILES["train"], *FILES["test"]}
    assert len(set(IMAGENET32.md5.values())) == 11
    assert {len(value) for value in IMAGENET32.md5.values()} == {32}
    assert IMAGENET32.rows == IMAGENET64.rows == {"train": 1_281_167, "test": 50_000}
    unpack(mine / "Imagenet32_val_npz", {"val_data.npz": FILES_ONCE["val_data.npz"]})
    unpack(mine / "Imagenet64_val_npz", {"val_data.npz": FILES_ONCE["val_data.npz"]})
    with pytest.raises(DataError, match=r"is not that of imagenet32: its MD5 differs"):
        load("imagenet32", split="test")
    with pytest.raises(DataError, match=r"imagenet64 needs \(N, 12288\) of uint8"):
        load("imagenet64", split="test")
    with pytest.raises(DataError, match=r"put Imagenet64_train_part1_npz.zip and Imagenet64_train"):
        load("imagenet64")


def test_batches_cut_from_photographs_keep_their_pixels(shared_data: Path, mine: Path) -> None:
    from PIL import Image

    with tarfile.open(shared_data / "kodak24.tar") as archive:
        file = archive.extractfile("01.png")
        assert file is not None
        photograph = np.asarray(Image.open(io.BytesIO(file.read())))
    tiles = np.stack([photograph[64:128, 64 * i : 64 * i + 64] for i in range(5)])
    zipped(mine / "Small_val_npz.zip", {"val_data.npz": npz(tiles, [1, 2, 3, 4, 1000])})
    test = small_set(side=64, md5={}).read("test")
    np.testing.assert_array_equal(np.moveaxis(test.x, 1, -1), tiles)
