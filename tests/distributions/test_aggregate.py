"""Pairs of draws and posteriors, and the information between row and code, against formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from lowerbound.distributions.gaussian_mixture import mutual_information, pairwise_log_prob
from lowerbound.distributions.reparameterization import diagonal_normal


def normal(rows: int, dim: int, deviation: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return deviation * torch.randn(rows, dim, generator=generator, dtype=torch.float64)


def test_pairs_of_draws_and_components() -> None:
    loc, scale = normal(5, 3, 2.0), normal(5, 3, 1.0, 1).abs() + 0.1
    z = normal(7, 3, 1.5, 2)
    diagonal = diagonal_normal(loc.unsqueeze(0), scale.unsqueeze(0))
    slow = Independent(Normal(loc, scale), 1).log_prob(z.unsqueeze(1))
    assert torch.allclose(pairwise_log_prob(diagonal, z), slow, rtol=1e-10)
    factors = (normal(15, 3, 1.0, 3).view(5, 3, 3)).tril(-1) + torch.diag_embed(scale)
    full = MultivariateNormal(loc.unsqueeze(0), scale_tril=factors.unsqueeze(0))
    expected = full.log_prob(z.unsqueeze(1))
    assert torch.allclose(pairwise_log_prob(full, z), expected, rtol=1e-10)


def test_maps_of_latents_are_pairs_of_their_numbers() -> None:
    loc, scale = normal(5, 6, 2.0).view(1, 5, 3, 2), normal(5, 6, 1.0, 1).abs().view(1, 5, 3, 2)
    z = normal(4, 6, 1.5, 2)
    maps = Independent(Normal(loc, scale), 2)
    flat = diagonal_normal(loc.flatten(2), scale.flatten(2))
    expected = pairwise_log_prob(flat, z)
    torch.testing.assert_close(pairwise_log_prob(maps, z.view(4, 3, 2)), expected)


def test_far_and_narrow_components_keep_their_digits() -> None:
    loc = 1e3 + normal(20, 2, 1.0)
    posterior = diagonal_normal(loc.unsqueeze(0), torch.full((1, 20, 2), 1e-3).double())
    exact = Independent(Normal(loc, 1e-3), 1).log_prob(loc.unsqueeze(1))
    factors = 1e-3 * torch.eye(2).double().expand(1, 20, 2, 2)
    for each in (posterior, MultivariateNormal(loc.unsqueeze(0), scale_tril=factors)):
        found = pairwise_log_prob(each, loc)
        assert float(((found - exact).abs() / exact.abs().clamp_min(1)).max()) < 1e-6


@pytest.mark.parametrize(("dim", "noise"), [(1, 1.0), (1, 0.3), (2, 0.5), (3, 0.7)])
def test_information_is_that_of_a_gaussian_channel(dim: int, noise: float) -> None:
    """z = x + noise has I = d / 2 log(1 + 1 / noise^2); the estimate is at most a little below."""
    exact = dim / 2 * math.log(1 + 1 / noise**2)
    found = [estimate(256, dim, noise, seed) for seed in range(40)]
    mean = sum(found) / 40
    error = float(torch.tensor(found).std()) / 40**0.5
    assert mean < exact + 3 * error
    assert mean > exact - 0.1 - 3 * error


def test_information_is_never_above_its_limits() -> None:
    """Of a narrow posterior it is log B; of one that ignores its row it is 0."""
    assert estimate(64, 2, 1e-4) == pytest.approx(math.log(64), abs=1e-6)
    zeros = torch.zeros(1, 64, 2, dtype=torch.float64)
    assert mutual_information(
        diagonal_normal(zeros, zeros + 1), normal(64, 2, 1.0)
    ) == pytest.approx(0.0, abs=1e-12)


def test_draws_of_some_rows_are_enough() -> None:
    """Draws of the first rows, with all rows in the mixture."""
    loc = normal(300, 2, 1.0)
    posterior = diagonal_normal(loc.unsqueeze(0), torch.full((1, 300, 2), 0.5).double())
    z = loc + normal(300, 2, 0.5, 1)
    each = Independent(Normal(loc, 0.5), 1).log_prob(z[:100].unsqueeze(1))
    expected = (each.diagonal() - each.logsumexp(1) + math.log(300)).mean()
    assert mutual_information(posterior, z[:100]) == pytest.approx(float(expected))


def estimate(rows: int, dim: int, noise: float, seed: int = 0) -> float:
    loc = normal(rows, dim, 1.0, 2 * seed)
    scale = torch.full((1, rows, dim), noise, dtype=torch.float64)
    z = loc + normal(rows, dim, noise, 2 * seed + 1)
    return mutual_information(diagonal_normal(loc.unsqueeze(0), scale), z)
