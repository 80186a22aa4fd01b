"""The tabular network starts as factor analysis, exact for every pattern of missing cells."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowerbound.classical.factor_analysis import FactorAnalysis
from lowerbound.distributions.reparameterization import diagonal_normal, draw
from lowerbound.distributions.triangular import count
from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import GaussianEmission
from lowerbound.networks import Tabular, TabularDecoder, TabularEncoder
from lowerbound.posteriors import FullGaussianPosterior

FEATURES, EMBEDDED = 12, 5


def solved(latent: int) -> FactorAnalysis:
    weight = torch.randn(FEATURES, latent, dtype=torch.float64)
    noise = 10 ** (-3 * torch.rand(FEATURES, dtype=torch.float64))  # down to 1e-3, the fit's floor
    return FactorAnalysis(weight, torch.randn(FEATURES, dtype=torch.float64), noise)


def started(model: FactorAnalysis, condition_dim: int = 0) -> tuple[TabularEncoder, TabularDecoder]:
    """Both halves in float64, started from the model."""
    latent = model.latent_dim
    encoder = Tabular().encoder(
        (2 * FEATURES + EMBEDDED,), count(latent), condition_dim, linear=FEATURES
    )
    decoder = Tabular().decoder(latent, (FEATURES,), condition_dim)
    encoder.double().start_from(model)
    decoder.double().start_from(torch.arange(FEATURES), model.weight, model.offset)
    return encoder, decoder


def masked_rows(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values zero where hidden, their mask, and the features that an encoder is fed."""
    mask = torch.rand(rows, FEATURES) < torch.rand(rows, 1)
    mask[0], mask[1] = False, True
    values = torch.where(mask, 2 * torch.randn(rows, FEATURES, dtype=torch.float64), 0.0)
    embedded = torch.randn(rows, EMBEDDED, dtype=torch.float64)
    return values, mask, torch.cat((values, mask.double(), embedded), 1)


@pytest.mark.parametrize("latent", [1, 4, 32])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_the_encoder_starts_as_the_exact_posterior(
    latent: int, dtype: torch.dtype, tolerance: float
) -> None:
    model = solved(latent)
    values, mask, features = masked_rows(30)
    encoder = started(model)[0].to(dtype)
    posterior = FullGaussianPosterior(latent)(encoder(features.to(dtype)))
    mean, factor = model.posterior(values, mask)
    torch.testing.assert_close(posterior.mean[0].double(), mean, rtol=tolerance, atol=tolerance)
    covariance = torch.cholesky_inverse(factor)
    torch.testing.assert_close(
        posterior.covariance_matrix[0].double(), covariance, rtol=tolerance, atol=tolerance
    )


def test_where_nothing_is_observed_it_starts_as_the_prior() -> None:
    encoder, _ = started(solved(3))
    posterior = FullGaussianPosterior(3)(encoder(masked_rows(2)[2])[:1])
    assert not posterior.mean.any()
    torch.testing.assert_close(posterior.scale_tril[0, 0], torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("condition_dim", [0, 2])
def test_the_decoder_starts_affine(condition_dim: int) -> None:
    model = solved(4)
    _, decoder = started(model, condition_dim)
    z = torch.randn(6, 4, dtype=torch.float64)
    condition = torch.randn(6, condition_dim) if condition_dim else None
    torch.testing.assert_close(decoder(z, condition), z @ model.weight.T + model.offset)
    assert torch.equal(decoder.output_bias, model.offset)


def test_some_of_the_owed_numbers_start_and_the_others_stay() -> None:
    decoder = Tabular().decoder(2, (2, 3))
    z, rows = torch.randn(4, 2), torch.tensor([5, 0])
    before, weight, offset = decoder(z).flatten(1), torch.randn(2, 2), torch.randn(2)
    decoder.start_from(rows, weight, offset)
    after = decoder(z).flatten(1)
    torch.testing.assert_close(after[:, rows], z @ weight.T + offset)
    torch.testing.assert_close(after[:, 1:5], before[:, 1:5])


@pytest.mark.parametrize("samples", [1, 5])
def test_every_draw_gives_the_marginal(samples: int) -> None:
    """log p(x_o | z) + log p(z) - log q(z | x_o) = log p(x_o) at any z, q being exact."""
    model = solved(4)
    values, mask, features = masked_rows(25)
    encoder, decoder = started(model)
    posterior = FullGaussianPosterior(4)(encoder(features))
    z = draw(posterior, samples)
    emission = GaussianEmission(
        decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2]), model.noise.sqrt()
    )
    zeros = torch.zeros(1, 1, 4, dtype=torch.float64)
    prior = diagonal_normal(zeros, torch.ones_like(zeros))
    weights = emission.log_prob(values, mask) + prior.log_prob(z) - posterior.log_prob(z)
    exact = model.log_marginal(values, mask).expand(samples, -1)
    torch.testing.assert_close(weights, exact, rtol=0, atol=1e-8)


