"""Closed-form KL divergences against torch's and against Monte Carlo."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    StudentT,
    kl_divergence,
)

from lowerbound.distributions.divergence import closed_form_kl, monte_carlo_kl
from lowerbound.distributions.reparameterization import diagonal_normal, draw

D = torch.float64


def normal(samples: int, rows: int, dim: int) -> Independent:
    return diagonal_normal(
        torch.randn(samples, rows, dim, dtype=D), torch.randn(samples, rows, dim, dtype=D).exp()
    )


def multivariate(rows: int, dim: int) -> MultivariateNormal:
    factor = torch.tril(torch.randn(1, rows, dim, dim, dtype=D), -1)
    factor = factor + torch.diag_embed(torch.rand(1, rows, dim, dtype=D) + 0.2)
    return MultivariateNormal(torch.randn(1, rows, dim, dtype=D), scale_tril=factor)


def as_multivariate(q: Independent) -> MultivariateNormal:
    return MultivariateNormal(q.mean, scale_tril=torch.diag_embed(q.stddev))


def test_gaussians_against_torch() -> None:
    for q, p in [
        (normal(1, 5, 3), normal(1, 1, 3)),
        (normal(4, 5, 3), normal(1, 5, 3)),
        (normal(1, 5, 1), normal(1, 1, 1)),
    ]:
        ours = closed_form_kl(q, p)
        assert ours is not None
        assert ours.shape == q.batch_shape
        torch.testing.assert_close(ours, kl_divergence(q, p), rtol=1e-6, atol=1e-9)
        assert (ours >= 0).all()


def test_pictures_of_latents_sum_over_the_whole_event() -> None:
    q = Independent(Normal(torch.randn(1, 2, 3, 4, 4), torch.rand(1, 2, 3, 4, 4) + 0.1), 3)
    p = Independent(Normal(torch.zeros(1, 1, 3, 4, 4), torch.ones(1, 1, 3, 4, 4)), 3)
    ours = closed_form_kl(q, p)
    assert ours is not None
    torch.testing.assert_close(ours, kl_divergence(q, p), rtol=1e-5, atol=1e-4)


def test_full_against_diagonal_gaussian() -> None:
    q, p = multivariate(5, 3), normal(1, 1, 3)
    ours = closed_form_kl(q, p)
    assert ours is not None
    torch.testing.assert_close(ours, kl_divergence(q, as_multivariate(p)), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 7, 50])
def test_a_shift_of_one_costs_half_a_nat_per_dimension(dim: int) -> None:
    """KL(N(1, I_d) || N(0, I_d)) = d / 2."""
    zero, one = torch.zeros(1, 1, dim, dtype=D), torch.ones(1, 1, dim, dtype=D)
    divergence = closed_form_kl(diagonal_normal(one, one), diagonal_normal(zero, one))
    assert divergence is not None
    assert divergence.item() == pytest.approx(dim / 2, rel=1e-12)


def test_divergence_is_not_symmetric() -> None:
    zero, one = torch.zeros(1, 1, 1, dtype=D), torch.ones(1, 1, 1, dtype=D)
    narrow, wide = diagonal_normal(zero, 0.1 * one), diagonal_normal(zero, one)
    forth, back = closed_form_kl(narrow, wide), closed_form_kl(wide, narrow)
    assert forth is not None
    assert back is not None
    assert forth.item() == pytest.approx(math.log(10) + 0.5 * (0.01 - 1))
    assert back.item() == pytest.approx(-math.log(10) + 0.5 * (100 - 1))


def test_categories_against_torch_and_without_nan() -> None:
    q = Categorical(logits=torch.randn(1, 5, 4, dtype=D))
    p = Categorical(logits=torch.randn(1, 1, 4, dtype=D))
    ours = closed_form_kl(q, p)
    assert ours is not None
    torch.testing.assert_close(ours, kl_divergence(q, p.expand((1, 5))), rtol=1e-6, atol=1e-9)
    several = closed_form_kl(
        Independent(Categorical(logits=torch.randn(1, 5, 3, 4, dtype=D)), 1),
        Independent(Categorical(logits=torch.zeros(1, 1, 3, 4, dtype=D)), 1),
    )
    assert several is not None
    assert several.shape == (1, 5)


def test_impossible_categories_reach_neither_value_nor_gradient() -> None:
    logits = torch.tensor([[[0.0, 0.0, -math.inf]]], dtype=D, requires_grad=True)
    uniform = Categorical(torch.ones(1, 1, 3, dtype=D))
    certain = closed_form_kl(Categorical(logits=logits), uniform)
    assert certain is not None
    assert certain.item() == pytest.approx(math.log(3 / 2))
    certain.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_pairs_without_a_closed_form() -> None:
    heavy = Independent(StudentT(3.0, torch.zeros(1, 1, 2), torch.ones(1, 1, 2)), 1)
    assert closed_form_kl(normal(1, 3, 2), heavy) is None
    assert closed_form_kl(heavy, normal(1, 3, 2)) is None


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_monte_carlo_agrees(kind: str) -> None:
    q: Distribution = normal(1, 3, 2) if kind == "diagonal" else multivariate(3, 2)
    p = normal(1, 1, 2)
    exact = closed_form_kl(q, p)
    assert exact is not None
    ratios = monte_carlo_kl(q, p, draw(q, 50_000))
    assert ratios.shape == (50_000, 3)
    standard_error = ratios.std(0) / 50_000**0.5
    assert ((ratios.mean(0) - exact[0]).abs() < 5 * standard_error).all()


def test_gradients_are_those_of_torchs() -> None:
    loc = torch.randn(1, 4, 3, dtype=D, requires_grad=True)
    scale = torch.rand(1, 4, 3, dtype=D).add(0.1).requires_grad_()
    p = normal(1, 1, 3)
    ours = closed_form_kl(diagonal_normal(loc, scale), p)
    assert ours is not None
    got = torch.autograd.grad(ours.sum(), [loc, scale])
    want = torch.autograd.grad(kl_divergence(diagonal_normal(loc, scale), p).sum(), [loc, scale])
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
