"""Latents drawn again, against Gaussians whose conditional distributions are known on paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lowerbound.applications.generation.redraw import redraw_rows, touched
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.priors.diffusion.prior import DiffusionPrior, Inversion
from tests.priors.diffusion.gaussian import covariance_of, draws, exact_prior

DIM, ROWS, MEAN = 4, 3000, 2.0
COVARIANCE = covariance_of(DIM)
SCALE = COVARIANCE.diagonal().sqrt()
KEPT = torch.tensor([True, False, True, False])


def redrawn(prior: DiffusionPrior, z: Tensor, **options: object) -> Tensor:
    with seeded(0):
        return prior.double().redrawn(z.double(), **options)


def within_error(found: Tensor, mean: Tensor, covariance: Tensor, slack: float) -> bool:
    """Mean and covariance of rows, within 4.5 standard errors and a share of the scale."""
    rows, spread = len(found), covariance.diagonal().sqrt()
    spreads = spread * spread.unsqueeze(1)
    error = (found.mean(0) - mean).abs() / spread
    errors = (found.T.cov() - covariance).abs() / spreads
    allowed = 4.5 / rows**0.5
    doubt = (1 + (covariance / spreads).square()).sqrt() * allowed
    return bool((error < allowed + slack).all() and (errors < doubt + slack).all())


def conditional(row: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the numbers that are not kept, given those that are."""
    own, other = COVARIANCE[~KEPT][:, ~KEPT], COVARIANCE[~KEPT][:, KEPT]
    gain = other @ torch.linalg.inv(COVARIANCE[KEPT][:, KEPT])
    return MEAN + gain @ (row[KEPT] - MEAN), own - gain @ other.T


@pytest.mark.slow
@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_numbers_drawn_again_are_those_given_the_kept_ones(prediction: str) -> None:
    prior = exact_prior(COVARIANCE, MEAN, prediction=prediction, steps=16)
    row = MEAN + 1.3 * SCALE * torch.tensor([1.0, 3.0, -1.0, -3.0])
    found = redrawn(prior, row.expand(ROWS, -1), strength=1.0, kept=KEPT.unsqueeze(0), rounds=30)
    assert torch.equal(found[:, KEPT], row[KEPT].expand(ROWS, -1))
    assert within_error(found[:, ~KEPT], *conditional(row), slack=0.03)
    once = redrawn(prior, row.expand(ROWS, -1), strength=1.0, kept=KEPT.unsqueeze(0), rounds=1)
    assert not within_error(once[:, ~KEPT], *conditional(row), slack=0.03)


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.0])
def test_rows_drawn_again_follow_the_exact_flow(strength: float) -> None:
    """F (a x + s e), F = S^1/2 (a^2 S + s^2 I)^-1/2, so that N(m, S) stays N(m, S)."""
    prior = exact_prior(COVARIANCE, MEAN, steps=40)
    row = MEAN + SCALE
    found = redrawn(prior, row.expand(ROWS, -1), strength=strength) - MEAN
    time = Inversion.up_to(prior.process, strength, 40).times[-1]
    alpha, sigma = prior.process.alpha[time].double(), prior.process.sigma[time].double()
    values, vectors = torch.linalg.eigh(COVARIANCE / SCALE / SCALE.unsqueeze(1))
    flow = vectors * (values / (alpha**2 * values + sigma**2)).sqrt() @ vectors.T
    mean = alpha * SCALE * flow.sum(1)
    covariance = sigma**2 * SCALE.unsqueeze(1) * (flow @ flow.T) * SCALE
    assert within_error(found, mean, covariance, slack=0.01)
    every = redrawn(prior, draws(COVARIANCE, ROWS, MEAN, seed=7), strength=strength)
    assert within_error(every, torch.full((DIM,), MEAN), COVARIANCE, slack=0.02)


def test_a_prior_without_prompts_refuses_one() -> None:
    with pytest.raises(UnsupportedError, match="takes no prompt"):
        redrawn(exact_prior(COVARIANCE), torch.zeros(1, DIM), prompt=torch.zeros(1, 1).long())


def test_a_place_is_touched_if_its_block_has_a_hidden_cell() -> None:
    hidden = torch.zeros(2, 3, 30, 28, dtype=torch.bool)
    hidden[0, 1, 29, 8] = True  # sides of 30 and 28 become 8 and 7 by blocks of 4
    hidden[1, :, 3:5, 27] = True
    places = touched(hidden, (2, 8, 7)).unflatten(1, (2, 8, 7))
    assert torch.equal(places[:, 0], places[:, 1])
    assert places[:, 0].nonzero().tolist() == [[0, 7, 2], [1, 0, 6], [1, 1, 6]]


def test_a_vector_has_no_places() -> None:
    hidden = torch.zeros(2, 3, 8, 8, dtype=torch.bool)
    with pytest.raises(UnsupportedError, match=r"is a vector, .* --set model.stride=4"):
        touched(hidden, (5,))


def test_a_strength_above_one_is_refused() -> None:
    nothing: Any = None
    for strength in (0.0, 1.5, 2.0):
        with pytest.raises(OptionError, match="strength is above 0 and at most 1"):
            redraw_rows(nothing, nothing, nothing, strength=strength, rounds=1)
