"""A Gaussian on a grid: sums to one, near its Gaussian, and popped as it was pushed."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch

from lowerbound.applications.compression.grid_normal import (
    ANYWHERE,
    BINS,
    PER_DEVIATION,
    POINTS,
    REACH,
    UNIT_WIDTH,
    Ambiguous,
    GridNormal,
    Order,
    bell,
    table,
)
from lowerbound.applications.compression.stack import PRECISION, Stack, seed_words
from lowerbound.distributions.reparameterization import seeded

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")


def grid_normal(rows: int = 3, latents: int = 50, coded: bool = False) -> GridNormal:
    with seeded(0):
        m = torch.randint(-8000, 8000, (1, rows, latents))
        width = torch.randint(2, 900, (1, rows, latents))
        return GridNormal(m, width, torch.arange(latents) % 3 > 0 if coded else None)


def test_the_table_is_whole_and_symmetric() -> None:
    counts = bell()
    assert counts.sum() == 1 << PRECISION
    assert counts.min() >= 1
    np.testing.assert_array_equal(counts[: BINS // 2], counts[BINS // 2 : BINS][::-1])


def test_the_table_is_what_files_were_written_with() -> None:
    """No file holds it: whatever library computes erf must come to the same whole numbers."""
    assert zlib.crc32(bell().astype("<u4").tobytes()) == 0x523CBD9F


def test_masses_sum_to_one() -> None:
    width, m = 2, 37
    found = GridNormal(torch.tensor([[[m]]]), torch.tensor([[[width]]]))
    k = torch.arange(m - BINS // 2 * width, m + BINS // 2 * width)
    inside = torch.exp(found.log_prob((k / POINTS).view(-1, 1, 1))).sum()
    far = torch.exp(found.log_prob(torch.tensor([[[REACH // 2 / POINTS]]])))
    total = inside + far * width * (2 * REACH // width + 1)
    assert total.item() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("width", [UNIT_WIDTH, 31])
def test_near_the_gaussian_it_stands_for(width: int) -> None:
    sigma = width * PER_DEVIATION / POINTS
    gaussian = torch.distributions.Normal(0.5, sigma)
    found = GridNormal(torch.tensor([[[POINTS // 2]]]), torch.tensor([[[width]]]))
    k = torch.arange(-5 * PER_DEVIATION * width, 5 * PER_DEVIATION * width) + POINTS // 2
    log_q = found.log_prob((k / POINTS).view(-1, 1, 1)).flatten()
    log_p = gaussian.log_prob((k.double() + 0.5) / POINTS) - math.log(POINTS)
    kl = (torch.exp(log_q) * (log_q - log_p)).sum()
    assert 0 <= kl < 5e-4


def test_noise_is_pushed_to_its_quantiles() -> None:
    found = GridNormal(torch.zeros(1, 1, 1).long(), torch.full((1, 1, 1), UNIT_WIDTH))
    noise = torch.linspace(-4, 4, 999).view(-1, 1, 1)
    torch.testing.assert_close(found.push(noise), noise, atol=0.5 / PER_DEVIATION, rtol=0)


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("order", ["coarse first", "fine first"])
def test_popped_as_pushed(order: Order, coded: bool) -> None:
    found = grid_normal(coded=coded)
    z = found.push(torch.randn(1, 3, 50, generator=torch.Generator().manual_seed(1)))
    z[0, 0, 1] = 300.0  # beyond the bell
    z[0, 2, 49] = -REACH / POINTS
    if coded:
        z = torch.where(torch.arange(50) % 3 > 0, z, found.mean)
    stack = Stack(seed_words(40))
    before = stack.words()
    found.encode(stack, z, order)
    spent = stack.bits - 40 * 32
    assert spent == pytest.approx(-float(found.log_prob(z).sum()) / math.log(2), abs=64)
    assert torch.equal(found.decode(stack, order), z)
    np.testing.assert_array_equal(stack.words(), before)


def test_pushing_back_restores_the_stack() -> None:
    """As bits-back needs: what was popped from noise goes back to the same noise."""
    stack = Stack(seed_words(200))
    found = grid_normal()
    z = found.decode(stack, "coarse first")
    found.encode(stack, z, "coarse first")
    np.testing.assert_array_equal(stack.words(), seed_words(200))


def test_a_point_of_a_bin_that_is_popped_as_one_beyond_is_refused() -> None:
    """``encode`` would push other bits than were popped."""
    found = GridNormal(torch.zeros(1, 1, 1).long(), torch.full((1, 1, 1), UNIT_WIDTH))
    for unit, ambiguous in ((3, True), (-8, True), (8, False), (-9, False)):
        stack = Stack(seed_words(40))
        block = REACH // UNIT_WIDTH + unit * PER_DEVIATION
        stack.push_uniform(np.array([7]), np.array([UNIT_WIDTH]))
        stack.push_uniform(np.array([block]), np.array([2 * REACH // UNIT_WIDTH + 1]))
        stack.push_table(np.array([ANYWHERE]), table())
        before = stack.words()
        if ambiguous:
            with pytest.raises(Ambiguous):
                found.decode(stack, "coarse first")
        else:
            found.encode(stack, found.decode(stack, "coarse first"), "coarse first")
            np.testing.assert_array_equal(stack.words(), before)
