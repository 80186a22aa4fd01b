"""Named sets: exact, checked against the originals' hashes, and found without a network."""

from __future__ import annotations

import functools
import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits

from lowerbound.data import CATALOG, file_sha256, load
from lowerbound.data.catalog import FILES, MNIST, IdxSet, idx_sha256, read_idx, write_whole
from lowerbound.durable import cache_folder
from lowerbound.errors import DataError, OptionError

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x_train": RANDOM.integers(0, 256, (6, 4, 4), dtype=np.uint8),
    "y_train": RANDOM.integers(0, 3, 6).astype(np.uint8),
    "x_test": RANDOM.integers(0, 256, (3, 4, 4), dtype=np.uint8),
    "y_test": RANDOM.integers(0, 3, 3).astype(np.uint8),
}


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """The format as its page describes it, written anew."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def small_set(home: str) -> IdxSet:
    sha256 = {key: hashlib.sha256(gzip.decompress(idx(a))).hexdigest() for key, a in ARRAYS.items()}
    return IdxSet("small", (home,), sha256, ("zero", "one", "two"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    for key, name in FILES.items():
        (folder / name).write_bytes(idx(ARRAYS[key]))
    return folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LOWERBOUND_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lowerbound"


@pytest.fixture
def server(home: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(home))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_digits_are_scikit_learns_with_17_levels() -> None:
    dataset, original = load("digits"), load_digits()
    assert dataset.schema.levels == 17
    assert dataset.schema.class_names == tuple("0123456789")
    decoded = dataset.schema.decode(dataset.schema.units(dataset.x))
    np.testing.assert_array_equal(decoded, original.images)
    assert dataset.label is not None
    np.testing.assert_array_equal(dataset.label.numpy(), original.target)


def test_classes_keep_the_indices_of_their_source() -> None:
    dataset, original = load("breast_cancer"), load_breast_cancer()
    assert dataset.schema.class_names == ("malignant", "benign")
    assert dataset.label is not None
    np.testing.assert_array_equal(dataset.label.numpy(), original.target)


@pytest.mark.parametrize(
    ("name", "rows", "event"),
    [
        ("digits", 1797, (1, 8, 8)),
        ("breast_cancer", 569, (30,)),
        ("wine", 178, (13,)),
        ("iris", 150, (4,)),
        ("diabetes", 442, (10,)),
    ],
)
def test_sets_inside_scikit_learn(name: str, rows: int, event: tuple[int, ...]) -> None:
    dataset = load(name)
    assert (len(dataset), dataset.schema.event_shape) == (rows, event)
    with pytest.raises(DataError, match="no published parts"):
        load(name, split="test")


def test_the_patients_of_diabetes_are_in_their_own_units() -> None:
    """Ages of Efron et al. 2004 are 19 to 79 years; scikit-learn's default is standardized."""
    dataset = load("diabetes")
    rows = np.asarray(dataset.schema.decode(dataset.x, rounded=True), dtype=float)
    assert (rows[:, 0].min(), rows[:, 0].max()) == (19, 79)


def test_sprites_come_with_their_factors_in_two_parts() -> None:
    training, test = load("sprites"), load("sprites", split="test")
    assert (len(training), len(test)) == (3_686, 922)
    assert training.schema.event_shape == (1, 32, 32)
    assert training.schema.levels == 2
    assert training.schema == test.schema
    assert test.factors is not None
    assert test.label is not None
    assert test.factor_names == ("shape", "scale", "rotation", "x", "y")
    assert torch.equal(test.factors[:, 0], test.label)
    with pytest.raises(DataError, match="parts train and test, not 'val'"):
        load("sprites", split="val")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'digits'"):
        CATALOG["digit"]


def test_originals_are_downloaded_once_and_kept(server: str, home: Path, empty_cache: Path) -> None:
    small = small_set(server)
    raw = small.read("test")
    np.testing.assert_array_equal(raw.x, ARRAYS["x_test"])
    assert [str(name) for name in raw.labels] == [small.class_names[i] for i in ARRAYS["y_test"]]
    assert [path.name for path in empty_cache.iterdir()] == ["small.npz"]
    for path in home.iterdir():
        path.unlink()
    np.testing.assert_array_equal(small.read(None).x, ARRAYS["x_train"])


def test_a_second_home_is_tried(home: Path) -> None:
    small = small_set((home / "nowhere").as_uri() + "/")
    both = IdxSet("small", (*small.homes, home.as_uri() + "/"), small.sha256, small.class_names)
    np.testing.assert_array_equal(both.read("train").x, ARRAYS["x_train"])


def test_the_named_folder_comes_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "mine"))
    small = small_set("file:///nowhere/")
    for folder in (cache_folder(), tmp_path / "mine"):
        folder.mkdir(parents=True)
        np.savez(folder / "small.npz", **ARRAYS)
        assert small.locate() == folder / "small.npz"


def test_what_is_missing_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "mine"))
    with pytest.raises(DataError) as caught:
        small_set("file:///nowhere/").read(None)
    message = str(caught.value)
    assert f"the data set small is missing: put small.npz into {tmp_path / 'mine'} or" in message
    assert "file:///nowhere/train-images-idx3-ubyte.gz cannot be downloaded" in message


def test_altered_originals_are_refused_and_not_kept(home: Path, empty_cache: Path) -> None:
    changed = ARRAYS["x_train"].copy()
    changed[0, 0, 0] ^= 1
    (home / FILES["x_train"]).write_bytes(idx(changed))
    with pytest.raises(DataError, match=r"x_train in .* is not that of small"):
        small_set(home.as_uri() + "/").read(None)
    assert not empty_cache.exists()


def test_an_altered_copy_is_refused(empty_cache: Path) -> None:
    empty_cache.mkdir(parents=True)
    np.savez(empty_cache / "small.npz", **{**ARRAYS, "y_test": ARRAYS["y_test"] ^ 1})
    small = small_set("file:///nowhere/")
    small.read("train")
    with pytest.raises(DataError, match=r"y_test in .* is not that of small"):
        small.read("test")
    with pytest.raises(DataError, match="parts train and test, not 'val'"):
        small.read("val")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        idx(ARRAYS["x_train"])[:-9],
        gzip.compress(b"\0\0\x0d\1"),
        gzip.compress(gzip.decompress(idx(ARRAYS["x_train"]))[:-1]),
    ],
)
def test_damaged_idx_files_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="somewhere"):
        read_idx(content, "somewhere")


def test_idx_is_read_as_its_page_describes_it() -> None:
    array = ARRAYS["x_train"]
    np.testing.assert_array_equal(read_idx(idx(array), "here"), array)
    assert idx_sha256(array) == hashlib.sha256(gzip.decompress(idx(array))).hexdigest()


def test_a_download_that_dies_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "deep" / "file", b"content")
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_real_sets_are_the_originals(
    name: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWERBOUND_DATA", str(shared_data))
    training, test = load(name), load(name, split="test")
    assert training.x.shape == (60_000, 1, 28, 28)
    assert test.x.shape == (10_000, 1, 28, 28)
    assert training.schema.levels == 256
    assert len(training.schema.class_names) == 10
    sums = (shared_data / "SHA256SUMS").read_text()
    assert f"{file_sha256(shared_data / f'{name}.npz')}  {name}.npz" in sums


def test_mnists_hashes_are_those_of_four_different_files() -> None:
    assert set(MNIST.sha256) == set(FILES)
    assert len(set(MNIST.sha256.values())) == 4
