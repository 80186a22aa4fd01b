"""What holds for every registered posterior, whichever it is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lowerbound.config import construct
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import draw, frozen
from lowerbound.errors import OptionError
from lowerbound.posteriors import POSTERIORS, Posterior

FORMS: dict[str, list[dict[str, object]]] = {"flow": [{}, {"bins": 5, "context": 2}]}
CASES = [(name, options) for name in POSTERIORS for options in FORMS.get(name, [{}])]
every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=str)


def trained(name: str, options: dict[str, object], latent_dim: int) -> Posterior:
    """A posterior in float64 whose own parameters are far from where they started."""
    posterior: Posterior = construct(POSTERIORS[name], latent_dim, options=options).double()
    with torch.no_grad():
        for parameter in posterior.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    return posterior


def said(posterior: Posterior, rows: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers in the place of an encoder's."""
    return torch.randn(rows, posterior.numbers, dtype=dtype)


@every_case
def test_shapes(name: str, options: dict[str, object]) -> None:
    posterior: Posterior = construct(POSTERIORS[name], 4, options=options)
    distribution = posterior(said(posterior, 6, torch.float32))
    assert distribution.batch_shape == (1, 6)
    assert distribution.event_shape == (4,)
    assert distribution.has_rsample
    z = draw(distribution, 3)
    assert z.shape == (3, 6, 4)
    assert distribution.log_prob(z).shape == (3, 6)
    assert distribution.mean.shape == (1, 6, 4)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_wild_encoders_stay_finite(
    name: str, options: dict[str, object], dtype: torch.dtype
) -> None:
    posterior = trained(name, options, 3).to(dtype)
    signs = torch.sign(torch.randn(64, posterior.numbers, dtype=dtype))
    for size in (0.0, 1.0, 1e3, 1e30):
        parameters = (size * signs).requires_grad_()
        distribution = posterior(parameters)
        z = draw(distribution, 2)
        log_prob = distribution.log_prob(z)
        assert z.isfinite().all()
        assert log_prob.isfinite().all()
        (gradient,) = torch.autograd.grad(log_prob.sum(), parameters)
        assert gradient.isfinite().all()


@every_case
def test_density_integrates_to_one(name: str, options: dict[str, object]) -> None:
    posterior = trained(name, options, 2)
    side = torch.linspace(-20, 20, 301, dtype=torch.float64)
    points = torch.cartesian_prod(side, side).reshape(-1, 1, 2)
    with torch.no_grad():
        density = posterior(said(posterior, 2)).log_prob(points).exp()
    total = density.sum(0) * float(side[1] - side[0]) ** 2
    torch.testing.assert_close(total, torch.ones(2, dtype=torch.float64), rtol=0, atol=5e-3)


@every_case
def test_score_has_mean_zero(name: str, options: dict[str, object]) -> None:
    """E_q[d log q(z) / d parameters] = 0 at fixed z: draws and density are of one distribution."""
    posterior = trained(name, options, 2)
    draws = 20_000
    parameters = said(posterior, 1).expand(draws, -1).clone().requires_grad_()
    distribution = posterior(parameters)
    z = draw(distribution, 1).detach()
    (score,) = torch.autograd.grad(distribution.log_prob(z).sum(), parameters)
    standard_error = score.std(0) / math.sqrt(draws) + 1e-12
    assert (score.mean(0) / standard_error).abs().max() < 5


@every_case
def test_frozen_copy_gives_gradient_to_z_alone(name: str, options: dict[str, object]) -> None:
    posterior = trained(name, options, 3)
    parameters = said(posterior, 4).requires_grad_()
    distribution = posterior(parameters)
    z = draw(distribution, 2)
    leaf = z.detach().requires_grad_()
    fixed = frozen(distribution)
    torch.testing.assert_close(fixed.log_prob(leaf), distribution.log_prob(leaf))
    fixed.log_prob(leaf).sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad != 0).any()
    assert parameters.grad is None
    assert all(p.grad is None for p in posterior.parameters())


@every_case
def test_pathwise_gradient_is_the_finite_difference(name: str, options: dict[str, object]) -> None:
    posterior = trained(name, options, 2)
    start = said(posterior, 1)
    keys = row_keys(torch.ones(1, 3))

    def value(parameters: Tensor) -> Tensor:
        z = draw(posterior(parameters), 3, KeyedNoise(keys))
        return torch.sin(z).sum()

    leaf = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    for i in range(posterior.numbers):
        step = torch.zeros_like(start)
        step[0, i] = 1e-5
        difference = (value(start + step) - value(start - step)) / 2e-5
        torch.testing.assert_close(gradient[0, i], difference, rtol=1e-4, atol=1e-6)


@every_case
def test_rows_are_independent(name: str, options: dict[str, object]) -> None:
    posterior = trained(name, options, 3)
    parameters = said(posterior, 7)
    z = torch.randn(2, 7, 3, dtype=torch.float64)
    together = posterior(parameters).log_prob(z)
    backwards = posterior(parameters.flip(0)).log_prob(z.flip(1)).flip(1)
    alone = torch.cat(
        [posterior(parameters[i : i + 1]).log_prob(z[:, i : i + 1]) for i in range(7)], 1
    )
    torch.testing.assert_close(backwards, together, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(alone, together, rtol=1e-7, atol=1e-9)


@every_case
def test_half_precision_encoders(name: str, options: dict[str, object]) -> None:
    posterior: Posterior = construct(POSTERIORS[name], 3, options=options)
    parameters = said(posterior, 4, torch.float32).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        distribution = posterior(parameters)
        z = draw(distribution, 2)
        log_prob = distribution.log_prob(z)
    assert z.dtype == log_prob.dtype == torch.float32
    exact = posterior(parameters.float()).log_prob(z)
    torch.testing.assert_close(log_prob, exact, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@every_case
def test_compiles_into_one_graph(name: str, options: dict[str, object]) -> None:
    """What an update does with it: draw, score, and score with the parameters held fixed."""
    posterior: Posterior = construct(POSTERIORS[name], 3, options=options)

    def update(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        distribution = posterior(parameters)
        z = draw(distribution, 2)
        return z, distribution.log_prob(z), frozen(distribution).log_prob(z)

    parameters = said(posterior, 4, torch.float32)
    torch.compiler.reset()
    z, log_prob, frozen_log_prob = torch.compile(update, backend="eager", fullgraph=True)(
        parameters
    )
    expected = posterior(parameters).log_prob(z)
    torch.testing.assert_close(log_prob, expected)
    torch.testing.assert_close(frozen_log_prob, expected)


@pytest.mark.parametrize("name", POSTERIORS)
def test_unknown_option_is_named(name: str) -> None:
    with pytest.raises(OptionError, match="contxt"):
        construct(POSTERIORS[name], 2, options={"contxt": 1})
