"""Factor analysis under self-masking: against quadrature, and the truth of simulated rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr
from torch import Tensor

from lowerbound.classical.factor_analysis import FactorAnalysis, fit_factor_analysis
from lowerbound.classical.self_masked_factors import (
    FactorPosterior,
    fit_self_masked_factors,
    posterior_sites,
)
from lowerbound.classical.self_masking import SelfMasking
from tests.evaluation.incomplete_rows import drawn, factors

SLOPE, THRESHOLD = 3.0, 0.4  # per standard deviation of a column, from its mean


def curves_of(fa: FactorAnalysis, masked: int) -> SelfMasking:
    """Curves of the first columns; the others are complete."""
    spread = (fa.weight.square().sum(1) + fa.noise).sqrt()
    applies = torch.arange(len(fa.offset)) < masked
    slope = torch.where(applies, SLOPE / spread, 0.0)
    return SelfMasking(slope, fa.offset + THRESHOLD * spread, applies)


def masked_rows(fa: FactorAnalysis, rows: int, masked: int) -> tuple[Tensor, Tensor]:
    """Rows of the model, and where they are missing by the curves."""
    x, curves = drawn(fa, rows), curves_of(fa, masked)
    utility = curves.slope * (x - curves.threshold)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(7), dtype=x.dtype)
    return x, (utility + noise > 0) & curves.applies


def test_sites_give_the_posterior_of_one_latent_by_quadrature() -> None:
    whole = factors()
    fa = FactorAnalysis(whole.weight[:, :1], whole.offset, whole.noise)
    curves = curves_of(fa, 3)
    x, missing = masked_rows(fa, 30, 3)
    values = x.where(~missing, 0.0)
    sites = posterior_sites(fa, curves, values, ~missing, missing, 30)
    posterior = FactorPosterior.of(fa, sites, values, ~missing)
    z = np.linspace(-8, 8, 4001)
    w, mu, psi = (part.numpy() for part in (fa.weight[:, 0], fa.offset, fa.noise))
    slope, threshold = curves.slope.numpy(), curves.threshold.numpy()
    for row in range(30):
        loc = mu + w * z[:, None]
        seen = -0.5 * (x[row].numpy() - loc) ** 2 / psi
        gone = log_ndtr(slope * (loc - threshold) / np.sqrt(1 + slope**2 * psi))
        log_joint = np.where(missing[row].numpy(), gone, seen).sum(1) - 0.5 * z**2
        weights = np.exp(log_joint - log_joint.max())
        weights /= weights.sum()
        mean = (weights * z).sum()
        spread = (weights * (z - mean) ** 2).sum()
        # a Gaussian in place of three curves: what is left of the error is their skewness
        assert abs(float(posterior.mean[row, 0]) - mean) < 0.01
        assert abs(float(posterior.covariance[row, 0, 0]) / spread - 1) < 0.05


@pytest.mark.slow
def test_the_truth_of_simulated_rows_is_recovered() -> None:
    fa, masked = factors(), 3
    x, missing = masked_rows(fa, 2000, masked)
    values = torch.where(missing, float("nan"), x)
    start = (values, ~missing)
    fitted, curves = fit_self_masked_factors(*start, missing, 2, 1, rounds=100)
    naive = fit_factor_analysis(*start, 2)
    truth = curves_of(fa, masked)
    spread = (fa.weight.square().sum(1) + fa.noise).sqrt()

    def off(model: FactorAnalysis) -> Tensor:
        return ((model.offset - fa.offset).abs() / spread)[:masked]

    assert off(fitted).max() < 0.08
    assert off(naive).max() > 0.3
    shape = fitted.weight @ fitted.weight.T + torch.diag(fitted.noise)
    expected = fa.weight @ fa.weight.T + torch.diag(fa.noise)
    scales = torch.outer(spread, spread)
    torch.testing.assert_close(shape / scales, expected / scales, rtol=0, atol=0.1)
    torch.testing.assert_close(
        curves.threshold[:masked], truth.threshold[:masked], rtol=0, atol=0.3
    )
    assert not curves.applies[masked:].any()


@pytest.mark.slow
def test_the_direction_is_found_where_it_is_not_told() -> None:
    x, missing = masked_rows(factors(), 1000, 3)
    values = torch.where(missing, float("nan"), x)
    _, curves = fit_self_masked_factors(values, ~missing, missing, 2, 0, rounds=60)
    assert (curves.slope[:3] > 0).all()


def test_columns_that_go_missing_together_are_found_in_few_rounds() -> None:
    """They tell so much of the latent that plain rounds would hardly move it."""
    whole = factors()
    weight = torch.stack((torch.tensor([1.0, 1, 1, 0.7, 0.7, 0.7]), torch.zeros(6)), 1).double()
    noise = torch.tensor([0.01, 0.01, 0.01, 0.5, 0.5, 0.5], dtype=torch.float64)
    fa = FactorAnalysis(weight, whole.offset, noise)
    x, missing = masked_rows(fa, 1000, 3)
    values = torch.where(missing, float("nan"), x)
    fitted, _ = fit_self_masked_factors(values, ~missing, missing, 2, 1, rounds=20)
    hidden = fitted.offset - fa.offset
    assert hidden[:3].abs().max() < 0.1
