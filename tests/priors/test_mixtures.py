"""The mixture and the VampPrior against the explicit mixtures that they stand for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from lowerbound.distributions.reparameterization import draw
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.posteriors import FlowPosterior, GaussianPosterior
from lowerbound.priors import GaussianMixture, MixturePrior, VampPrior

NDArray = np.ndarray[Any, Any]


def explicit(loc: Tensor, scale: Tensor, logits: Tensor) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(logits=logits), Independent(Normal(loc, scale), 1))


def some_mixture(
    components: int, dim: int, sharpness: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    loc, raw = torch.randn(2, components, dim, dtype=torch.float64, generator=generator)
    logits = torch.randn(components, dtype=torch.float64, generator=generator)
    return 2 * loc, (0.5 * raw).exp() / sharpness, logits


@pytest.mark.parametrize("sharpness", [1.0, 100.0, 1e4])
def test_matrix_form_is_torchs_mixture(sharpness: float) -> None:
    parts = some_mixture(30, 7, sharpness)
    z = torch.cat([torch.randn(2, 5, 7, dtype=torch.float64), parts[0][:10].reshape(2, 5, 7)], 1)
    ours, twin = GaussianMixture(*parts), explicit(*parts)
    torch.testing.assert_close(ours.log_prob(z), twin.log_prob(z), rtol=1e-10, atol=1e-6)
    torch.testing.assert_close(ours.mean[0, 0], twin.mean)
    torch.testing.assert_close(ours.variance[0, 0], twin.variance)


def test_sharp_components_keep_their_nats_in_float32() -> None:
    """The cancelling terms are taken in float64: in float32 they would be tenths of a nat off."""
    loc, scale, logits = (part.float() for part in some_mixture(50, 50, 100.0))
    z = (loc[:20] + scale[:20] * torch.randn(20, 50)).unsqueeze(0)
    exact = explicit(loc.double(), scale.double(), logits.double()).log_prob(z.double())
    ours = GaussianMixture(loc, scale, logits).log_prob(z)
    torch.testing.assert_close(ours.double(), exact, rtol=1e-6, atol=1e-4)
    precision = scale.square().reciprocal()
    naive = (z.square() @ precision.T - 2 * z @ (loc * precision).T).add(
        (loc.square() * precision).sum(1)
    )
    direct = ((z.unsqueeze(2) - loc) / scale).square().sum(-1)
    assert (naive - direct)[0].diagonal().abs().max() > 0.1


def test_gradients_are_torchs() -> None:
    parts = [part.requires_grad_() for part in some_mixture(4, 3)]
    z = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    inputs = [*parts, z]
    ours = torch.autograd.grad(GaussianMixture(*parts).log_prob(z).sum(), inputs)
    twin = torch.autograd.grad(explicit(*parts).log_prob(z).sum(), inputs)
    for ours_of, twins_of in zip(ours, twin, strict=True):
        torch.testing.assert_close(ours_of, twins_of)


def test_pushed_noise_is_an_exact_draw() -> None:
    """The first coordinate's noise serves twice, for the component and within it."""
    loc = torch.tensor([[-2.0, 1.0], [0.5, -1.0], [3.0, 0.0]], dtype=torch.float64)
    scale = torch.tensor([[0.3, 0.5], [1.0, 0.2], [0.1, 2.0]], dtype=torch.float64)
    logits = torch.tensor([0.5, -1.0, 0.0], dtype=torch.float64)
    z = GaussianMixture(loc, scale, logits).push(torch.randn(50_000, 1, 2, dtype=torch.float64))
    weights = torch.softmax(logits, 0)
    for axis in range(2):
        marginal = Normal(loc[:, axis], scale[:, axis])

        def distribution_function(values: NDArray, marginal: Normal = marginal) -> NDArray:
            return (marginal.cdf(torch.from_numpy(values).unsqueeze(-1)) @ weights).numpy()

        assert stats.kstest(z[:, 0, axis].numpy(), distribution_function).pvalue > 1e-3
    # the second coordinate is independent within a component, so the joint entropy fits too
    exact = explicit(loc, scale, logits)
    ours = exact.log_prob(z[:, 0])
    twin = exact.log_prob(exact.sample((50_000,)))
    assert (ours.mean() - twin.mean()).abs() < 5 * math.hypot(ours.std(), twin.std()) / 50_000**0.5


