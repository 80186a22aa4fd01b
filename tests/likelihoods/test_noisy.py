"""p(y | z) of noisy rows against numerical integrals over x, and the means and draws of x."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods import (
    BernoulliEmission,
    DiscretizedLogisticEmission,
    GaussianEmission,
    LaplaceEmission,
)
from lowerbound.likelihoods.noisy import NoiseModel, noisy
from lowerbound.trace import Emission

TAU = 0.3
LOC = torch.linspace(-0.4, 1.3, 10, dtype=torch.float64).reshape(2, 1, 5)
Y = torch.tensor([[-0.5, 0.1, 0.5, 0.9, 2.0]], dtype=torch.float64)
GRID = torch.linspace(-8, 9, 40_001, dtype=torch.float64)


def emissions() -> dict[str, tuple[Emission, Tensor]]:
    """Emissions, and the values of x that are summed over with their weights' measure."""
    scale = torch.tensor([0.2, 0.5, 0.1, 0.7, 0.3], dtype=torch.float64)
    return {
        "gaussian": (GaussianEmission(LOC, scale), GRID),
        "bernoulli": (BernoulliEmission(3 * LOC), torch.tensor([0.0, 1.0]).double()),
        "levels": (
            DiscretizedLogisticEmission(LOC, 0.2 * scale, 17),
            torch.arange(17).double() / 16,
        ),
    }


def brute_force(emission: Emission, values: Tensor, noise: NoiseModel) -> tuple[Tensor, Tensor]:
    """(log p(y | z), E[x | y, z]) of each cell, by summing over the values of x."""
    width = float(GRID[1] - GRID[0]) if len(values) == len(GRID) else 1.0
    total, first = torch.zeros(2, 1, 5).double(), torch.zeros(2, 1, 5).double()
    prior_mean = torch.zeros_like(first)
    for part in values.split(1000):
        x = part.reshape(-1, 1, 1).expand(-1, 1, 5)
        p = torch.stack([emission.terms(one[None]).exp() for one in x]).squeeze(1) * width
        p = p.reshape(len(part), 2, 1, 5)
        each = part.reshape(-1, 1, 1, 1)
        clear = Normal(each, noise.scale).log_prob(Y).exp()
        given = (1 - noise.outliers) * clear + noise.outliers / noise.span
        total += (p * given).sum(0)
        first += (p * given * each).sum(0)
        prior_mean += (p * each).sum(0)
    return total.log(), first / total


@pytest.mark.parametrize("outliers", [0.0, 0.2])
@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "levels"])
def test_densities_and_means_are_integrals_over_x(name: str, outliers: float) -> None:
    emission, values = emissions()[name]
    noise = NoiseModel(torch.tensor(TAU, dtype=torch.float64), outliers, span=2.5)
    found = noisy(emission, noise)
    log_density, mean = brute_force(emission, values, noise)
    torch.testing.assert_close(found.terms(Y), log_density, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.restored(Y), mean, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("outliers", [0.0, 0.2])
@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "levels"])
def test_draws_have_that_mean(name: str, outliers: float) -> None:
    torch.manual_seed(0)
    emission, _ = emissions()[name]
    found = noisy(emission, NoiseModel(torch.tensor(TAU, dtype=torch.float64), outliers))
    draws = torch.stack([found.restored_draw(Y) for _ in range(4000)])
    error = (draws.mean(0) - found.restored(Y)).abs()
    assert bool((error < 5 * draws.std(0) / math.sqrt(4000) + 5 / 4000).all())


@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "levels"])
def test_mean_and_variance_are_those_of_the_density(name: str) -> None:
    emission, _ = emissions()[name]
    found = noisy(emission, NoiseModel(torch.tensor(TAU, dtype=torch.float64)))
    grid = torch.linspace(-8, 9, 2_001, dtype=torch.float64)
    y = grid.reshape(-1, 1, 1, 1)
    density = torch.stack([found.terms(one.expand(1, 5)) for one in grid]).exp()
    mean = torch.trapezoid(y * density, grid, dim=0)
    variance = torch.trapezoid((y - mean).square() * density, grid, dim=0)
    torch.testing.assert_close(found.mean, mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.variance, variance, rtol=0, atol=1e-5)


def test_hidden_cells_say_nothing() -> None:
    emission, _ = emissions()["gaussian"]
    found = noisy(emission, NoiseModel(torch.tensor(TAU, dtype=torch.float64), 0.1))
    observed = torch.tensor([[True, False, True, True, False]])
    y = torch.where(observed, Y, math.nan)
    terms = found.terms(y, observed)
    assert bool((terms[..., ~observed[0]] == 0).all())
    restored = found.restored(torch.where(observed, Y, 0.0), observed)
    torch.testing.assert_close(restored[..., ~observed[0]], emission.mean[..., ~observed[0]])


def test_an_outlier_leaves_the_mean_where_it_is() -> None:
    emission, _ = emissions()["gaussian"]
    noise = NoiseModel(torch.tensor(TAU, dtype=torch.float64), 0.05, span=100.0)
    far = torch.full_like(Y, 40.0)
    torch.testing.assert_close(noisy(emission, noise).restored(far), emission.mean)


def test_rows_with_outliers_have_no_variance_and_no_draws() -> None:
    """They would be those of rows without outliers, and so not those of the density."""
    emission, _ = emissions()["gaussian"]
    found = noisy(emission, NoiseModel(torch.tensor(TAU, dtype=torch.float64), 0.1))
    for use in (lambda: found.variance, found.sample):
        with pytest.raises(UnsupportedError, match="rows with outliers have no variance"):
            use()


def test_other_likelihoods_are_refused() -> None:
    emission = LaplaceEmission(LOC, torch.tensor(1.0, dtype=torch.float64))
    with pytest.raises(
        UnsupportedError, match="Laplace does not support noisy rows; fit the model again"
    ):
        noisy(emission, NoiseModel(torch.tensor(1.0)))


def test_a_coarser_sum_is_nearly_the_same() -> None:
    clean = DiscretizedLogisticEmission(LOC, torch.tensor(0.05, dtype=torch.float64), 256)
    tau = torch.tensor(0.2, dtype=torch.float64)
    exact, coarse = noisy(clean, NoiseModel(tau)), noisy(clean, NoiseModel(tau, exact=False))
    assert coarse.noise.levels == 21
    y = Y.clamp(-0.2, 1.2)  # farther out both are next to impossible
    torch.testing.assert_close(coarse.terms(y), exact.terms(y), atol=0.05, rtol=0)


def test_no_noise_gives_the_rows_back() -> None:
    nothing = NoiseModel(torch.tensor(0.0, dtype=torch.float64))
    gaussian = GaussianEmission(LOC, torch.tensor(0.5, dtype=torch.float64))
    assert noisy(gaussian, nothing).restored(Y).equal(Y.expand(2, 1, 5))
    levels = DiscretizedLogisticEmission(LOC, torch.tensor(0.2, dtype=torch.float64), 17)
    y = torch.tensor([[0, 3, 8, 15, 16]], dtype=torch.float64) / 16
    assert noisy(levels, nothing).restored(y).equal(y.expand(2, 1, 5))
