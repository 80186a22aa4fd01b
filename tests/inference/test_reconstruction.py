"""Reconstructions and their uncertainty against the linear model's formulas."""

from __future__ import annotations

import pytest
import torch

from lowerbound.inference.passes import dry_run, first_row
from lowerbound.inference.reconstruction import (
    reconstruct,
    reconstruction_error,
)
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
