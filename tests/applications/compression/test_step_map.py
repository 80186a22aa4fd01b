"""Maps of steps: they come back, cost little if smooth, and follow the weights of MS-SSIM."""

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
    energies,
    levels_of,
    put_map,
    sensitivity,
    take_map,
    weights_of,
)
from lowerbound.errors import BitstreamError
from lowerbound.networks.block_transform import BlockTransform
from lowerbound.objectives.features import C1, C2, WEIGHTS, likeness
from tests.applications.compression.small_transform import tiles

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


BLOCK, BLOCKS = 16, 24  # so many that every window over the block in the middle fits
SIDE = BLOCK * BLOCKS


@pytest.fixture(scope="module")
def transform() -> BlockTransform:
    transform = BlockTransform(3, BLOCK, 768)
    transform.start_from(tiles().all().filled * 255 - 128)
    return transform


def losses(
    transform: BlockTransform, x: torch.Tensor, row: int, column: int, coefficients: list[int]
) -> list[float]:
    """What an error of 2 grey values in each coefficient of a block costs in MS-SSIM."""
    found = []
    for coefficient in coefficients:
        y = x.clone()
        part = y[:, :, row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        part += 2.0 * transform.basis[coefficient].double()
        found.append(1 - float(likeness(x, y)))
    return found


@pytest.mark.slow
def test_coefficients_cost_what_their_energies_say(transform: BlockTransform) -> None:
    """On a flat picture each scale loses the local variance of the error over C_2."""
    x = torch.full((1, 3, SIDE, SIDE), 128.0, dtype=torch.float64)
    some = [0, 1, 5, 20, 100, 400]
    energy = energies(transform)[some].double().sum(-1)
    said = torch.zeros(len(some), dtype=torch.float64)
    for scale, weight in enumerate(WEIGHTS):
        places = (SIDE // 2**scale - 10) ** 2  # at which the window fits
        said += weight * energy[:, scale] / (4**scale * places * C2)
    said += WEIGHTS[-1] * energy[:, -1] / (4**scale * places * (2 * 128**2 + C1))
    said *= 2.0**2 / 3  # the size of the error; the mean over colors
    real = torch.tensor(losses(transform, x, 12, 12, some), dtype=torch.float64)
    torch.testing.assert_close(real, said, rtol=0.05, atol=0)


@pytest.mark.long
def test_blocks_cost_what_their_weights_say(transform: BlockTransform) -> None:
    """An error in flat ground costs more than in strong texture, by about the said factor."""
    texture = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    x = 128.0 + 3.0 * texture.double()
    x[..., SIDE // 2 :] = 128.0 + 25.0 * texture.double()[..., SIDE // 2 :]
    weights = weights_of(energies(transform), sensitivity(x.float(), (BLOCKS, BLOCKS)))
    said = float((weights.of_blocks[0, 0, 12, 5] - weights.of_blocks[0, 0, 12, 18]).exp())
    some = list(range(0, 768, 48))
    flat, busy = (sum(losses(transform, x, 12, column, some)) for column in (5, 18))
    assert flat / busy > 2
    assert said == pytest.approx(flat / busy, rel=0.7)
