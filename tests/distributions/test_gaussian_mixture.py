"""Mixtures of full Gaussians against torch's, and draws against their moments."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from lowerbound.distributions.gaussian_mixture import FullMixture
from lowerbound.distributions.reparameterization import draw, seeded

ROWS, COMPONENTS, DIM = 5, 3, 2


def mixture(groups: int = 2) -> tuple[FullMixture, MixtureSameFamily]:
    """A mixture for each row, and torch's of the same parameters."""
    with seeded(0):
        logits = torch.randn(ROWS, COMPONENTS, dtype=torch.float64)
        loc = 2 * torch.randn(ROWS, COMPONENTS, DIM, dtype=torch.float64)
        roots = torch.randn(groups, COMPONENTS, DIM, DIM, dtype=torch.float64)
    identity = 0.1 * torch.eye(DIM, dtype=torch.float64)
    factors = torch.linalg.cholesky(roots @ roots.mT + identity)
    group = torch.tensor([1, 0, 1, 1, 0]) % groups
    theirs = MixtureSameFamily(
        Categorical(logits=logits), MultivariateNormal(loc, scale_tril=factors[group])
    )
    return FullMixture(logits, loc, factors, group), theirs


def points(samples: int = 4) -> Tensor:
    with seeded(1):
        return 3 * torch.randn(samples, ROWS, DIM, dtype=torch.float64)


def test_density_and_moments_are_those_of_torch() -> None:
    for groups in (1, 2):
        ours, theirs = mixture(groups)
        torch.testing.assert_close(ours.log_prob(points()), theirs.log_prob(points()))
        torch.testing.assert_close(ours.mean[0], theirs.mean)
        torch.testing.assert_close(ours.variance[0], theirs.variance)


def test_one_mixture_serves_every_row_of_a_larger_batch() -> None:
    each, _ = mixture(1)
    one = FullMixture(each.logits[:1], each.loc[:1], each.scale_tril)
    wide = one.expand(torch.Size((1, ROWS)))
    assert wide.mean.shape == wide.variance.shape == (1, ROWS, DIM)
    assert draw(wide, 7).shape == (7, ROWS, DIM)
    alone = torch.cat([one.log_prob(points()[:, [row]]) for row in range(ROWS)], 1)
    torch.testing.assert_close(wide.log_prob(points()), alone)


def test_draws_have_the_moments_of_the_mixture() -> None:
    ours, _ = mixture()
    count = 40_000
    with seeded(2):
        z = draw(ours, count)
    spread = ours.variance.sqrt()[0]
    assert ((z.mean(0) - ours.mean[0]) / spread).abs().max() < 4 / math.sqrt(count)
    assert (z.var(0) / ours.variance[0] - 1).abs().max() < 0.05
    # and the mean of 1 / p over draws of p, where p is large, is the volume there
    inside = (z[:, 0] - ours.mean[0, 0]).abs().amax(-1) < 1
    volume = (inside * torch.exp(-ours.log_prob(z)[:, 0])).mean()
    assert abs(float(volume) - 4) < 0.3


def test_draws_in_float32_are_those_in_float64() -> None:
    """Also from noise at the very edge of a component, of 64."""
    with seeded(0):
        logits = torch.randn(1, 64)
    loc = torch.arange(64.0).view(1, 64, 1)
    upper = torch.softmax(logits[0].double(), -1).cumsum(-1)[:-1]
    edge = torch.special.ndtri(upper).float()
    far = torch.tensor(9.0)
    noise = torch.cat([edge, torch.nextafter(edge, far), torch.nextafter(edge, -far)])
    found = [
        FullMixture(logits.to(dtype), loc.to(dtype), torch.ones(1, 64, 1, 1, dtype=dtype)).push(
            noise.to(dtype).view(-1, 1, 1)
        )
        for dtype in (torch.float32, torch.float64)
    ]
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0].double(), found[1], rtol=0, atol=1e-4)


def test_the_log_density_has_a_gradient() -> None:
    ours, theirs = mixture()
    z = points().requires_grad_()
    (found,) = torch.autograd.grad(ours.log_prob(z).sum(), z)
    (expected,) = torch.autograd.grad(theirs.log_prob(z).sum(), z)
    torch.testing.assert_close(found, expected)
