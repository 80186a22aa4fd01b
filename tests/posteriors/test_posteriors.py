"""What each posterior is in particular."""

from __future__ import annotations

import math

import pytest
import torch

from lowerbound.distributions.divergence import closed_form_kl
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import base_normal, diagonal_normal, draw, frozen
from lowerbound.distributions.triangular import pack
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.posteriors import FlowPosterior, FullGaussianPosterior, GaussianPosterior, Point


def test_gaussian_heads_are_mean_and_log_variance() -> None:
    parameters = torch.tensor([[1.0, -2.0, 0.0, math.log(4.0)]], dtype=torch.float64)
    normal = base_normal(GaussianPosterior(2)(parameters))
    assert normal is not None
    torch.testing.assert_close(normal.loc[0, 0], parameters[0, :2])
    assert normal.scale[0, 0, 0].item() == 1.0
    assert normal.scale[0, 0, 1].item() == pytest.approx(2.0, rel=5e-3)  # barely bent there


def test_gaussian_variance_is_bounded_smoothly() -> None:
    heads = torch.linspace(-500, 500, 1001, dtype=torch.float64, requires_grad=True)
    parameters = torch.stack([torch.zeros_like(heads), heads], 1)
    scale = GaussianPosterior(1)(parameters).stddev[0, :, 0]
    assert scale.min().item() == pytest.approx(math.exp(-7))
    assert scale.max().item() == pytest.approx(math.exp(7))
    assert (scale.diff() >= 0).all()
    (slope,) = torch.autograd.grad(scale.log().sum(), heads)
    assert (slope[495:506] > 0.4).all()  # a half per unit of log-variance, and never a jump


def test_gaussian_pathwise_gradient_is_the_analytic_one() -> None:
    """d/d mu E[sum z^2] = 2 mu and d/d sigma E[sum z^2] = 2 sigma, at every draw but for noise."""
    parameters = torch.tensor([[0.7, 0.3]], dtype=torch.float64, requires_grad=True)
    distribution = GaussianPosterior(1)(parameters)
    normal = base_normal(distribution)
    assert normal is not None
    z = draw(distribution, 400_000)
    by_loc, by_scale = torch.autograd.grad(
        z.square().mean(), [normal.loc, normal.scale], retain_graph=True
    )
    assert by_loc.item() == pytest.approx(2 * 0.7, rel=0.01)
    assert by_scale.item() == pytest.approx(2 * normal.scale.item(), rel=0.02)
    eps = ((z - normal.loc) / normal.scale).detach()
    (along,) = torch.autograd.grad(z.sum(), normal.scale)
    torch.testing.assert_close(along.squeeze(), eps.sum())


def test_full_is_the_gaussian_that_was_packed() -> None:
    mean, factor = torch.randn(4, 3).double(), torch.randn(4, 3, 3).double().tril()
    torch.diagonal(factor, dim1=1, dim2=2).abs_()
    full = FullGaussianPosterior(3)
    assert full.numbers == 3 + 6
    distribution = full(pack(mean, factor))
    torch.testing.assert_close(distribution.mean[0], mean)
    torch.testing.assert_close(distribution.covariance_matrix[0], factor @ factor.mT)


def test_full_draws_have_its_covariance() -> None:
    distribution = FullGaussianPosterior(3)(torch.randn(2, 9, dtype=torch.float64))
    z = draw(distribution, 200_000)
    for row in range(2):
        expected = distribution.covariance_matrix[0, row]
        deviation = (z[:, row].T.cov() - expected).norm() / expected.norm()
        assert deviation < 0.02
    keyed = draw(distribution, 4, KeyedNoise(row_keys(torch.eye(2))))
    alone = FullGaussianPosterior(3)(torch.zeros(1, 9, dtype=torch.float64))
    last = draw(alone, 4, KeyedNoise(row_keys(torch.eye(2)[1:])))[:, 0]
    whitened = distribution.mean[0, 1] + last @ distribution.scale_tril[0, 1].T
    torch.testing.assert_close(keyed[:, 1], whitened)  # noise goes by row, whatever stands beside


def test_full_rate_is_the_kl_to_the_standard_normal() -> None:
    distribution = FullGaussianPosterior(3)(torch.randn(5, 9, dtype=torch.float64))
    zeros = torch.zeros(1, 1, 3, dtype=torch.float64)
    rate = closed_form_kl(distribution, diagonal_normal(zeros, torch.ones_like(zeros)))
    standard = torch.distributions.MultivariateNormal(zeros, torch.eye(3, dtype=torch.float64))
    assert rate is not None
    assert rate.shape == (1, 5)
    torch.testing.assert_close(rate, torch.distributions.kl_divergence(distribution, standard))


def test_full_gives_gradients_per_row() -> None:
    """Private training takes each row's gradient through vmap, the draw included."""
    full, rows = FullGaussianPosterior(3), torch.randn(4, 9, dtype=torch.float64)

    def value(row: torch.Tensor) -> torch.Tensor:
        distribution = full(row[None])
        z = draw(distribution, 2)
        return z.sum() + distribution.log_prob(z).sum()

    each = torch.func.vmap(torch.func.grad(value), randomness="different")(rows)
    assert each.isfinite().all()
    torch.testing.assert_close(each[:, :3], torch.full_like(each[:, :3], 2.0))
    wide = full(rows).expand(torch.Size((5, 4)))
    assert draw(wide, 1).shape == (5, 4, 3)


def test_flow_starts_as_the_gaussian_of_its_heads() -> None:
    flow, gaussian = FlowPosterior(3, context=2), GaussianPosterior(3)
    assert flow.numbers == 8
    parameters = torch.randn(4, 8)
    z = torch.randn(2, 4, 3)
    torch.testing.assert_close(
        flow(parameters).log_prob(z), gaussian(parameters[:, :6]).log_prob(z)
    )
    torch.testing.assert_close(flow(parameters).mean, gaussian(parameters[:, :6]).mean)


def test_flow_is_told_the_row() -> None:
    flow = FlowPosterior(3, context=2)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    same_heads = torch.randn(1, 8).repeat(2, 1)
    same_heads[1, 6:] += 1.0
    center = flow(same_heads).mean
    assert (center[0, 0] - center[0, 1]).abs().max() > 0.01


def test_flow_needs_context() -> None:
    with pytest.raises(OptionError, match="context"):
        FlowPosterior(3, context=0)


def test_point_is_its_own_mean_and_draw() -> None:
    code = torch.randn(1, 4, 3, requires_grad=True)
    point = Point(code)
    assert point.batch_shape == (1, 4)
    for answer in (point.mean, point.sample(), point.rsample(), draw(point, 1)):
        assert torch.equal(answer, code)
    z = draw(point, 5)
    assert z.shape == (5, 4, 3)
    z.sum().backward()
    assert code.grad is not None
    assert (code.grad == 5).all()
    assert (point.variance == 0).all()
    assert not frozen(point).mean.requires_grad


def test_point_has_no_density() -> None:
    with pytest.raises(UnsupportedError, match="no density"):
        Point(torch.zeros(1, 2, 3)).log_prob(torch.zeros(1, 2, 3))
