"""Draws: their law, their gradients, where their noise comes from, and what is held fixed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Exponential,
    Independent,
    MultivariateNormal,
    Normal,
)

from lowerbound.distributions.keyed_noise import KeyedNoise
from lowerbound.distributions.normalizing_flow import FlowDistribution, NormalizingFlow
from lowerbound.distributions.reparameterization import (
    NoiseSource,
    base_normal,
    diagonal_normal,
    draw,
    frozen,
    seeded,
)
from lowerbound.errors import UnsupportedError
from lowerbound.posteriors import Point
from lowerbound.priors import GaussianMixture
from tests.generator_noise import TorchNoise

LOC = torch.tensor([[[1.0, -2.0], [0.0, 5.0], [3.0, 3.0]]], dtype=torch.float64)
SCALE = torch.tensor([[[0.5, 1.0], [2.0, 0.1], [1.0, 1.0]]], dtype=torch.float64)


def tril(rows: int = 3) -> Tensor:
    factor = torch.tensor([[1.0, 0.0], [0.8, 0.5]], dtype=torch.float64)
    return factor.expand(1, rows, 2, 2)


def flow() -> FlowDistribution:
    built = NormalizingFlow(2, 0, "coupling", transforms=2, hidden=8, bins=0).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return FlowDistribution(built, LOC, SCALE)


CONTINUOUS: dict[str, Distribution] = {
    "diagonal": diagonal_normal(LOC, SCALE),
    "multivariate": MultivariateNormal(LOC, scale_tril=tril()),
    "flow": flow(),
    "point": Point(LOC),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_shape_is_samples_rows_event(name: str) -> None:
    assert draw(CONTINUOUS[name], 5).shape == (5, 3, 2)


@pytest.mark.parametrize("name", ["diagonal", "multivariate"])
@pytest.mark.parametrize("keyed", [False, True])
def test_draws_have_the_moments(name: str, keyed: bool) -> None:
    distribution = CONTINUOUS[name]
    noise: NoiseSource | None = KeyedNoise(torch.tensor([3, 5, 7])) if keyed else None
    z = draw(distribution, 40_000, noise)
    assert ((z.mean(0) - distribution.mean[0]).abs() < 5 * distribution.stddev[0] / 200).all()
    torch.testing.assert_close(z.std(0), distribution.stddev[0], rtol=0.03, atol=0)
    if name == "multivariate":
        covariance = torch.cov(z[:, 0].T)
        torch.testing.assert_close(covariance, (tril(1) @ tril(1).mT)[0, 0], rtol=0, atol=0.03)


def test_gaussian_draw_is_loc_plus_scale_times_noise() -> None:
    """dz/dmu = 1 and dz/dsigma = eps, exactly, for every draw."""
    loc, scale = LOC.clone().requires_grad_(), SCALE.clone().requires_grad_()
    noise = TorchNoise(torch.Generator().manual_seed(1))
    z = draw(diagonal_normal(loc, scale), 4, noise)
    eps = TorchNoise(torch.Generator().manual_seed(1)).normal((4, 3, 2), LOC, 0)
    torch.testing.assert_close(z, loc + scale * eps)
    by_loc, by_scale = torch.autograd.grad(z.sum(), [loc, scale])
    torch.testing.assert_close(by_loc, torch.full_like(by_loc, 4.0))
    torch.testing.assert_close(by_scale, eps.sum(0, keepdim=True))


def test_earlier_samples_are_kept() -> None:
    """A latent below one that was drawn 6 times is drawn once for each of those."""
    below = diagonal_normal(torch.zeros(6, 3, 2), torch.ones(6, 3, 2))
    assert draw(below, 4).shape == (6, 3, 2)


def test_prior_draws_as_many_as_asked() -> None:
    prior = diagonal_normal(torch.zeros(1, 1, 2), torch.ones(1, 1, 2))
    assert draw(prior, 7).shape == (7, 1, 2)


def test_other_distributions_draw_by_their_own_means() -> None:
    exponential = Independent(Exponential(torch.ones(1, 3, 2, requires_grad=True)), 1)
    z = draw(exponential, 4)
    assert z.shape == (4, 3, 2)
    assert z.requires_grad
    codes = draw(Categorical(logits=torch.zeros(1, 3, 5)), 4)
    assert codes.shape == (4, 3)


def test_keyed_categories_follow_their_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2])
    codes = draw(
        Categorical(probabilities.expand(1, 2, 4)), 50_000, KeyedNoise(torch.tensor([1, 2]))
    )
    assert codes.dtype == torch.int64
    for row in range(2):
        shares = torch.bincount(codes[:, row], minlength=4) / 50_000
        torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.012)
        assert shares[1] == 0
    several = Independent(Categorical(probabilities.expand(1, 2, 3, 4)), 1)
    assert draw(several, 5, KeyedNoise(torch.tensor([1, 2]))).shape == (5, 2, 3)


def test_keyed_noise_says_what_it_cannot_drive() -> None:
    with pytest.raises(UnsupportedError, match="Exponential"):
        draw(
            Independent(Exponential(torch.ones(1, 3, 2)), 1), 4, KeyedNoise(torch.tensor([1, 2, 3]))
        )


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.usefixtures("untouched_random_state")
def test_own_generators_leave_the_global_state(name: str) -> None:
    first = draw(CONTINUOUS[name], 3, TorchNoise(torch.Generator().manual_seed(5)))
    second = draw(CONTINUOUS[name], 3, TorchNoise(torch.Generator().manual_seed(5)))
    assert torch.equal(first, second)


@pytest.mark.usefixtures("untouched_random_state")
def test_seeded_forks_the_global_state() -> None:
    with seeded(3):
        first = torch.randn(4)
    with seeded(3):
        assert torch.equal(torch.randn(4), first)
    with seeded(4):
        assert not torch.equal(torch.randn(4), first)


@pytest.mark.usefixtures("untouched_random_state")
def test_seeded_restores_after_an_error() -> None:
    def fails() -> None:
        with seeded(3):
            torch.randn(4)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()


def test_base_normal_looks_inside() -> None:
    normal = Normal(LOC, SCALE)
    assert base_normal(normal) is normal
    assert base_normal(Independent(Independent(normal, 1), 1)) is normal
    assert base_normal(MultivariateNormal(LOC, scale_tril=tril())) is None


@pytest.mark.parametrize(
    "build",
    [
        lambda loc, scale: diagonal_normal(loc, scale),
        lambda loc, scale: Normal(loc, scale),
        lambda loc, scale: MultivariateNormal(loc, scale_tril=torch.diag_embed(scale)),
        lambda loc, scale: FlowDistribution(flow().flow, loc, scale),
    ],
    ids=["diagonal", "normal", "multivariate", "flow"],
)
def test_frozen_moves_with_z_alone(build: object) -> None:
    loc, scale = LOC.clone().requires_grad_(), SCALE.clone().requires_grad_()
    moving = build(loc, scale)  # type: ignore[operator]
    fixed = frozen(moving)
    z = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(fixed.log_prob(z), moving.log_prob(z))
    fixed.log_prob(z).sum().backward()
    assert z.grad is not None
    assert (z.grad != 0).all()
    assert loc.grad is None
    assert scale.grad is None


def test_frozen_names_what_it_does_not_know() -> None:
    mixture = GaussianMixture(torch.zeros(3, 2), torch.ones(3, 2), torch.zeros(3))
    with pytest.raises(UnsupportedError, match="GaussianMixture"):
        frozen(mixture)


def test_draws_can_be_differentiated_per_example() -> None:
    """Per-sample gradients (differential privacy) follow a draw: no in-place or hidden state."""
    weight = torch.randn(2, 4, dtype=torch.float64)

    def loss(weight: Tensor, row: Tensor) -> Tensor:
        loc, scale = (row @ weight).reshape(1, 1, 4).chunk(2, -1)
        return draw(diagonal_normal(loc, scale.exp()), 1).square().sum()

    rows = torch.randn(5, 2, dtype=torch.float64)
    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="different")(
        weight, rows
    )
    assert per_example.shape == (5, 2, 4)
    assert per_example.isfinite().all()


@pytest.mark.slow
def test_draws_compile_into_one_graph() -> None:
    def value(loc: Tensor, scale: Tensor) -> Tensor:
        q = diagonal_normal(loc, scale)
        z = draw(q, 3)
        return (
            z.sum() + q.log_prob(z).sum() + frozen(q).log_prob(z).sum() + draw(Point(loc), 3).sum()
        )

    torch.compiler.reset()
    assert torch.compile(value, backend="eager", fullgraph=True)(LOC, SCALE).isfinite()
