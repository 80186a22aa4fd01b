"""The Markov chain of latents against chains that are solved on paper."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lowerbound.data import load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.likelihoods import Gaussian
from lowerbound.models import Encodes, HasPrior, HierarchicalVariationalAutoencoder, Imagines
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import OBJECTIVES
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.trace import Batch, Draw, Given, Mean

LOG_TWO_PI = math.log(2 * math.pi)


class Affine(nn.Module):
    """Two heads of a scalar Gaussian, N(slope v + offset, sigma^2), or its mean alone."""

    def __init__(self, slope: float, offset: float, sigma: float | None = None) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset
        self.raw = None if sigma is None else 14 * math.atanh(math.log(sigma) / 7)

    def forward(self, v: Tensor, condition: Tensor | None = None) -> Tensor:
        mean = self.slope * v + self.offset
        if self.raw is None:
            return mean
        return torch.cat([mean, torch.full_like(mean, self.raw)], -1)


def scalar_chain(
    mismatch: float = 1.0,
) -> tuple[HierarchicalVariationalAutoencoder, float, float]:
    """z_2 ~ N(0, 1), z_1 = .8 z_2 + .3 + .6 e, x = 1.5 z_1 - .2 + .7 e, and q exact up to a factor
    ``mismatch`` on its deviations; the model, and mean and variance of x."""
    likelihood = Gaussian((1,), scale="fixed", tau=0.7).double()
    variance_1 = 0.8**2 + 0.6**2
    variance = 1.5**2 * variance_1 + 0.7**2
    mean = 1.5 * 0.3 - 0.2
    gain_1 = 1.5 * variance_1 / variance
    gain_2 = 0.8 / variance_1
    model = HierarchicalVariationalAutoencoder(
        Affine(
            gain_1,
            0.3 - gain_1 * mean,
            mismatch * math.sqrt(variance_1 - gain_1 * 1.5 * variance_1),
        ),
        GaussianPosterior(1),
        StandardNormal(1).double(),
        Affine(1.5, -0.2),
        likelihood,
        [Affine(gain_2, -gain_2 * 0.3, mismatch * math.sqrt(1 - gain_2 * 0.8))],
        [Affine(0.8, 0.3, 0.6)],
    )
    return model, mean, variance


def exact(x: Tensor, mean: float, variance: float) -> Tensor:
    return -0.5 * ((x[:, 0] - mean) ** 2 / variance + math.log(variance) + LOG_TWO_PI)


X = torch.tensor([[-2.0], [0.1], [1.7], [4.0]], dtype=torch.float64)


def test_every_weight_is_the_marginal_under_the_exact_posterior() -> None:
    model, mean, variance = scalar_chain()
    with seeded(0):
        weights = model(Batch(X), Draw(7)).log_weights(X)
    expected = exact(X, mean, variance).expand(7, -1)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-9)


def test_average_weight_is_the_marginal_under_another_posterior() -> None:
    model, mean, variance = scalar_chain(mismatch=1.3)
    with seeded(0):
        weights = model(Batch(X), Draw(200_000)).log_weights(X)
    estimate = torch.logsumexp(weights, 0) - math.log(len(weights))
    torch.testing.assert_close(estimate, exact(X, mean, variance), rtol=0, atol=0.01)


def test_bound_lies_below_the_marginal_by_the_divergence_of_the_chain() -> None:
    """KL(q || p) of the chain is the sum over its steps: ln 1/m + (m^2 - 1)/2 for each of two."""
    model, mean, variance = scalar_chain(mismatch=1.3)
    with seeded(0):
        bound = OBJECTIVES["elbo"](samples=100_000)(model, Batch(X))
    divergence = 2 * (0.5 * (1.3**2 - 1) - math.log(1.3))
    gap = exact(X, mean, variance) - bound.value
    torch.testing.assert_close(gap, torch.full_like(gap, divergence), rtol=0, atol=0.02)
    assert bound.rates.shape == (2, 4)


def test_steps_come_top_down_and_only_the_top_has_a_closed_rate() -> None:
    model, _, _ = scalar_chain()
    top, below = model(Batch(X)).steps
    assert top.closed
    assert not below.closed
    torch.testing.assert_close(below.prior.mean, 0.8 * top.z + 0.3)


def test_closed_form_below_the_top_would_be_wrong() -> None:
    """The defect that ``closed=False`` prevents is of a size that the oracle above would see."""
    model, _, _ = scalar_chain(mismatch=1.3)
    with seeded(0):
        below = model(Batch(X), Draw(100_000)).steps[1]
    wrong = type(below)(below.z, below.posterior, below.prior, closed=True).rate().mean(0)
    assert float((wrong - below.rate().mean(0)).abs().max()) > 0.1


def test_replay_and_imagination() -> None:
    model, mean, variance = scalar_chain()
    with seeded(0):
        seen = model(Batch(X), Draw(3))
        dreamed = model.imagine(Batch(), Draw(200_000))
    replayed = model(Batch(X), Given([step.z for step in seen.steps]))
    torch.testing.assert_close(replayed.log_weights(X), seen.log_weights(X))
    x = dreamed.likelihood.mean
    assert abs(float(x.mean()) - mean) < 0.02
    assert abs(float(x.var()) + 0.7**2 - variance) < 0.03
    assert all(step.posterior is None for step in dreamed.steps)


def test_conditions_are_imagined_apart() -> None:
    data = load(torch.randn(30, 5).numpy()).with_labels(["a", "b"] * 15).conditioned_on_label()
    options = ModelOptions(model="hierarchical", latent_dim=4, conditional=True)
    model = assemble(data.schema, options)
    assert isinstance(model, Imagines)
    with seeded(0):
        steps = model.imagine(Batch(condition=torch.eye(2)), Draw(1)).steps
    for step in steps:
        assert step.z.shape[:2] == (1, 2)
        assert not torch.equal(step.z[0, 0], step.z[0, 1])


def test_powers() -> None:
    model, _, _ = scalar_chain()
    assert isinstance(model, Encodes)
    assert isinstance(model, Imagines)
    assert not isinstance(model, HasPrior)
    deterministic = model(Batch(X), Mean())
    torch.testing.assert_close(
        deterministic.likelihood.mean, model.decode(model.encode(Batch(X)).mean).mean
    )


def test_burdas_two_layers() -> None:
    data = load(torch.randint(0, 2, (20, 28, 28), dtype=torch.uint8).numpy())
    options = ModelOptions(
        model="hierarchical",
        network="mlp",
        network_options={"hidden": [200, 200], "activation": "tanh"},
        model_options={"latent_dims": [100, 50], "hidden": [100, 100], "activation": "tanh"},
    )
    model = assemble(data.schema, options)
    assert sum(value.numel() for value in model.parameters()) == (
        (784 * 200 + 200) + (200 * 200 + 200) + (200 * 200 + 200)  # x to z_1
        + (100 * 100 + 100) * 2 + (100 * 100 + 100)  # z_1 to z_2
        + (50 * 100 + 100) + (100 * 100 + 100) + (100 * 200 + 200)  # z_2 to z_1
        + (100 * 200 + 200) + (200 * 200 + 200) + (200 * 784 + 784)  # z_1 to x
    )  # fmt: skip


def test_a_prior_that_needs_the_encoder_is_refused() -> None:
    data = load(torch.randn(30, 5).numpy())
    model = assemble(data.schema, ModelOptions(model="hierarchical", prior="vamp", latent_dim=4))
    with pytest.raises(UnsupportedError, match="encoder"):
        model(Batch(torch.randn(3, 5)))
