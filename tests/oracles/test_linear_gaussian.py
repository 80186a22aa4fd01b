"""Bounds and gradients against the model that is solved on paper."""

from __future__ import annotations

import math

import pytest
import torch

from lowerbound.distributions.reparameterization import seeded
from lowerbound.objectives import ELBO, ImportanceWeighted
from lowerbound.trace import Batch, Draw
from tests.oracles import linear_gaussian as oracle

ROWS = oracle.data(20)


@pytest.mark.parametrize("samples", [1, 7])
def test_with_the_exact_posterior_every_weight_is_the_marginal(samples: int) -> None:
    with seeded(0):
        trace = oracle.model("exact")(Batch(ROWS), Draw(samples))
    weights = trace.log_weights(ROWS)
    assert weights.shape == (samples, len(ROWS))
    assert (weights - oracle.log_marginal(ROWS)).abs().max() < 1e-9


@pytest.mark.parametrize("analytic", [True, False])
@pytest.mark.parametrize("widen", [1.0, 1.5])
def test_elbo_falls_short_of_the_marginal_by_the_posterior_kl(analytic: bool, widen: float) -> None:
    with seeded(1):
        bound = ELBO(samples=20_000, analytic=analytic)(
            oracle.model("mean_field", widen), Batch(ROWS)
        )
    gap = oracle.log_marginal(ROWS) - bound.value
    assert float(gap.mean()) == pytest.approx(oracle.mean_field_gap(widen), abs=2e-2)
    parts = -bound.distortion - bound.rates.sum(0)
    assert torch.equal(parts, bound.value)


def test_importance_samples_tighten_the_bound_in_order_and_stay_below() -> None:
    model = oracle.model("mean_field", 1.5)
    x = ROWS[:5].repeat(2_000, 1)
    means = []
    for samples in (1, 4, 16, 64):
        with seeded(2), torch.no_grad():
            means.append(float(ImportanceWeighted(samples=samples)(model, Batch(x)).value.mean()))
    exact = float(oracle.log_marginal(x).mean())
    assert means == sorted(means)
    assert means[-1] < exact + 1e-2
    assert exact - means[-1] < 0.1 * (exact - means[0])


def encoder_gradients(gradient: str, samples: int, repeats: int) -> torch.Tensor:
    """Independent gradient estimates of the encoder's bias, (repeats, latent)."""
    model = oracle.model("mean_field", 1.5)
    model.encoder.bias.data += 0.3
    objective = ImportanceWeighted(samples=samples, gradient=gradient)
    rows = ROWS[:1].repeat(repeats, 1)
    # one row per repeat and a bias per row give independent estimates in one backward pass
    bias = torch.zeros(repeats, 2 * oracle.LATENT, dtype=torch.float64, requires_grad=True)
    encoder = model.encoder
    model.encoder = _PerRowBias(encoder, bias)
    with seeded(3):
        bound = objective(model, Batch(rows))
    (gradients,) = torch.autograd.grad(bound.loss * repeats, bias)
    return gradients


class _PerRowBias(torch.nn.Module):
    def __init__(self, encoder: torch.nn.Module, bias: torch.Tensor) -> None:
        super().__init__()
        self.encoder, self.bias = encoder, bias

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.encoder(x) + self.bias


def standardized_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
    return ((a.mean(0) - b.mean(0)) / error).abs()


def test_dreg_has_the_mean_of_the_plain_gradient_and_less_variance() -> None:
    plain = encoder_gradients("plain", 5, 60_000)
    dreg = encoder_gradients("dreg", 5, 60_000)
    assert standardized_difference(plain, dreg).max() < 4
    assert (plain.std(0) / dreg.std(0)).min() > 1.2


def test_stl_is_biased_for_several_samples_and_this_is_seen() -> None:
    plain = encoder_gradients("plain", 5, 60_000)
    stl = encoder_gradients("stl", 5, 60_000)
    assert standardized_difference(plain, stl).max() > 6


def test_stl_is_unbiased_for_one_sample() -> None:
    plain = encoder_gradients("plain", 1, 60_000)
    stl = encoder_gradients("stl", 1, 60_000)
    assert standardized_difference(plain, stl).max() < 4


def test_decoder_gradient_is_the_same_for_all_estimators() -> None:
    answers = []
    for gradient in ("plain", "stl", "dreg"):
        model = oracle.model("mean_field", 1.5)
        with seeded(4):
            ImportanceWeighted(samples=5, gradient=gradient)(model, Batch(ROWS)).loss.backward()
        answers.append(model.decoder.weight.grad)
    assert torch.allclose(answers[0], answers[1], rtol=1e-12)
    assert torch.allclose(answers[0], answers[2], rtol=1e-12)


def test_one_importance_sample_is_the_elbo() -> None:
    model = oracle.model("mean_field")
    with seeded(5):
        elbo = ELBO(analytic=False)(model, Batch(ROWS))
    with seeded(5):
        iwae = ImportanceWeighted(samples=1, gradient="plain")(model, Batch(ROWS))
    assert torch.allclose(elbo.value, iwae.value, rtol=1e-12)


def test_exactly_k_samples_are_averaged() -> None:
    model = oracle.model("mean_field", 1.5)
    with seeded(6):
        weights = model(Batch(ROWS), Draw(7)).log_weights(ROWS)
    with seeded(6):
        bound = ImportanceWeighted(samples=7)(model, Batch(ROWS))
    expected = torch.logsumexp(weights, 0) - math.log(7)
    assert torch.allclose(bound.value, expected, rtol=1e-12)


def test_batch_of_one() -> None:
    with seeded(7):
        bound = ELBO()(oracle.model("mean_field"), Batch(ROWS[:1]))
    assert bound.value.shape == (1,)
    assert bound.rates.shape == (1, 1)