def test_every_parameter_learns_after_one_update() -> None:
    encoder, decoder = started(solved(3), condition_dim=2)
    features, condition = masked_rows(20)[2], torch.randn(20, 2)
    parameters = [*encoder.named_parameters(), *decoder.named_parameters()]
    optimizer = torch.optim.SGD([parameter for _, parameter in parameters], 1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        posterior = FullGaussianPosterior(3)(encoder(features, condition))
        z = draw(posterior, 1)
        decoded = decoder(z[0], condition)
        (decoded.square().mean() - posterior.log_prob(z).mean()).backward()
        optimizer.step()
    for name, parameter in parameters:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_residual_network_is_told_everything() -> None:
    encoder, _ = started(solved(3), condition_dim=2)
    torch.nn.init.normal_(encoder.residual[-1].weight)
    features, condition = masked_rows(4)[2], torch.randn(4, 2, dtype=torch.float64)
    features.requires_grad_()
    condition.requires_grad_()
    encoder(features, condition).square().sum().backward()
    for told in (features, condition):
        assert told.grad is not None
        assert (told.grad != 0).all()


def test_the_stretch_is_bounded() -> None:
    encoder, _ = started(solved(3))
    features = masked_rows(4)[2]
    _, exact = encoder.exact(features)
    torch.nn.init.constant_(encoder.residual[-1].bias[3:], 1e6)
    _, factor = encoder.exact(features)
    assert torch.equal(factor, exact)
    stretched = FullGaussianPosterior(3)(encoder(features)).scale_tril[0]
    torch.testing.assert_close(stretched, exact * torch.tensor(3.0).double().exp())


def test_noise_far_below_the_others_stays_sound_in_float32() -> None:
    model = solved(4)
    model.noise[0] = 1e-9
    values, mask, features = masked_rows(30)
    encoder = started(model)[0].float()
    numbers = encoder(features.float())
    assert numbers.isfinite().all()
    numbers.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())
    mean, _ = model.posterior(values, mask)
    torch.testing.assert_close(numbers[:, :4].double(), mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("numbers", [2 * 4, 3, 10])
def test_other_posteriors_are_refused(numbers: int) -> None:
    with pytest.raises(OptionError, match="'tabular' goes with the posterior 'full'"):
        Tabular().encoder((8,), numbers)


@pytest.mark.parametrize(("width", "linear"), [(7, None), (8, 5), (8, 0), (0, None)])
def test_features_without_a_mask_are_refused(width: int, linear: int | None) -> None:
    with pytest.raises(OptionError, match="as many cells of their mask"):
        Tabular().encoder((width,), count(2), linear=linear)


def test_a_start_of_another_shape_is_refused() -> None:
    encoder, decoder = started(solved(3))
    with pytest.raises(ValueError, match=r"shape \(12, 3\), not \(12, 1\)"):
        encoder.start_from(solved(1))
    with pytest.raises(ValueError, match=r"shape \(2, 3\), not \(2, 1\)"):
        decoder.start_from(torch.arange(2), torch.zeros(2, 1), torch.zeros(2))
