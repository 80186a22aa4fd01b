"""The aggregate posterior against closed forms; active units of models whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, Normal

from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.aggregate import (
    AggregatePosterior,
    Agreement,
    prior_agreement,
    smoothed_codes,
    units,
)
from lowerbound.evaluation.latent_features import latent_grid
from lowerbound.inference.codes import Whitening, encode_rows, posteriors
from lowerbound.inference.passes import dry_run, first_row
from lowerbound.models import ProbabilisticPrincipalComponents
from lowerbound.posteriors.gaussian import FlowPosterior
from tests.evaluation.small_models import binary_vae, bits, coder, linear_autoencoder, vectors
from tests.oracles import linear_gaussian as oracle
from tests.oracles.linear_gaussian import Affine


def normal(rows: int, dim: int, deviation: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return deviation * torch.randn(rows, dim, generator=generator, dtype=torch.float64)


def brackets(agreement: Agreement, exact: float) -> bool:
    low, high = agreement.kl_low, agreement.kl_high
    return (
        low.mean - 4 * (low.standard_error or 0)
        < exact
        < high.mean + 4 * (high.standard_error or 0)
    )


def test_posteriors_that_are_the_prior_agree_with_it() -> None:
    rows = vectors(normal(800, 2, 1.0))
    agreement = prior_agreement(coder(2, 1.0, gain=0.0), rows)
    assert agreement.kl_low.mean == pytest.approx(0, abs=1e-9)
    assert agreement.kl_high.mean == pytest.approx(0, abs=1e-9)
    assert agreement.rate is not None
    assert agreement.rate.mean == pytest.approx(0, abs=1e-9)
    assert agreement.hole_rate == pytest.approx(0.01, abs=0.015)
    assert agreement.mutual_information_low == pytest.approx(0, abs=1e-9)
    assert agreement.mutual_information_high == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("spread", "deviation"), [(0.8, 0.6), (1.5, 0.5), (0.3, 0.4)])
def test_kl_of_a_gaussian_aggregate_is_its_closed_form(spread: float, deviation: float) -> None:
    agreement = prior_agreement(coder(1, deviation), vectors(normal(2_000, 1, spread)))
    variance = spread**2 + deviation**2
    exact = 0.5 * (variance - 1 - math.log(variance))
    assert brackets(agreement, exact)
    assert agreement.kl_low.mean == pytest.approx(exact, abs=0.1)
    information = 0.5 * math.log(variance / deviation**2)
    assert agreement.mutual_information_low is not None
    assert agreement.mutual_information_high is not None
    assert agreement.mutual_information_low == pytest.approx(information, abs=0.05)
    assert agreement.mutual_information_high == pytest.approx(information, abs=0.05)


def test_one_and_the_same_posterior_is_its_own_aggregate() -> None:
    rows = vectors(torch.full((2_000, 3), 0.4, dtype=torch.float64))
    agreement = prior_agreement(coder(3, 0.7), rows)
    exact = 3 * 0.5 * (0.7**2 + 0.4**2 - 1 - 2 * math.log(0.7))
    assert agreement.kl_low.mean == pytest.approx(agreement.kl_high.mean, abs=1e-9)
    assert brackets(agreement, exact)
    assert agreement.mutual_information_low == pytest.approx(0, abs=0.06)


def test_separated_clusters_leave_holes() -> None:
    sign = torch.where(torch.arange(500) % 2 == 0, 4.0, -4.0).double().unsqueeze(1)
    agreement = prior_agreement(coder(2, 0.1), vectors(sign + normal(500, 2, 0.2)))
    assert agreement.hole_rate > 0.95
    assert agreement.kl_low.mean > 5


def test_the_exact_posterior_of_well_fitted_data_agrees_with_the_prior() -> None:
    agreement = prior_agreement(oracle.model("exact"), vectors(oracle.data(1_500)))
    assert brackets(agreement, 0.0)
    assert abs(agreement.kl_low.mean) < 0.1
    assert agreement.hole_rate < 0.04


def test_leaving_a_draws_own_component_out() -> None:
    loc = normal(6, 2, 1.0)
    posterior = diagonal_normal(loc.unsqueeze(0), torch.full((1, 6, 2), 0.5).double())
    mixture = AggregatePosterior(lambda: iter([posterior]))
    found = mixture.log_prob(loc, leave_own_out=True)
    log_probs = Independent(Normal(loc, 0.5), 1).log_prob(loc.unsqueeze(1))
    for row in range(6):
        others = [n for n in range(6) if n != row]
        expected = torch.logsumexp(log_probs[row, others], 0) - math.log(5)
        assert float(found[row]) == pytest.approx(float(expected), rel=1e-12)


def test_only_the_lower_kl_leaves_a_draws_own_component_out() -> None:
    x, deviation = normal(5, 2, 3.0), 0.4
    model, rows = coder(2, deviation), vectors(x)
    agreement = prior_agreement(model, rows)
    mixture = AggregatePosterior(lambda: (q for _, q in posteriors(model, rows)))
    z = torch.cat([draw[0] for _, draw in mixture.draws(0)])
    log_prior = Independent(Normal(torch.zeros(2).double(), 1.0), 1).log_prob(z)
    each = Independent(Normal(x, deviation), 1).log_prob(z.unsqueeze(1))
    high = torch.logsumexp(each, 1) - math.log(5) - log_prior
    own = torch.eye(5, dtype=torch.bool)
    low = torch.logsumexp(each.masked_fill(own, -math.inf), 1) - math.log(4) - log_prior
    assert agreement.kl_high.mean == pytest.approx(float(high.mean()), rel=1e-9)
    assert agreement.kl_low.mean == pytest.approx(float(low.mean()), rel=1e-9)


@pytest.mark.parametrize("leave_own_out", [False, True])
def test_chunks_of_rows_and_draws_change_nothing(leave_own_out: bool) -> None:
    model, rows = oracle.model("mean_field"), vectors(oracle.data(50))
    z = encode_rows(model, rows).mean
    memory = 7 * dry_run(model, first_row(rows, model)).bytes

    def components(memory: int) -> AggregatePosterior:
        return AggregatePosterior(
            lambda: (q for _, q in posteriors(model, rows, memory=memory)), memory
        )

    whole = components(1 << 25).log_prob(z, leave_own_out=leave_own_out)
    pieces = components(memory).log_prob(z, leave_own_out=leave_own_out)
    assert torch.allclose(whole, pieces, rtol=1e-10)


@pytest.mark.usefixtures("untouched_random_state")
def test_the_random_state_is_left_alone() -> None:
    with torch.random.fork_rng():
        model = coder(2, 0.5)
    prior_agreement(model, vectors(normal(50, 2, 1.0)))


def test_codes_of_an_autoencoder_are_whitened_and_smoothed() -> None:
    rows = vectors(normal(1_500, 4, 1.0).float())
    agreement = prior_agreement(linear_autoencoder(4, 2), rows)
    assert agreement.rate is None
    assert agreement.mutual_information_low is None
    assert "smoothed by Gaussian kernels" in agreement.density
    assert agreement.kl_high.mean < 0.1
    assert agreement.hole_rate < 0.05


def test_smoothing_keeps_the_covariance() -> None:
    white = Whitening.of(normal(2_000, 3, 1.0) @ normal(3, 3, 1.0, 1)).whiten(normal(2_000, 3, 1.0))
    white = Whitening.of(white).whiten(white)
    smoothed = smoothed_codes(white)
    loc, scale = smoothed.mean[0], smoothed.stddev[0]
    covariance = loc.T @ loc / len(loc) + torch.diag(scale[0].square())
    assert torch.allclose(covariance, torch.eye(3).double(), atol=1e-6)


def test_whitening_there_and_back() -> None:
    codes = normal(400, 3, 1.0) @ normal(3, 3, 1.0, 1) + 2.0
    whitening = Whitening.of(codes)
    white = whitening.whiten(codes)
    assert torch.allclose(white.mean(0), torch.zeros(3).double(), atol=1e-9)
    assert torch.allclose(white.T @ white / 400, torch.eye(3).double(), atol=1e-6)
    assert torch.allclose(whitening.color(white), codes, rtol=1e-9)


def test_whitening_survives_a_direction_without_spread() -> None:
    codes = torch.cat([normal(50, 2, 1.0), torch.ones(50, 1).double()], 1)
    assert torch.isfinite(Whitening.of(codes).whiten(codes)).all()


EIGENVALUES = torch.tensor([2.1516393, 1.0, 0.5, 0.2, 0.1, 0.05], dtype=torch.float64)


def rows_of_that_covariance() -> torch.Tensor:
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / 500)).T * EIGENVALUES.sqrt()


def pca_with_noise(variance: float) -> ProbabilisticPrincipalComponents:
    """The maximum-likelihood linear model for that noise: units above it are on, others off."""
    model = ProbabilisticPrincipalComponents((6,), 4)
    model.variance.fill_(variance)
    strength = (EIGENVALUES[:4] - variance).clamp_min(0).sqrt()
    model.weight.copy_(torch.eye(6, 4, dtype=torch.float64) * strength)
    return model


@pytest.mark.parametrize(("variance", "active"), [(1.05, 1), (0.95, 2), (0.4, 3), (3.0, 0)])
def test_units_of_the_linear_model_are_those_above_the_noise(variance: float, active: int) -> None:
    found = units(pca_with_noise(variance), vectors(rows_of_that_covariance()))
    assert found.count == active
    exact = ((EIGENVALUES[:4] - variance) / EIGENVALUES[:4]).clamp_min(0)
    assert torch.allclose(found.variance, exact, atol=1e-9)


def test_the_figure_of_the_notes() -> None:
    found = units(pca_with_noise(1.05), vectors(rows_of_that_covariance()))
    assert found.variance.tolist() == pytest.approx([0.512, 0, 0, 0], abs=1e-6)
    assert found.exact


def test_rates_of_units_are_the_closed_form() -> None:
    x = torch.tensor([[0.5, 0.0], [-0.5, 0.0]], dtype=torch.float64)
    found = units(coder(2, 0.5), vectors(x))
    width = 0.5 * (0.25 - 1) - torch.tensor(0.5).double().log()
    assert torch.allclose(found.rate, torch.stack([width + 0.125, width]), rtol=1e-10)
    assert found.variance.tolist() == pytest.approx([0.25, 0.0])
    # a unit whose mean stands still is off, however narrow its cloud
    assert found.active.tolist() == [True, False]
    assert found.order.tolist() == [0, 1]


def test_rates_of_a_posterior_that_is_not_normal_are_not_exact() -> None:
    model = coder(2, 0.5)
    assert units(model, vectors(torch.eye(2).double())).exact
    model.posterior = FlowPosterior(2).double()
    model.encoder = Affine(2, model.posterior.numbers).double()
    assert not units(model, vectors(torch.eye(2).double())).exact


def test_a_model_without_a_prior_has_no_active_units() -> None:
    with pytest.raises(UnsupportedError, match="which units are active"):
        units(linear_autoencoder(6, 2), vectors(rows_of_that_covariance().float()))


def test_codes_are_the_posteriors_moments_in_chunks_too() -> None:
    model, rows = oracle.model("mean_field"), vectors(oracle.data(30))
    codes = encode_rows(model, rows)
    posterior = model.encode(rows.all())
    assert torch.allclose(codes.mean, posterior.mean[0])
    assert torch.allclose(codes.deviation, posterior.stddev[0])
    chunked = encode_rows(model, rows, memory=4 * dry_run(model, first_row(rows, model)).bytes)
    assert torch.allclose(chunked.mean, codes.mean, rtol=1e-12)
    assert not codes.mean.requires_grad
    assert not codes.mean.is_inference()


def test_codes_of_a_point_have_no_width() -> None:
    codes = encode_rows(linear_autoencoder(6, 2), vectors(torch.randn(5, 6)))
    assert not codes.deviation.any()


def test_the_grid_lies_on_the_priors_quantiles() -> None:
    model = binary_vae(latent=3)
    found = units(model, bits((torch.rand(50, 12) < 0.5).float()))
    grid = latent_grid(model, found, 5)
    first, second, rest = found.order.tolist()
    assert grid.z.shape == (5, 5, 3)
    assert not grid.z[..., rest].any()
    levels = torch.special.ndtr(grid.z[2, :, first])
    assert torch.allclose(levels, torch.linspace(0.02, 0.98, 5).double(), atol=1e-6)
    assert torch.equal(grid.z[:, 0, second], torch.from_numpy(grid.ticks[1]))
    assert grid.names == (f"z{first + 1}", f"z{second + 1}")
