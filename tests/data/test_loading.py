"""One way in for everything, and one sentence for everything that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lowerbound.data import load
from lowerbound.errors import DataError, OptionError

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(8, 3))
PICTURES = RANDOM.integers(0, 256, (8, 5, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    "source",
    [X, torch.from_numpy(X), X.tolist(), X.astype(">f8"), X.astype(np.longdouble), X[::-1][::-1]],
    ids=["numpy", "torch", "lists", "big-endian", "long double", "view"],
)
def test_arrays_of_every_kind_are_vectors(source: Any) -> None:
    dataset = load(source)
    assert dataset.schema.kind == "vectors"
    assert torch.equal(dataset.x, load(X).x)


def test_tensors_of_bfloat16_and_gradients_are_read() -> None:
    assert load(torch.rand(5, 2, dtype=torch.bfloat16)).x.dtype == torch.float32
    assert not load(torch.rand(5, 2, requires_grad=True)).x.requires_grad


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((0, 3)), r"empty: its shape is \(0, 3\), with 0 sample"),
        ([], "empty"),
        ([[1.0, 2.0], [3.0], [4.0, 5.0]], "ragged: row 1 has 1 values, row 0 has 2"),
        (np.array([[1, 2], [3]], dtype=object), "ragged: row 1 has 1 values"),
        ([["a", "b"]], "text"),
        (X + 1j, "complex"),
        (np.array([[1, {}]], dtype=object), "not numbers"),
        (X[:, 0], r"shape \(8,\). Reshape your data"),
        (np.zeros((2, 2, 2, 2, 2)), r"shape \(2, 2, 2, 2, 2\)"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(source)


def test_sparse_matrices_are_refused() -> None:
    import scipy.sparse

    with pytest.raises(DataError, match="sparse matrix; pass a dense one"):
        load(scipy.sparse.eye(3).tocsr())


def test_nothing_there_suggests_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match="no file, folder or named data set 'picturs'; did you mean"
    ):
        load("picturs")
    with pytest.raises(DataError, match="did you mean 'digits'"):
        load("digit")
    with pytest.raises(DataError, match="named sets: digits, breast_cancer"):
        load("qqqqqq")


def test_standard_input_is_not_read() -> None:
    with pytest.raises(DataError, match="'-', and standard input is not read: write the data into"):
        load("-")


def test_an_empty_path_is_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^the data is an empty path: give a file, a folder or"):
        load("")
    assert len(load(".")) == 1


def test_patterns_are_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, name in (("parts", "p0.parquet"), ("sh", "s-000.tar"), ("mixed", "a.csv")):
        Path(folder).mkdir()
        Path(folder, name).write_bytes(b"")
    for pattern, instead in {
        "parts/*.parquet": "the folder, parts",
        "sh/s-{000..003}.tar": "the folder, sh",
        "mixed/?.png": "the folder, mixed",
        "mixed/[ab].csv": "one file",
        "m*/a.csv": "one file",
    }.items():
        message = f"there is no file {pattern}: patterns are not read; give {instead}"
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            load(pattern)
    for name, near in (("parts/p1.parquet", "parts/p0.parquet"), ("sh/s-00.tar", "sh/s-000.tar")):
        with pytest.raises(DataError, match=f"there is no file.*did you mean '{near}'"):
            load(name)


def test_an_unknown_kind_of_file_says_which_are_known(tmp_path: Path) -> None:
    (tmp_path / "data.docx").write_text("")
    with pytest.raises(DataError, match=r"of no known kind.*\.csv.*\.npz"):
        load(tmp_path / "data.docx")


def test_missing_values_of_arrays_are_modeled_where_that_is_asked_for() -> None:
    holes = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    with pytest.raises(DataError, match="has NaN in rows"):
        load(holes)
    dataset = load(holes, missing="model")
    assert dataset.schema.missing
    assert dataset.observed is not None
    np.testing.assert_array_equal(~dataset.observed.numpy(), np.isnan(holes))
    assert (dataset.x[~dataset.observed] == 0).all()
    assert load(X, missing="model").observed is None


def test_missing_pixels_are_modeled_where_that_is_asked_for() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (6, 9, 9)).astype(float)
    pictures[2, 3:5, 4] = np.nan
    dataset = load(pictures, missing="model", levels=256)
    assert dataset.observed is not None
    assert (~dataset.observed).nonzero().tolist() == [[2, 0, 3, 4], [2, 0, 4, 4]]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"resize": "padd"}, "resize: 'padd'; did you mean 'pad'"),
        ({"on_error": "ignore"}, "on_error: 'ignore'"),
        ({"binarize": "yes"}, "binarize: 'yes'"),
        ({"missing": "drop"}, "missing: 'drop'"),
    ],
)
def test_unknown_options_are_refused(option: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load(X, **option)


def test_binarization_is_decided_when_fitting() -> None:
    schema = load(PICTURES, binarize="dynamic").schema
    assert load(PICTURES, schema=schema).schema == schema
    with pytest.raises(OptionError, match="fitted with 'dynamic'"):
        load(PICTURES, schema=schema, binarize="threshold")


def test_a_path_is_no_schema(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"Schema\.from_mapping\(values\) of a schema\.json"):
        load(PICTURES, schema=tmp_path / "schema.json")  # type: ignore[arg-type]


def test_a_size_is_only_for_pictures_in_files() -> None:
    for source in (PICTURES, "digits"):
        with pytest.raises(OptionError, match="image_size and resize are for folders"):
            load(source, image_size=8)


def test_labels_of_arrays_are_given_as_values() -> None:
    dataset = load(X, label=["u", "v"] * 4)
    assert dataset.label is not None
    assert dataset.label.tolist() == [0, 1] * 4
    with pytest.raises(DataError, match="only tables have columns"):
        load(X, label="u")


@pytest.mark.parametrize(
    ("arrays", "split", "rows", "labels"),
    [
        ({"x": X}, None, 8, None),
        ({"X": X, "y": np.arange(8) % 2}, None, 8, 2),
        ({"images": PICTURES, "labels": np.arange(8) % 3}, None, 8, 3),
        ({"anything": PICTURES}, None, 8, None),
        ({"x_train": X, "x_test": X[:3], "y_train": np.arange(8), "y_test": [0, 1, 2]}, None, 8, 8),
        (
            {"x_train": X, "x_test": X[:3], "y_train": np.arange(8), "y_test": [0, 1, 2]},
            "test",
            3,
            3,
        ),
        ({"train_images": X, "val_images": X[:2], "val_labels": [[1], [0]]}, "val", 2, 2),
    ],
)
def test_arrays_in_a_file_are_found_by_their_usual_names(
    tmp_path: Path, arrays: Any, split: str | None, rows: int, labels: int | None
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    dataset = load(tmp_path / "data.npz", split=split)
    assert len(dataset) == rows
    assert len(dataset.schema.class_names) == (labels or 0)


def test_a_lone_array_needs_no_name(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", PICTURES)
    assert torch.equal(load(tmp_path / "data.npy").x, load(PICTURES).x)


def test_unknown_keys_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", pixels=PICTURES, act=X)
    with pytest.raises(DataError, match=r"no array named 'x' .*pixels \(8, 5, 5\), act \(8, 3\)"):
        load(tmp_path / "data.npz")
    np.savez(tmp_path / "data.npz", x_train=X)
    with pytest.raises(DataError, match="no array named 'x_test'"):
        load(tmp_path / "data.npz", split="test")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.array([[1, "a"]], dtype=object))
    with pytest.raises(DataError, match=r"x\.npy is damaged: Object arrays cannot be loaded"):
        load(tmp_path / "data.npz")


def test_another_file_is_not_called_pickled(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_text("hello world")
    with pytest.raises(DataError, match="cannot be read as numpy arrays: it is not a numpy file"):
        load(tmp_path / "data.npz")


@pytest.mark.parametrize("keep", [0, 20, -40])
def test_a_damaged_file_of_arrays_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=X)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"data\.npz cannot be read"):
        load(path)


def test_only_what_has_parts_is_read_in_parts(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,5\n")
    with pytest.raises(DataError, match="has no parts, so no 'test'"):
        load(tmp_path / "table.csv", split="test")
    with pytest.raises(DataError, match="an array has no parts"):
        load(X, split="test")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": [1, 2, 3]}, r"is a dict, which is no table: give pandas.DataFrame\(values\)"),
        (None, "is None: give an array, a frame or a path"),
        (np.array([["a", "b"], ["c", "d"]]), "or a pandas frame with columns of text"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_give(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(source)


def test_the_whole_of_an_npz_is_read_before_its_training_part(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x_train=X[:2], x=X, x_test=X[2:])
    assert len(load(path)) == len(X)
    assert [len(load(path, split=part)) for part in ("train", "test")] == [2, len(X) - 2]
