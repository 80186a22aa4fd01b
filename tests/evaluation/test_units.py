"""Active units and codes of models whose answers are known."""

from __future__ import annotations

import pytest
import torch

from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.aggregate import units
from lowerbound.evaluation.latent_features import latent_grid
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.passes import dry_run, first_row
from lowerbound.models import ProbabilisticPrincipalComponents
from lowerbound.posteriors.gaussian import FlowPosterior
from tests.evaluation.small_models import binary_vae, bits, coder, linear_autoencoder, vectors
from tests.oracles import linear_gaussian as oracle
from tests.oracles.linear_gaussian import Affine

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
