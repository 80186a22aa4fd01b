"""Batches, passes, and who decides a latent."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods import BernoulliEmission, GaussianEmission
from lowerbound.trace import (
    Batch,
    Draw,
    Given,
    Mean,
    Step,
    Trace,
    fold,
    masked_terms,
    proposer,
)
from tests.generator_noise import TorchNoise

Q = diagonal_normal(torch.randn(1, 4, 2).double(), torch.rand(1, 4, 2).double() + 0.5)
P = diagonal_normal(torch.zeros(1, 1, 2).double(), torch.ones(1, 1, 2).double())


def test_batch_fills_what_is_hidden() -> None:
    x = torch.tensor([[1.0, math.nan], [math.inf, 4.0]])
    observed = torch.tensor([[True, False], [False, True]])
    batch = Batch(x=x, observed=observed)
    assert torch.equal(batch.filled, torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    assert Batch(x=x).filled is x
    with pytest.raises(UnsupportedError, match="no data"):
        _ = Batch(condition=x).filled


def test_batch_picks_rows_and_changes_dtype() -> None:
    batch = Batch(
        x=torch.arange(6.0).reshape(3, 2),
        observed=torch.ones(3, 2, dtype=torch.bool),
        condition=torch.eye(3),
        label=torch.tensor([0, 1, -1]),
        ids=torch.tensor([10, 11, 12]),
    )
    assert len(batch) == 3
    picked = batch.rows(torch.tensor([2, 0]))
    assert len(picked) == 2
    assert picked.x is not None
    assert picked.x.tolist() == [[4, 5], [0, 1]]
    assert picked.ids is not None
    assert picked.ids.tolist() == [12, 10]
    assert picked.state is None
    double = batch.to(torch.float64)
    assert double.x is not None
    assert double.condition is not None
    assert double.label is not None
    assert double.observed is not None
    assert double.x.dtype == double.condition.dtype == torch.float64
    assert double.label.dtype == torch.int64
    assert double.observed.dtype == torch.bool


@pytest.mark.parametrize(
    ("batch", "rows"),
    [
        (Batch(), 1),
        (Batch(count=7), 7),
        (Batch(count=0), 0),
        (Batch(condition=torch.eye(3)), 3),
        (Batch(condition=torch.eye(3), count=3), 3),
        (Batch(label=torch.zeros(4)), 4),
        (Batch(resets=torch.zeros(5, 9, dtype=torch.bool)), 5),
    ],
)
def test_length_of_a_batch_without_data(batch: Batch, rows: int) -> None:
    assert len(batch) == rows


def test_rows_to_imagine_agree_with_the_other_fields() -> None:
    with pytest.raises(OptionError, match=r"count=2.*condition has 3"):
        Batch(condition=torch.eye(3), count=2)
    with pytest.raises(OptionError, match="count=-1"):
        Batch(count=-1)
    picked = Batch(condition=torch.eye(3), count=3).rows(torch.tensor([True, False, True]))
    assert len(picked) == picked.count == 2
    assert Batch(count=5).rows(slice(1, None)).count == 4
    assert Batch(count=5).to(torch.float64).count == 5


def test_masked_terms_keep_nan_out_of_value_and_gradient() -> None:
    x = torch.tensor([[1.0, math.nan, 3.0]])
    observed = torch.tensor([[True, False, True]])
    weight = torch.ones(3, requires_grad=True)
    terms = masked_terms(lambda x: torch.log(x) * weight, x, observed, fill=1.0)
    torch.testing.assert_close(terms, torch.tensor([[0.0, 0.0, math.log(3)]]))
    terms.sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([0.0, 0.0, math.log(3)]))


def test_rate_is_closed_form_where_it_holds() -> None:
    z = Draw(6)(0, Q, P)
    step = Step(z, Q, P)
    exact = torch.distributions.kl_divergence(Q, P)
    torch.testing.assert_close(step.rate(), exact)
    assert step.rate().shape == (1, 4)
    ratio = Q.log_prob(z) - P.log_prob(z)
    torch.testing.assert_close(step.rate(analytic=False), ratio)
    torch.testing.assert_close(step.log_ratio(), ratio)
    # a prior that saw a latent drawn later: the closed form would be wrong, so it is not used
    torch.testing.assert_close(Step(z, Q, P, closed=False).rate(), ratio)


def test_imagined_latents_cost_nothing() -> None:
    z = Draw(3)(0, None, P)
    step = Step(z, None, P)
    assert (step.log_ratio() == 0).all()
    assert step.rate().shape == (3, 1)


def test_log_weights_are_p_over_q() -> None:
    z = Draw(5)(0, Q, P)
    x = torch.randn(4, 2).double()
    trace = Trace((Step(z, Q, P),), GaussianEmission(z, torch.ones(1).double()))
    expected = trace.likelihood.log_prob(x) + P.log_prob(z) - Q.log_prob(z)
    torch.testing.assert_close(trace.log_weights(x), expected)
    nothing = torch.zeros(4, 2, dtype=torch.bool)
    torch.testing.assert_close(trace.log_weights(x, nothing), P.log_prob(z) - Q.log_prob(z))
    assert Trace((), trace.likelihood).log_weights(x).shape == (5, 4)


def test_exact_posterior_makes_every_weight_log_p() -> None:
    """z ~ N(0, 1), x | z ~ N(z, 1): the posterior is N(x / 2, 1 / 2) and log p(x) is N(0, 2)."""
    x = torch.randn(4, 1, dtype=torch.float64)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    posterior = diagonal_normal((x / 2).unsqueeze(0), (0.5 * one).sqrt().expand(1, 4, 1))
    prior = diagonal_normal(0 * one, one)
    z = Draw(7)(0, posterior, prior)
    trace = Trace((Step(z, posterior, prior),), GaussianEmission(z, one[0, 0]))
    exact = -0.25 * x.squeeze(1).square() - 0.5 * math.log(4 * math.pi)
    torch.testing.assert_close(trace.log_weights(x), exact.expand(7, 4), rtol=1e-9, atol=1e-9)


def test_choices() -> None:
    assert torch.equal(Mean()(0, Q, P), Q.mean)
    assert torch.equal(Mean()(0, None, P), P.mean)
    latents = [torch.zeros(3, 4, 2), torch.ones(3, 4, 2)]
    assert Given(latents)(1, Q, P) is latents[1]
    noisy = Draw(3, TorchNoise(torch.Generator().manual_seed(0)))
    same = Draw(3, TorchNoise(torch.Generator().manual_seed(0)))
    assert torch.equal(noisy(0, Q, P), same(0, None, Q))
    trace = Trace((), GaussianEmission(torch.zeros(1, 4, 2), torch.ones(1)))
    assert Draw(8).log_weights(trace) == -math.log(8)
    assert Given(latents).log_weights(trace) == -math.log(3)
    assert Mean().log_weights(trace) == 0


def test_proposer_is_the_posterior_if_any() -> None:
    assert proposer(Q, P) is Q
    assert proposer(None, P) is P
    with pytest.raises(ValueError, match="posterior or a prior"):
        proposer(None, None)


def test_fold_shows_networks_rows_only() -> None:
    seen: list[tuple[int, ...]] = []

    def network(z: Tensor, condition: Tensor | None = None) -> Tensor:
        seen.append(tuple(z.shape))
        total = z.sum(1, keepdim=True)
        return total if condition is None else total + condition

    z = torch.randn(3, 4, 2)
    assert torch.equal(fold(network, z), z.sum(-1, keepdim=True))
    condition = torch.arange(4.0).unsqueeze(1)
    told = fold(network, z, condition)
    assert torch.equal(told, z.sum(-1, keepdim=True) + condition)
    assert seen == [(12, 2), (12, 2)]
    picture = fold(lambda rows, _: rows.unflatten(1, (1, 1, 2)), z)
    assert picture.shape == (3, 4, 1, 1, 2)


def test_emissions_sample_in_shapes_and_without_gradient() -> None:
    logits = torch.randn(2, 3, 5, requires_grad=True)
    emission: Distribution = BernoulliEmission(logits)
    for sample_shape in [(), (4,), [4], torch.Size((4, 2))]:
        x = emission.sample(sample_shape)
        assert x.shape == (*sample_shape, 2, 3, 5)
        assert not x.requires_grad
    assert "BernoulliEmission" in repr(emission)


@pytest.mark.parametrize("balance", [0.8, 0.3])
@pytest.mark.parametrize("analytic", [True, False])
def test_a_balanced_rate_has_its_value_and_trains_the_prior_by_that_share(
    balance: float, analytic: bool
) -> None:
    """Of the gradient of KL(q || p), the share ``balance`` on p and the rest on q (Hafner 2021)."""
    own = torch.full((1, 3, 2), 0.5, dtype=torch.float64, requires_grad=True)
    other = torch.full((1, 3, 2), -0.2, dtype=torch.float64, requires_grad=True)
    scale = torch.ones(1, 3, 2, dtype=torch.float64)
    posterior, prior = diagonal_normal(own, scale), diagonal_normal(other, 2 * scale)
    z = own + 0.3 * scale
    step = Step(z, posterior, prior)
    whole, shared = step.rate(analytic), step.rate(analytic, balance)
    torch.testing.assert_close(shared, whole)
    of_whole = torch.autograd.grad(whole.sum(), (own, other), retain_graph=True)
    of_share = torch.autograd.grad(shared.sum(), (own, other))
    torch.testing.assert_close(of_share[0], (1 - balance) * of_whole[0])
    torch.testing.assert_close(of_share[1], balance * of_whole[1])
