"""A diffusion prior with the best denoiser there is: draws and bound against the exact Gaussian."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowerbound.distributions.point import density_of
from lowerbound.priors.diffusion.prior import DiffusionPrior
from tests.priors.diffusion.gaussian import (
    ExactDenoiser,
    covariance_of,
    draws,
    exact_prior,
    log_density,
)

DIM = 4
COVARIANCE = covariance_of(DIM)


def drawn_covariance(prior: DiffusionPrior) -> Tensor:
    """Of draws, exactly: with an exact denoiser the map from noise to z is affine."""
    with torch.no_grad():
        pushed = prior().push(torch.cat([torch.zeros(1, DIM), torch.eye(DIM)]).unsqueeze(0))[0]
    root = (pushed[1:] - pushed[0]).double()
    return root.T @ root


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize(
    ("sampler", "steps", "within"),
    [("dpm_solver", 20, 0.03), ("dpm_solver", 60, 0.005), ("ddim", 300, 0.02)],
)
def test_draws_have_the_exact_covariance(schedule, prediction, sampler, steps, within):
    prior = exact_prior(
        COVARIANCE, schedule=schedule, prediction=prediction, sampler=sampler, steps=steps
    )
    error = drawn_covariance(prior) - COVARIANCE
    scale = COVARIANCE.diagonal().sqrt()
    assert (error / scale / scale.unsqueeze(1)).abs().max() < within


def test_draws_have_the_mean_of_the_latents():
    prior = exact_prior(COVARIANCE, mean=5.0)
    center = prior().push(torch.zeros(1, 1, DIM))
    torch.testing.assert_close(center, torch.full((1, 1, DIM), 5.0))


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_bound_approaches_the_exact_density(schedule, prediction):
    z = draws(COVARIANCE, 3000, mean=2.0)
    exact = log_density(COVARIANCE, z, 2.0)
    gaps = []
    for timesteps in (100, 1000):
        prior = exact_prior(
            COVARIANCE, 2.0, schedule=schedule, prediction=prediction, timesteps=timesteps
        )
        with torch.no_grad():
            bound = prior().log_prob(z.unsqueeze(0))[0].double()
        gap = (exact - bound) / DIM
        assert gap.mean() > -4 * gap.std() / len(z) ** 0.5
        gaps.append(float(gap.mean()))
    assert gaps[1] < gaps[0]
    assert gaps[1] < 0.02


@pytest.mark.slow
def test_the_bound_is_exact_for_independent_numbers():
    """The network that is zero is the best one of N(m, diag s^2), and no step loses anything."""
    prior = DiffusionPrior(3, schedule="cosine")
    prior.start_from_latents(torch.randn(2000, 3) * torch.tensor([0.1, 1.0, 30.0]) + 4)
    normal = torch.distributions.Normal(prior.loc.double(), prior.scale.double())
    z = normal.sample((4000,))
    with torch.no_grad():
        bound = prior().log_prob(z.float().unsqueeze(0))[0].double()
    gap = normal.log_prob(z).sum(1) - bound
    assert abs(gap.mean()) < 4 * gap.std() / len(z) ** 0.5 + 1e-3
    assert gap.std() < 0.5


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_one_time_of_each_row_estimates_the_same_bound(prediction):
    prior = exact_prior(COVARIANCE, prediction=prediction)
    z = draws(COVARIANCE, 20_000)
    with torch.no_grad():
        bound = prior().log_prob(z.unsqueeze(0))[0].double()
        for training in (True, False):
            terms = prior.train(training).terms(z)
            error = terms.log_prob.double() - bound
            assert abs(error.mean()) < 5 * error.std() / len(z) ** 0.5


def test_the_bound_of_a_row_depends_on_the_row_alone():
    prior = exact_prior(COVARIANCE)
    z = draws(COVARIANCE, 200).reshape(4, 50, DIM)
    together = prior().log_prob(z)
    order = torch.randperm(50)
    torch.testing.assert_close(prior().log_prob(z[:, order]), together[:, order])
    assert torch.equal(prior().log_prob(z), together)
    prior.denoiser.activations = 2**19  # 32 rows of a pass
    torch.testing.assert_close(prior().log_prob(z), together)
    assert density_of(prior()) == density_of(prior.given(None)) == "bound"


def test_the_same_noise_becomes_the_same_draw_in_chunks():
    prior = exact_prior(COVARIANCE)
    noise = torch.randn(3, 40, DIM)
    whole = prior().push(noise)
    assert torch.equal(prior().push(noise), whole)
    prior.denoiser.activations = 2**20
    torch.testing.assert_close(prior().push(noise), whole)


def prompted(guidance: float = 1.0) -> DiffusionPrior:
    prior = DiffusionPrior(2, fields={"side": ["left", "right"]}, guidance=guidance)
    means = torch.tensor([[0.0, 0.0], [-2.0, 1.0], [2.0, 3.0]])
    prior.denoiser = ExactDenoiser(prior, 0.5 * torch.eye(2), means)
    return prior.eval()


def test_guidance_between_the_conditional_and_the_unconditional_model():
    noise = torch.randn(5, 2, 2)
    prompt = torch.tensor([[0], [1]])
    conditional = prompted(1.0).given(prompt).push(noise)
    plain = prompted(1.0).given(torch.full((2, 1), -1)).push(noise)
    assert torch.equal(prompted(0.0).given(prompt).push(noise), plain)
    assert torch.equal(prompted(1.0).given(None).push(noise), plain)
    assert not torch.allclose(conditional, plain)
    means = conditional.mean(0) - plain.mean(0)
    torch.testing.assert_close(means, torch.tensor([[-2.0, 1.0], [2.0, 3.0]]), rtol=0.02, atol=0)
    twice = prompted(2.0).given(prompt).push(noise)
    torch.testing.assert_close(twice - plain, 2 * (conditional - plain), rtol=1e-3, atol=1e-3)


def test_the_density_is_that_of_the_prompt_whatever_the_guidance():
    prompt = torch.tensor([[0], [1]])
    z = torch.tensor([[-2.0, 1.0], [-2.0, 1.0]]).unsqueeze(0)
    weak, strong = prompted(), prompted(3.0)
    weak.bound_times = strong.bound_times = 512
    bounds = weak.given(prompt).log_prob(z)
    assert torch.equal(strong.given(prompt).log_prob(z), bounds)
    exact = torch.distributions.Normal(torch.tensor([-2.0, 1.0]), 0.5**0.5).log_prob(z).sum(-1)
    assert abs(bounds[0, 0] - exact[0, 0]) < 0.5
    assert bounds[0, 0] - bounds[0, 1] > 10
