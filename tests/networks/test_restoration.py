from __future__ import annotations

import pytest
import torch

from lowerbound.networks.restoration import Restoration
from lowerbound.reparameterization import seeded


def built(channels=3, block=16, grain=False):
    with seeded(0):
        return Restoration(channels, block, width=8, depth=1, grain=grain)


def told(rows, step=10.0):
    return torch.full((rows, 1, 1, 1), step), torch.zeros(rows, 1, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("block", [2, 4, 8, 16, 32])
def test_a_picture_stays_as_it_is_before_training(channels, block):
    picture = 50 * torch.randn(2, channels, 2 * block, 3 * block)
    assert torch.equal(built(channels, block)(picture, *told(2)), picture)


@pytest.mark.parametrize("block", [2, 4, 16])
def test_windows_add_up_to_the_picture(block):
    """With gains that undo the bound on large coefficients, what is taken is the picture's share:
    the windows are a tight frame of constant four."""
    network = built(block=block)
    torch.nn.init.zeros_(network.out.weight)
    picture = 1e-3 * torch.randn(1, 3, 2 * block, 2 * block)  # so small that f / (1 + |f| / 2) = f
    torch.nn.init.constant_(network.out.bias, 0.25)
    assert torch.allclose(network(picture, *told(1)), 0.75 * picture, atol=1e-6)


def test_what_is_taken_is_odd_in_the_picture():
    network = built()
    torch.nn.init.normal_(network.out.weight)
    picture = 50 * torch.randn(1, 3, 32, 32)
    assert torch.allclose(network(-picture, *told(1)), -network(picture, *told(1)), atol=1e-3)


def test_errors_are_taken_out_where_gains_are_learned():
    """Against noise on smooth pictures: most of its energy goes within a few updates."""
    network = built(1, 8)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    torch.manual_seed(0)
    left = 0.0
    for _ in range(150):
        clean = 40 * torch.randn(4, 1, 1, 1) * torch.linspace(-1, 1, 32)
        clean = clean.expand(4, 1, 32, 32)
        noisy = clean + 5 * torch.randn(4, 1, 32, 32)
        loss = (network(noisy, *told(4)) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        left = float(loss.detach())
    assert left < 0.3 * 25.0


def test_grain_is_the_same_for_every_row_and_every_time_outside_training():
    network = built(grain=True).eval()
    torch.nn.init.constant_(network.grain.bias, 0.5)
    picture = (50 * torch.randn(1, 3, 32, 32)).expand(2, -1, -1, -1)
    once, again = network(picture, *told(2)), network(picture, *told(2))
    assert torch.equal(once, again)
    assert torch.equal(once[0], once[1])
    network.train()
    assert not torch.equal(network(picture, *told(2)), network(picture, *told(2)))
