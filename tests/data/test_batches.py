"""torch's data sets, loaders and iterators of batches are rows like any others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lowerbound import VAE, load, untrusted
from lowerbound.errors import DataError

X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(50) % 3
PICTURES = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)


class Rows(Dataset[Any]):
    """Pairs of a row and its class."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return X[index], int(Y[index])


class Stream(IterableDataset[Any]):
    """Rows without a length."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(X)


LABELED = {
    "tensors": lambda: TensorDataset(X, Y),
    "data set": Rows,
    "loader": lambda: DataLoader(TensorDataset(X, Y), batch_size=16),
    "generator": lambda: ((X[i : i + 7].numpy(), Y[i : i + 7]) for i in range(0, 50, 7)),
}
PLAIN = {
    "stream": Stream,
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=16),
    "generator": lambda: iter(X.split(16)),
}


@pytest.mark.parametrize("name", LABELED)
def test_rows_and_labels_are_those_of_the_arrays(name: str) -> None:
    found, expected = load(LABELED[name]()), load(X, label=Y.numpy())
    assert found.schema == expected.schema
    assert torch.equal(found.x, expected.x)
    assert found.label is not None
    assert torch.equal(found.label, expected.label)


@pytest.mark.parametrize("name", PLAIN)
def test_rows_without_labels(name: str) -> None:
    found = load(PLAIN[name]())
    assert torch.equal(found.x, load(X).x)
    assert found.label is None


def test_a_given_label_wins() -> None:
    labels = np.array(["a", "b"] * 25)
    assert load(TensorDataset(X, Y), label=labels).schema.class_names == ("a", "b")


def test_pictures_stay_pictures() -> None:
    assert load(DataLoader(TensorDataset(PICTURES), batch_size=6)).schema == load(PICTURES).schema


def test_estimators_take_loaders() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=16)
    vae = VAE(latent_dim=2, epochs=2, random_state=0)
    codes = vae.fit(loader).transform(loader)
    np.testing.assert_array_equal(codes, vae.fit(X).transform(X))


def test_memory_is_checked_while_rows_arrive() -> None:
    seen = []

    def endless() -> Iterator[torch.Tensor]:
        while True:
            seen.append(1)
            yield torch.zeros(1000, 100)

    with untrusted.memory(0.01), pytest.raises(DataError, match=r"needs .* GB"):
        load(endless())
    assert len(seen) < 20


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: iter([]), "no rows"),
        (lambda: iter([X[:3], X[:3, :2]]), "one shape"),
        (lambda: iter([{"x": X}]), "not dict"),
        (lambda: iter([X[0]]), r"\(rows, ...\)"),
        (lambda: iter(["text"]), "not str"),
    ],
)
def test_other_items_are_refused(source: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(source())


FRAME = pd.DataFrame({"size": X[:, 0], "kind": pd.Series(list("abcde") * 10)})
FRAMES = {
    "pandas": lambda: (FRAME[i : i + 20] for i in range(0, 50, 20)),
    "Arrow": lambda: iter(pa.Table.from_pandas(FRAME).to_batches(20)),
    "a reader of Arrow": lambda: pa.Table.from_pandas(FRAME).to_reader(20),
}


@pytest.mark.parametrize("form", FRAMES)
def test_frames_in_batches_are_one_table(form: str) -> None:
    whole, found = load(FRAME), load(FRAMES[form]())
    assert found.schema == whole.schema
    assert torch.equal(found.x, whole.x)
    options: dict[str, Any] = {"latent_dim": 1, "epochs": 1, "random_state": 0}
    model = VAE(**options).fit(FRAMES[form]())
    expected = VAE(**options).fit(FRAME).transform(FRAME)
    np.testing.assert_array_equal(model.transform(FRAMES[form]()), expected)


def test_a_label_is_a_column_of_the_batches() -> None:
    found = load(FRAMES["Arrow"](), label="kind")
    assert found.schema.class_names == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (
            [FRAME, FRAME[["kind"]]],
            "batch 1 has the columns kind, the first batch size, kind",
        ),
        ([FRAME, X], "the first batch is a frame, batch 1 is no frame"),
    ],
)
def test_batches_that_do_not_fit_together_are_named(batches: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(iter(batches))


def test_frames_beyond_the_memory_are_refused() -> None:
    with untrusted.memory(1e-6), pytest.raises(DataError, match="the data in batches"):
        load(iter([FRAME, FRAME]))
