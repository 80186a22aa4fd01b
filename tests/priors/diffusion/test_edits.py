"""Inversion and edits against Gaussians whose probability flow is known on paper."""

from __future__ import annotations

import pytest
import torch

from lowerbound.priors.diffusion.prior import DiffusionPrior, Inversion
from tests.priors.diffusion.gaussian import ExactDenoiser, covariance_of, draws

MEANS = torch.tensor([[0.0, 0.0, 0.0], [-1.0, 0.5, 2.0], [1.5, -1.0, 0.0]], dtype=torch.float64)
BEFORE, AFTER = torch.tensor([[0]]), torch.tensor([[1]])


def prior_of(**options: object) -> DiffusionPrior:
    """A prior whose exact p(z | side) is N(m_side, S)."""
    prior = DiffusionPrior(3, fields={"side": ["left", "right"]}, **options).double()
    prior.denoiser = ExactDenoiser(prior, covariance_of(3), MEANS)
    return prior


@pytest.fixture
def rows():
    return MEANS[1] + draws(covariance_of(3), 50).double()


def shift(prior: DiffusionPrior, strength: float) -> torch.Tensor:
    r"""What an exact edit adds to a row: (I - a S^{1/2} (a^2 S + s^2 I)^{-1/2}) (m' - m).

    The flow carries N(m, S) to N(a m, a^2 S + s^2 I) by a linear map, and all these matrices
    commute.
    """
    process, last = prior.process, Inversion.up_to(prior.process, strength, 10).times[-1]
    alpha, sigma = process.alpha[last].double(), process.sigma[last].double()
    values, vectors = torch.linalg.eigh(covariance_of(3))
    kept = alpha * values.sqrt() / (alpha**2 * values + sigma**2).sqrt()
    difference = MEANS[2] - MEANS[1]
    return difference - vectors @ (kept * (vectors.T @ difference))


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_an_edit_moves_rows_as_the_exact_flow_does(rows, prediction, strength):
    prior = prior_of(steps=160, prediction=prediction)
    known, wanted = BEFORE.expand(50, -1), AFTER.expand(50, -1)
    edited = prior.edited(rows, known, wanted, strength=strength)
    assert (edited - rows - shift(prior, strength)).abs().max() < 0.02
    assert torch.equal(prior.edited(rows, known, wanted, strength=strength), edited)


def test_the_same_prompt_returns_the_same_rows(rows):
    prior = prior_of(steps=40)
    known = BEFORE.expand(50, -1)
    assert (prior.edited(rows, known, known, strength=0.8) - rows).abs().max() < 0.02


def test_inverted_rows_are_standard_normal(rows):
    prior = prior_of(steps=80)
    inversion = Inversion.up_to(prior.process, 1.0, 80)
    x = MEANS[1] + draws(covariance_of(3), 4000, seed=1).double()
    noise = inversion.noised(lambda x, t: prior.predict(x, t, BEFORE.expand(len(x), -1)), x)
    assert noise.mean(0).abs().max() < 0.1
    assert (noise.T.cov() - torch.eye(3)).abs().max() < 0.12


@pytest.mark.parametrize("strength", [0.001, 0.3, 1.0])
def test_times_reach_the_strength(strength):
    process = prior_of().process
    times = Inversion.up_to(process, strength, 20).times
    noisiest = process.drawing_times(20)[0]
    assert times[0] == 0
    assert times[-1] == max(1, round(strength * noisiest))
    assert len(times) <= 21