def test_draws_carry_no_gradient() -> None:
    distribution = MixturePrior(2, components=3)()
    assert not distribution.has_rsample
    assert not draw(distribution, 4).requires_grad


def test_mixture_starts_near_the_standard_normal() -> None:
    distribution = MixturePrior(3, components=20_000)()
    torch.testing.assert_close(distribution.mean, torch.zeros(1, 1, 3), rtol=0, atol=0.03)
    torch.testing.assert_close(distribution.variance, torch.ones(1, 1, 3), rtol=0, atol=0.03)


def encode(u: Tensor) -> Distribution:
    return GaussianPosterior(2)(torch.stack([u.sum((1, 2, 3)), u[:, 0, 0, 0]] * 2, 1))


def test_vamp_is_the_mixture_of_what_the_encoder_says() -> None:
    prior = VampPrior(2, (1, 2, 2), components=5).double()
    prior.initialize(torch.rand(9, 1, 2, 2, dtype=torch.float64))
    with torch.no_grad():
        prior.logits.copy_(torch.randn(5))
    z = torch.randn(4, 3, 2, dtype=torch.float64)
    log_weights = torch.log_softmax(prior.logits, 0)
    parts = [
        encode(u[None]).log_prob(z) + log_weight
        for u, log_weight in zip(prior.pseudo_inputs(), log_weights, strict=True)
    ]
    expected = torch.logsumexp(torch.stack(parts), 0)
    torch.testing.assert_close(prior(encode).log_prob(z), expected)


def test_vamp_learns_its_inputs_through_the_encoder() -> None:
    prior = VampPrior(2, (1, 2, 2), components=5)
    prior(encode).log_prob(torch.randn(1, 3, 2)).sum().backward()
    assert prior.inputs.grad is not None
    assert (prior.inputs.grad != 0).any()


def test_vamp_starts_at_training_rows() -> None:
    x = torch.arange(40.0).reshape(10, 4)
    prior = VampPrior(2, (4,), components=6)
    prior.initialize(x)
    nearest = torch.cdist(prior.inputs.detach(), x).min(1)
    assert (nearest.values < 0.1).all()
    assert len(nearest.indices.unique()) == 6
    many = VampPrior(2, (4,), components=25)
    many.initialize(x)  # more components than rows: the noise tells them apart
    assert len(many.inputs.detach().unique(dim=0)) == 25


@pytest.mark.parametrize(("shape", "bounded"), [((1, 2, 2), True), ((4,), False)])
def test_only_pictures_are_kept_in_their_range(shape: tuple[int, ...], bounded: bool) -> None:
    prior = VampPrior(2, shape, components=3)
    with torch.no_grad():
        prior.inputs.fill_(7.0)
    assert prior.pseudo_inputs().max().item() == (1.0 if bounded else 7.0)


def test_vamp_needs_gaussian_posteriors() -> None:
    prior = VampPrior(2, (5,), components=3)
    flow = FlowPosterior(2, context=1)
    with pytest.raises(UnsupportedError, match=r"Gaussian posteriors, not FlowDistribution"):
        prior(lambda u: flow(u))
    with pytest.raises(UnsupportedError, match="encoder"):
        prior(None)


def test_sizes_out_of_range() -> None:
    for build in (lambda: MixturePrior(2, components=0), lambda: VampPrior(2, (3,), components=0)):
        with pytest.raises(OptionError, match="components"):
            build()
    with pytest.raises(OptionError, match="shape"):
        VampPrior(2)
