"""Noisy rows read by the schema of rows without noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.incomplete import noise_in_units, noisy_rows
from lowerbound.errors import DataError

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 17, (6, 4, 5)).astype(np.uint8)


def test_grey_values_may_lie_between_and_beyond_the_levels() -> None:
    schema = load(GREYS, levels=17).schema
    noisy = GREYS + RNG.normal(0, 5, GREYS.shape)
    dataset = noisy_rows(noisy, schema)
    torch.testing.assert_close(dataset.all().filled[:, 0].numpy(), noisy / 16)
    assert noise_in_units(schema, 4.0) == 0.25


def test_missing_cells_are_marked() -> None:
    noisy = GREYS.astype(np.float32)
    noisy[2, 1, 1] = np.nan
    dataset = noisy_rows(noisy, load(GREYS, levels=17, missing="model").schema)
    assert dataset.observed is not None
    assert not dataset.observed[2, 0, 1, 1]
    assert dataset.observed.sum() == noisy.size - 1
    with pytest.raises(DataError, match="NaN or inf in row 2"):
        noisy_rows(noisy, load(GREYS, levels=17).schema)


def test_columns_go_their_own_way() -> None:
    x = RNG.normal(3, 7, (20, 2))
    schema = load(x).schema
    noisy = x + 100
    torch.testing.assert_close(noisy_rows(noisy, schema).x, load(noisy, schema=schema).x)
    expected = torch.tensor([2 / column.scale for column in schema.columns])
    torch.testing.assert_close(noise_in_units(schema, 2.0), expected)


def test_bits_are_read_as_numbers() -> None:
    bits = RNG.integers(0, 2, (9, 3))
    dataset = noisy_rows(bits + 0.3, load(bits).schema)
    torch.testing.assert_close(dataset.all().filled.numpy(), bits + 0.3)


def test_a_bent_column_is_refused() -> None:
    frame = pd.DataFrame({"kind": ["a", "b"] * 20, "size": np.exp(RNG.normal(size=40) * 2)})
    with pytest.raises(DataError, match="column 'kind' is not Gaussian"):
        noise_in_units(load(frame).schema, 1.0)
