"""Keyed noise: normal, and a function of row, seed, level, sample and coordinate alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from lowerbound.distributions.keyed_noise import KeyedNoise, Occurrences, _mix, _shift, row_keys

LIKE = torch.zeros((), dtype=torch.float64)


def noise(
    keys: Tensor, samples: int, width: int, seed: int = 0, first: int = 0, level: int = 0
) -> Tensor:
    return KeyedNoise(keys, seed, first).normal((samples, len(keys), width), LIKE, level)


def test_shift_is_logical_for_negative_words() -> None:
    """torch's >> copies the sign; the mixer needs zeros, as in 64-bit unsigned arithmetic."""
    words = [-1, -(2**63), 2**63 - 1, 0, 12345, -98765432109876]
    for bits in (1, 27, 30, 31, 63):
        expected = [(word % 2**64) >> bits for word in words]
        assert _shift(torch.tensor(words), bits).tolist() == expected


def test_mixer_is_splitmix64() -> None:
    """The first outputs for the seed 1234567, as published with the algorithm."""
    golden = 0x9E3779B97F4A7C15
    states = [(1234567 + (i + 1) * golden) % 2**64 for i in range(3)]
    signed = torch.tensor([state - 2**64 if state >= 2**63 else state for state in states])
    outputs = [word % 2**64 for word in _mix(signed).tolist()]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("axis", ["coordinates", "samples", "rows", "levels", "seeds"])
def test_noise_is_standard_normal_along_every_axis(axis: str) -> None:
    count = 40_000
    one = torch.tensor([42])
    values = {
        "coordinates": lambda: noise(one, 1, count),
        "samples": lambda: noise(one, count, 1),
        "rows": lambda: noise(row_keys(torch.arange(count).float().unsqueeze(1)), 1, 1),
        "levels": lambda: torch.cat([noise(one, 1, 20, level=level) for level in range(2000)]),
        "seeds": lambda: torch.cat([noise(one, 1, 20, seed=seed) for seed in range(2000)]),
    }[axis]().flatten()
    assert values.mean().abs() < 5 / count**0.5
    assert (values.var() - 1).abs() < 5 * (2 / count) ** 0.5
    assert (values.pow(3).mean()).abs() < 5 * (15 / count) ** 0.5
    assert (values.pow(4).mean() - 3).abs() < 5 * (96 / count) ** 0.5
    assert stats.kstest(values.numpy(), "norm").pvalue > 1e-3
    neighbors = torch.corrcoef(torch.stack([values[:-1], values[1:]]))[0, 1]
    assert neighbors.abs() < 5 / count**0.5


def test_everything_that_should_matter_does() -> None:
    keys = torch.tensor([1, 2])
    base = noise(keys, 2, 3)
    others = [
        noise(keys, 2, 3, seed=1),
        noise(keys, 2, 3, level=1),
        noise(keys, 2, 3, first=2),
    ]
    for other in others:
        assert (other != base).all()
    assert len(torch.cat([base, *others]).unique()) == 4 * base.numel()
    # a seed one higher is not a level that is some higher, or the other way round
    grid = torch.stack([noise(keys, 1, 1, seed=s, level=v) for s in range(30) for v in range(30)])
    assert len(grid.unique()) == grid.numel()


def test_neither_batch_nor_order_nor_chunks_matter() -> None:
    keys = row_keys(torch.randn(6, 4))
    whole = noise(keys, 7, 5)
    assert torch.equal(noise(keys.flip(0), 7, 5).flip(1), whole)
    assert torch.equal(noise(keys[2:4], 7, 5), whole[:, 2:4])
    chunks = [noise(keys, 3, 5), noise(keys, 3, 5, first=3), noise(keys, 1, 5, first=6)]
    assert torch.equal(torch.cat(chunks), whole)
    # more coordinates leave the first ones as they are
    assert torch.equal(noise(keys, 7, 9)[..., :5], whole)


def test_shape_of_the_event_is_only_a_shape() -> None:
    keyed = KeyedNoise(torch.tensor([1, 2, 3]))
    flat = keyed.normal((2, 3, 12), LIKE, 0)
    assert torch.equal(keyed.normal((2, 3, 3, 2, 2), LIKE, 0), flat.reshape(2, 3, 3, 2, 2))
    assert keyed.normal((2, 3), LIKE, 0).shape == (2, 3)
    single = keyed.normal((2, 3, 12), torch.zeros(()), 0)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, flat.float())


def test_keys_depend_on_content_alone() -> None:
    x = torch.randn(200, 3, 2)
    keys = row_keys(x)
    assert len(keys.unique()) == 200
    assert torch.equal(row_keys(x.flip(0)).flip(0), keys)
    assert torch.equal(row_keys(x.reshape(200, 6)), keys)
    assert torch.equal(row_keys(x.double()), keys)  # a float64 copy of the same row
    assert torch.equal(row_keys(x.transpose(1, 2).contiguous().transpose(1, 2)), keys)
    assert not torch.equal(row_keys(x, seed=1), keys)
    assert not torch.equal(row_keys(x.flip(1)), keys)


def test_equal_rows_have_equal_keys() -> None:
    zeros = torch.tensor([[0.0, 1.0], [-0.0, 1.0]])  # equal, in other bits
    assert row_keys(zeros).unique().numel() == 1
    bits = torch.tensor([[0, 1], [1, 0]])
    assert torch.equal(row_keys(bits.to(torch.uint8)), row_keys(bits.float()))


def test_sparse_binary_rows_do_not_collide() -> None:
    """Rows that differ in few bits, swapped coordinates included: the worst case for a sum."""
    rows = torch.eye(400)
    pairs = torch.triu_indices(60, 60, 1)
    double = torch.zeros(pairs.shape[1], 400)
    double[torch.arange(len(double)), pairs[0]] = 1
    double[torch.arange(len(double)), pairs[1]] = 1
    keys = row_keys(torch.cat([rows, double, torch.zeros(1, 400)]))
    assert len(keys.unique()) == len(keys)


def test_normals_are_finite_and_symmetric() -> None:
    values = noise(row_keys(torch.randn(1000, 2)), 10, 100).flatten()
    assert values.isfinite().all()
    assert abs(float(np.median(values.numpy()))) < 0.005
    assert 4 < values.max() < 7
    assert -7 < values.min() < -4


@pytest.mark.usefixtures("untouched_random_state")
def test_global_random_state_is_left_alone() -> None:
    noise(row_keys(torch.ones(3, 2)), 4, 5)


def test_keys_of_equal_rows_are_apart_whatever_the_parts() -> None:
    keys = torch.tensor([5, 7, 5, 5, 7])
    whole = Occurrences().apart(keys)
    assert len(set(whole.tolist())) == 5
    assert whole[:2].tolist() == [5, 7]  # rows without a double keep their key
    parts = Occurrences()
    torch.testing.assert_close(torch.cat([parts.apart(keys[:2]), parts.apart(keys[2:])]), whole)
    assert not set(Occurrences(first=5).apart(keys).tolist()) & set(whole.tolist())
