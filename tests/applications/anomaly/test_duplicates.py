"""Rows that repeat are found, and only those."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.applications.anomaly import neighbors
from lowerbound.applications.anomaly.neighbors import distinct, same_rows
from lowerbound.data import Dataset, load

RNG = np.random.default_rng(0)


def repeated(rows: int = 200, kinds: int = 30) -> Dataset:
    """Rows of small whole numbers, whose floats have all their bits in the same places."""
    values = RNG.integers(0, 4, (kinds, 5)).astype(float)
    return load(values[RNG.integers(0, kinds, rows)], standardize=False)


def test_every_row_is_found_again() -> None:
    dataset = repeated()
    found = distinct(dataset)
    assert found is not None
    once, place = found
    assert len(once) == len(np.unique(dataset.x.numpy(), axis=0))
    assert torch.equal(once.x[torch.from_numpy(place)], dataset.x)


def test_rows_that_differ_in_what_is_missing_or_told_differ() -> None:
    dataset = repeated(200, 8)
    once, _ = distinct(dataset) or (dataset, None)
    observed = torch.ones_like(dataset.x, dtype=torch.bool)
    observed[:100, 0] = False
    holes, _ = distinct(replace(dataset, observed=observed)) or (dataset, None)
    assert len(holes) == 2 * len(once)
    labeled = dataset.with_labels(np.arange(200) % 2)
    assert len((distinct(labeled) or (dataset,))[0]) == len(once)
    told = labeled.conditioned_on_label()
    assert len((distinct(told) or (dataset,))[0]) == 2 * len(once)


def test_rows_that_hardly_repeat_are_left_alone() -> None:
    assert distinct(load(RNG.normal(size=(50, 2)))) is None
    assert distinct(load(RNG.normal(size=(50, 2))).subset([3])) is None


def test_a_hash_that_fails_merges_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "_hashes", lambda words: np.zeros(len(words), np.uint64))
    assert distinct(repeated()) is None


def test_the_first_of_each_kind_of_row_and_the_kind_of_every_row() -> None:
    words = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [3.0, 4.5]])
    first, place = same_rows(words) or (None, None)
    assert first is not None
    assert first.tolist() == [0, 1, 3]
    assert place.tolist() == [0, 1, 0, 2]
    assert same_rows(words[1:]) is None
