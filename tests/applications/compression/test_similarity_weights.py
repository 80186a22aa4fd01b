"""The weights of errors are those that MS-SSIM itself shows for small errors."""

from __future__ import annotations

import pytest
import torch

from lowerbound.applications.compression.step_map import energies, sensitivity, weights_of
from lowerbound.networks.block_transform import BlockTransform
from lowerbound.objectives.features import C1, C2, WEIGHTS, likeness
from tests.applications.compression.small_transform import tiles

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
