from __future__ import annotations

import pytest
import torch
from scipy.fft import dctn

from lowerbound.distributions.reparameterization import seeded
from lowerbound.networks import restoration
from lowerbound.networks.restoration import Restoration, window_cosines


def built(channels=3, block=16, grain=0.0):
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


@pytest.mark.slow
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


def test_grain_is_the_same_for_every_row_and_every_time_and_left_out_in_training():
    network = built(grain=0.5).eval()
    picture = (50 * torch.randn(1, 3, 32, 32)).expand(2, -1, -1, -1)
    once, again = network(picture, *told(2)), network(picture, *told(2))
    assert torch.equal(once, again)
    assert torch.equal(once[0], once[1])
    torch.testing.assert_close(network.train()(picture, *told(2)), picture)
    assert not torch.allclose(once, picture)


def test_the_size_of_what_is_missing_is_learned():
    """White noise of 0.4 steps in pictures that are zero: h is 0.4, and the grain that is drawn
    in its place has its energy."""
    network = built(1, 8, grain=1.0)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([*network.grain.parameters()], 3e-2)
    picture = torch.zeros(4, 1, 32, 32)
    for _ in range(120):
        real = 4.0 * torch.randn(4, 1, 32, 32)
        loss = -network.missing(picture, *told(4), real).mean() / 1024
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        _, known = network._seen(network._framed(picture), *told(4))
        assert float(network._log_missing(known).exp()[:, :, 1:-1, 1:-1].mean()) == pytest.approx(
            0.4, rel=0.05
        )
        drawn = network.eval()(picture, *told(4))
    assert float(drawn[:, :, 8:-8, 8:-8].std()) == pytest.approx(4.0, rel=0.1)


def test_how_well_it_is_known_is_a_normal_density():
    network = built(1, 8, grain=1.0)
    picture, real = torch.zeros(2, 1, 16, 16), 5 * torch.randn(2, 1, 16, 16)
    found = network.missing(picture, *told(2), real)
    scale = torch.tensor(-1.5).exp()
    density = torch.distributions.Normal(0.0, scale).log_prob(
        network._windows(network._framed(real / 10.0))
    )
    constant = -0.5 * torch.log(torch.tensor(2 * torch.pi)) * density[0].numel()
    assert torch.allclose(found, density.flatten(1).sum(1) - constant, rtol=1e-4)


@pytest.mark.parametrize("grain", [0.0, 0.5])
@pytest.mark.parametrize("steps", ["one", "a map"])
def test_strips_of_a_picture_are_the_picture(monkeypatch, grain, steps):
    torch.manual_seed(0)
    network = built(grain=grain).eval()
    torch.nn.init.normal_(network.out.weight, 0.0, 0.1)
    picture = 50 * torch.randn(1, 3, 160, 48)
    step, log_step = told(1)
    if steps == "a map":
        step, log_step = 10 + torch.rand(1, 1, 10, 3), torch.randn(1, 1, 10, 3)
    whole = network(picture, step, log_step)
    assert not torch.allclose(whole, picture)
    for strip in (1, 3, 8):
        monkeypatch.setattr(restoration, "STRIP", strip)
        torch.testing.assert_close(network(picture, step, log_step), whole, rtol=0, atol=1e-3)


def test_cosines_are_orthonormal_and_scipys() -> None:
    flat = window_cosines(3, 8).flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(len(flat)), atol=1e-5)
    window = torch.randn(3, 8, 8)
    expected = torch.from_numpy(dctn(window.double().numpy(), norm="ortho")).float()
    assert torch.allclose(flat @ window.flatten(), expected.flatten(), atol=1e-5)
