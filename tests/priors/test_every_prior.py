"""What holds for every registered prior, whichever it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.config import construct
from lowerbound.distributions.divergence import monte_carlo_kl
from lowerbound.distributions.keyed_noise import KeyedNoise
from lowerbound.distributions.point import density_of
from lowerbound.distributions.reparameterization import diagonal_normal, draw
from lowerbound.errors import OptionError
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import PRIORS, Prior, TemporalPrior
from tests.generator_noise import TorchNoise

EVENT = (3,)
FORMS: dict[str, list[dict[str, object]]] = {
    "mixture": [{"components": 4}],
    "vamp": [{"components": 4}],
    "diffusion": [{"width": 32, "depth": 1}],
    "flow": [
        {"kind": "autoregressive"},
        {"kind": "coupling"},
        {"kind": "autoregressive", "bins": 5, "transforms": 2},
    ],
}
CASES = [(name, options) for name in PRIORS for options in FORMS.get(name, [{}])]
EXACT = [(name, options) for name, options in CASES if PRIORS[name].density == "exact"]
every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=str)
every_exact_case = pytest.mark.parametrize(("name", "options"), EXACT, ids=str)


def encoder(
    latent_dim: int, dtype: torch.dtype = torch.float64
) -> Callable[[Tensor], Distribution]:
    """A fixed encoder with Gaussian posteriors, for the priors that ask one."""
    weight = torch.linspace(-1, 1, 2 * latent_dim * EVENT[0], dtype=dtype).sin()
    weight = weight.reshape(EVENT[0], 2 * latent_dim)
    posterior = GaussianPosterior(latent_dim)
    return lambda x: posterior(x @ weight - 0.5)


def trained(name: str, options: dict[str, object], latent_dim: int) -> Prior:
    """A prior in float64 that is far from where it started."""
    prior: Prior = construct(PRIORS[name], latent_dim, EVENT, options=options)
    prior = prior.double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
            parameter.add_(0.5 * noise / parameter.shape[-1] ** 0.5)
    return prior


def grid(latent_dim: int) -> tuple[Tensor, float]:
    """Points of (-14, 14)^d, (points, 1, d), and the volume that each stands for."""
    side = torch.linspace(-14, 14, 20_001 if latent_dim == 1 else 301, dtype=torch.float64)
    points = torch.cartesian_prod(*[side] * latent_dim).reshape(-1, 1, latent_dim)
    return points, float(side[1] - side[0]) ** latent_dim


@every_exact_case
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_density_integrates_to_one(name: str, options: dict[str, object], latent_dim: int) -> None:
    prior = trained(name, options, latent_dim)
    points, volume = grid(latent_dim)
    with torch.no_grad():
        distribution = prior(encoder(latent_dim))
        total = distribution.log_prob(points).exp().sum() * volume
    assert prior.density == density_of(distribution) == "exact"
    assert total.item() == pytest.approx(1.0, abs=1e-3)


@every_exact_case
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_draws_follow_the_density(name: str, options: dict[str, object], latent_dim: int) -> None:
    """Moments and entropy of the draws against quadrature of the density."""
    prior = trained(name, options, latent_dim)
    points, volume = grid(latent_dim)
    draws = 20_000
    with torch.no_grad():
        distribution = prior(encoder(latent_dim))
        log_density = distribution.log_prob(points)
        weight = log_density.exp() * volume
        z = draw(distribution, draws, TorchNoise(torch.Generator().manual_seed(0)))
        statistics: list[Callable[[Tensor], Tensor]] = [
            lambda z: z.sum(-1),
            lambda z: z.square().sum(-1),
            lambda z: torch.cos(z * torch.arange(1, latent_dim + 1)).prod(-1),
            distribution.log_prob,
        ]
        for statistic in statistics:
            exact = (weight * statistic(points)).sum()
            values = statistic(z)
            standard_error = values.std() / math.sqrt(draws)
            assert (values.mean() - exact).abs() < 5 * standard_error + 2e-3


@every_case
def test_shapes_and_gradients(name: str, options: dict[str, object]) -> None:
    prior: Prior = construct(PRIORS[name], 4, EVENT, options=options)
    distribution = prior(encoder(4, torch.float32))
    assert distribution.batch_shape == (1, 1)
    assert distribution.event_shape == (4,)
    z = torch.randn(5, 3, 4, requires_grad=True)
    log_prob = distribution.log_prob(z)
    assert log_prob.shape == (5, 3)
    assert log_prob.dtype == torch.float32
    log_prob.sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert (z.grad != 0).any()
    if isinstance(prior, TemporalPrior):  # its parameters are of the frames after the first
        prior.log_prob_of_clips(z.movedim(0, 1)).sum().backward()
    for parameter in prior.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert distribution.mean.shape == (1, 1, 4)


@every_case
def test_score_of_a_point_ignores_its_company(name: str, options: dict[str, object]) -> None:
    distribution = trained(name, options, 2)(encoder(2))
    z = torch.randn(2, 7, 2, dtype=torch.float64)
    together = distribution.log_prob(z)
    alone = torch.stack([distribution.log_prob(z[:, i : i + 1])[:, 0] for i in range(7)], 1)
    torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-12)


@every_case
def test_float32_is_close_to_float64(name: str, options: dict[str, object]) -> None:
    prior = trained(name, options, 3)
    z = torch.randn(50, 4, 3, dtype=torch.float64)
    exact = prior(encoder(3)).log_prob(z)
    single = prior.float()(encoder(3, torch.float32)).log_prob(z.float())
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)


@every_case
def test_half_precision_networks_leave_the_density_alone(
    name: str, options: dict[str, object]
) -> None:
    prior: Prior = construct(PRIORS[name], 3, EVENT, options=options)
    encode = encoder(3, torch.float32)
    z = torch.randn(5, 4, 3)
    outside = prior(encode).log_prob(z)
    fixed = prior(encode)  # what the encoder says is its own affair
    with torch.autocast("cpu", torch.bfloat16):
        inside = fixed.log_prob(z)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, outside, rtol=1e-6, atol=1e-6)


@every_case
def test_keyed_draws_are_the_same_in_chunks(name: str, options: dict[str, object]) -> None:
    distribution = trained(name, options, 2)(encoder(2))
    keys = torch.tensor([12345])
    whole = draw(distribution, 6, KeyedNoise(keys, seed=3))
    second = draw(distribution, 2, KeyedNoise(keys, seed=3, first_sample=4))
    torch.testing.assert_close(whole[4:], second, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("untouched_random_state")
@every_case
def test_local_generators_leave_the_global_one(name: str, options: dict[str, object]) -> None:
    with torch.random.fork_rng():
        prior = trained(name, options, 2)
    prior.initialize(torch.zeros(8, *EVENT))
    z = draw(prior(encoder(2)), 5, TorchNoise(torch.Generator().manual_seed(0)))
    assert z.shape == (5, 1, 2)


@every_case
def test_rate_against_the_prior_is_finite_for_far_draws(
    name: str, options: dict[str, object]
) -> None:
    prior: Prior = construct(PRIORS[name], 2, EVENT, options=options)
    posterior = diagonal_normal(torch.full((1, 3, 2), 50.0), torch.full((1, 3, 2), 1e-3))
    z = draw(posterior, 4)
    assert monte_carlo_kl(posterior, prior(encoder(2, torch.float32)), z).isfinite().all()


@every_exact_case
def test_compiles_into_one_graph(name: str, options: dict[str, object]) -> None:
    prior: Prior = construct(PRIORS[name], 3, EVENT, options=options)
    weight = torch.randn(EVENT[0], 6)
    posterior = GaussianPosterior(3)

    def log_prob(z: Tensor) -> Tensor:
        answer: Tensor = prior(lambda x: posterior(x @ weight)).log_prob(z)
        return answer

    z = torch.randn(2, 5, 3)
    torch.compiler.reset()
    compiled = torch.compile(log_prob, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(z), log_prob(z))


@every_case
def test_state_comes_back(name: str, options: dict[str, object]) -> None:
    prior = trained(name, options, 2)
    again: nn.Module = construct(PRIORS[name], 2, EVENT, options=options).double()
    again.load_state_dict(prior.state_dict())
    z = torch.randn(1, 5, 2, dtype=torch.float64)
    assert torch.equal(again(encoder(2)).log_prob(z), prior(encoder(2)).log_prob(z))


@pytest.mark.parametrize("name", PRIORS)
def test_unknown_option_is_named(name: str) -> None:
    with pytest.raises(OptionError, match="componets"):
        construct(PRIORS[name], 2, EVENT, options={"componets": 1})
