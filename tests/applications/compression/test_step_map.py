"""Maps of steps: they come back, cost little if they are smooth, and damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.applications.compression.stack import constriction
from lowerbound.applications.compression.step_map import (
    CONTEXTS,
    ENTRIES,
    MIDDLE,
    _walk,
    levels_of,
    put_map,
    take_map,
)
from lowerbound.errors import BitstreamError

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")


def written(entries: np.ndarray) -> np.ndarray:
    coder = constriction().stream.queue.RangeEncoder()
    put_map(coder, entries)
    words: np.ndarray = coder.get_compressed()
    return words


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (13, 17)])
def test_maps_come_back(shape: tuple[int, int]) -> None:
    entries = np.random.default_rng(0).integers(0, ENTRIES, shape).astype("<i4")
    coder = constriction().stream.queue.RangeDecoder(written(entries))
    assert np.array_equal(take_map(coder, *shape), entries)


def test_an_even_map_takes_few_bits() -> None:
    even = np.full((64, 64), MIDDLE, "<i4")
    noisy = np.random.default_rng(0).integers(0, ENTRIES, (64, 64)).astype("<i4")
    assert 32 * len(written(even)) < 200
    assert 32 * len(written(noisy)) == pytest.approx(64 * 64 * np.log2(ENTRIES), rel=0.25)


def test_entries_out_of_range_are_refused() -> None:
    refused = 0
    for seed in range(20):
        words = np.random.default_rng(seed).integers(0, 2**32, 400, dtype=np.uint32)
        try:
            take_map(constriction().stream.queue.RangeDecoder(words), 8, 8)
        except BitstreamError:
            refused += 1
    assert refused > 10


def test_levels_stay_within_their_range() -> None:
    entries = torch.tensor([[0, MIDDLE, ENTRIES - 1]])
    assert levels_of(entries, 56, 12).tolist() == [[8, 56, 104]]
    assert levels_of(entries, 10, 12).tolist() == [[0, 10, 58]]
    assert levels_of(entries, 100, 12).tolist() == [[52, 100, 112]]


def test_a_block_is_predicted_by_its_neighbors_to_the_left_and_above() -> None:
    entries = np.random.default_rng(1).integers(0, ENTRIES, (5, 7))
    seen = {}

    def code(context: int, predicted: int, row: int, column: int) -> int:
        seen[row, column] = context, predicted
        return int(entries[row, column])

    assert np.array_equal(_walk(entries.shape, code), entries)
    for (row, column), (context, predicted) in seen.items():
        left = [int(entries[row, column - 1])] * (column > 0)
        known = left + [int(entries[row - 1, column])] * (row > 0) or [MIDDLE]
        assert predicted == sum(known) // len(known)
        assert context == min(max(known) - min(known), CONTEXTS - 1)
