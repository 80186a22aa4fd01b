"""torch's data sets, loaders and iterators of batches are rows like any others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
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
