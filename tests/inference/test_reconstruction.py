"""Reconstructions and their uncertainty against the linear model's formulas."""

from __future__ import annotations

import pytest
import torch

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.inference.passes import dry_run, first_row
from lowerbound.inference.reconstruction import (
    predictive_interval,
    reconstruct,
    reconstruction_error,
)
from lowerbound.inference.samples import sample_prior
from tests.evaluation.small_models import linear_autoencoder, vectors
from tests.oracles import linear_gaussian as oracle

ROWS = vectors(oracle.data(40))


def test_variance_is_noise_plus_what_the_code_leaves_open() -> None:
    weight, offset, sigma = oracle.parameters()
    gain, covariance = oracle.posterior_matrices()
    made = reconstruct(oracle.model("exact"), ROWS, samples=4_000)
    expected = (ROWS.x - offset) @ gain.T @ weight.T + offset
    assert torch.allclose(made.mean, expected, atol=0.06)
    assert torch.allclose(made.noise, torch.full_like(made.noise, sigma**2))
    spread = torch.diagonal(weight @ covariance @ weight.T).expand(40, -1)
    assert torch.allclose(made.spread, spread, rtol=0.12, atol=1e-3)
    assert torch.allclose(made.deviation.square(), made.noise + made.spread)


def test_an_autoencoder_leaves_nothing_open() -> None:
    made = reconstruct(linear_autoencoder(6, 2), vectors(ROWS.x.float()))
    assert not made.spread.any()
    assert torch.allclose(made.noise, torch.full_like(made.noise, 0.25))


def test_chunks_and_order_change_nothing() -> None:
    model = oracle.model("mean_field")
    whole = reconstruct(model, ROWS, samples=9)
    memory = 16 * 4 * dry_run(model, first_row(ROWS, model)).bytes
    pieces = reconstruct(model, ROWS, samples=9, memory=memory)
    assert torch.allclose(whole.mean, pieces.mean, rtol=1e-9)
    assert torch.allclose(whole.spread, pieces.spread, rtol=1e-7, atol=1e-12)
    turned = reconstruct(model, ROWS.subset(range(39, -1, -1)), samples=9)
    assert torch.allclose(turned.mean.flip(0), whole.mean, rtol=1e-9)
    assert not whole.mean.is_inference()


def test_error_through_the_mean_code() -> None:
    weight, offset, sigma = oracle.parameters()
    gain, _ = oracle.posterior_matrices()
    rebuilt = (ROWS.x - offset) @ gain.T @ weight.T + offset
    error = reconstruction_error(oracle.model("exact"), vectors(ROWS.x, scale=10.0))
    assert error.squared.mean == pytest.approx(float((rebuilt - ROWS.x).square().mean()))
    total = (ROWS.x - ROWS.x.mean(0)).square().mean()
    assert error.explained == pytest.approx(float(1 - (rebuilt - ROWS.x).square().mean() / total))
    density = torch.distributions.Normal(rebuilt, 10 * sigma).log_prob(ROWS.x * 0)
    units = 10 * (rebuilt - ROWS.x)
    density = torch.distributions.Normal(0.0, 10 * sigma).log_prob(units).sum(1)
    assert error.log_loss.mean == pytest.approx(-float(density.mean()))


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover_rows_that_share_the_code(level: float) -> None:
    model = oracle.model("exact")
    samples = sample_prior(model, 2_000, seed=1)
    with seeded(2):
        replicate = model.decode(samples.z.unsqueeze(0)).sample()[0]
    interval = predictive_interval(model, vectors(samples.x), level=level)
    covered = interval.coverage(replicate)
    assert covered.shape == (oracle.FEATURES,)
    assert float(covered.mean()) == pytest.approx(level, abs=0.015)


def test_a_narrower_decoder_is_caught() -> None:
    model = oracle.model("exact")
    samples = sample_prior(model, 1_000, seed=1)
    with seeded(2):
        replicate = model.decode(samples.z.unsqueeze(0)).sample()[0]
    model.likelihood.scale.start = 0.3
    interval = predictive_interval(model, vectors(samples.x), level=0.9)
    assert float(interval.coverage(replicate).mean()) < 0.75


def test_intervals_of_an_autoencoder_are_its_noise() -> None:
    model = linear_autoencoder(6, 2)
    rows = vectors(torch.randn(200, 6))
    interval = predictive_interval(model, rows, level=0.9)
    width = (interval.high - interval.low).mean()
    assert float(width) == pytest.approx(2 * 1.645 * 0.5, rel=0.03)


@pytest.mark.usefixtures("untouched_random_state")
def test_intervals_leave_the_random_state_alone() -> None:
    with torch.random.fork_rng():
        model = oracle.model("exact")
    predictive_interval(model, ROWS, samples=10)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_level_lies_between_zero_and_one(level: float) -> None:
    with pytest.raises(OptionError):
        predictive_interval(oracle.model("exact"), ROWS, level=level)
