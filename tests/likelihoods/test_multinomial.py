"""The multinomial likelihood of fractions: its mass, its marginals, its conditionals, its draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods import Multinomial, MultinomialEmission

WHOLE = 5
LOGITS = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64)
EVERY = torch.tensor(
    [n for n in itertools.product(range(WHOLE + 1), repeat=3) if sum(n) == WHOLE],
    dtype=torch.float64,
)


def emission(rows: int = 1) -> MultinomialEmission:
    return Multinomial((3,), levels=WHOLE + 1).double()(LOGITS.expand(1, rows, 3))


def test_log_prob_is_that_of_scipy_and_sums_to_one() -> None:
    found = emission(len(EVERY)).log_prob(EVERY / WHOLE)[0]
    expected = stats.multinomial.logpmf(EVERY.numpy(), WHOLE, LOGITS.softmax(0).numpy())
    torch.testing.assert_close(found, torch.from_numpy(expected))
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_many_atoms_have_the_same_log_prob_in_float32() -> None:
    """float32 has seven digits, and log N! of 65,535 atoms is 661,279 nats."""
    whole = 65_535
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(8, generator=generator)
    counts = np.random.default_rng(0).multinomial(whole, logits.double().softmax(0).numpy(), 50)
    x = torch.from_numpy(counts) / whole
    assert x.dtype == torch.float32
    found = MultinomialEmission(logits.expand(1, 1, 8), whole).log_prob(x)[0]
    assert found.dtype == torch.float32
    expected = stats.multinomial.logpmf(counts, whole, logits.double().softmax(0).numpy())
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_it_is_the_cross_entropy_of_the_fractions_up_to_a_constant() -> None:
    x = EVERY / WHOLE
    other = torch.tensor([1.0, 0.1, -0.4], dtype=torch.float64)
    likelihood = Multinomial((3,), levels=WHOLE + 1).double()
    gain = (likelihood(other.expand(1, 1, 3)).log_prob(x) - emission().log_prob(x))[0]
    cross = (x * (other.log_softmax(0) - LOGITS.log_softmax(0))).sum(-1)
    torch.testing.assert_close(gain, WHOLE * cross)


@pytest.mark.parametrize("seen", list(itertools.product([True, False], repeat=3)))
def test_hidden_parts_are_summed_over(seen: tuple[bool, ...]) -> None:
    """log p of the observed counts is the logarithm of the sum over all hidden ones."""
    mask = torch.tensor(seen)
    row = torch.tensor([2.0, 1.0, 2.0], dtype=torch.float64)
    matching = (EVERY[:, mask] == row[mask]).all(1)
    total = emission(len(EVERY)).log_prob(EVERY / WHOLE)[0][matching].exp().sum().log()
    hidden = torch.where(mask, row / WHOLE, torch.nan)[None].requires_grad_()
    logits = LOGITS.expand(1, 1, 3).clone().requires_grad_()
    partial = MultinomialEmission(logits, WHOLE)
    log_prob = partial.log_prob(hidden, mask[None])
    assert log_prob.item() == pytest.approx(total.item(), abs=1e-12)
    assert (partial.terms(hidden, mask[None])[0, 0][~mask] == 0).all()
    log_prob.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_hidden_parts_share_what_is_left() -> None:
    """p(hidden | observed) = p(all) / p(observed), and draws of it keep the sum."""
    mask = torch.tensor([[True, False, False]])
    x = torch.tensor([[0.4, 0.0, 0.0]], dtype=torch.float64)
    whole, given = emission(), emission().given(x, mask)
    rows = torch.tensor([[0.4, n / WHOLE, (3 - n) / WHOLE] for n in range(4)]).double()
    joint = emission(4).log_prob(rows)[0] - whole.log_prob(x, mask)[0]
    alone = torch.tensor([[0.0, n / WHOLE, (3 - n) / WHOLE] for n in range(4)]).double()
    torch.testing.assert_close(given.log_prob(alone)[0], joint)
    mean = (joint.exp()[:, None] * alone).sum(0)
    torch.testing.assert_close(given.mean[0, 0], mean)
    variance = (joint.exp()[:, None] * (alone - mean).square()).sum(0)
    torch.testing.assert_close(given.variance[0, 0], variance)
    drawn = whole.complete(x, mask, (50,))
    torch.testing.assert_close(drawn.sum(-1), torch.ones(50, 1, 1).double())
    assert (drawn[..., 0] == 0.4).all()


def test_draws_have_the_frequencies_of_the_mass() -> None:
    draws = 40_000
    x = emission().sample((draws,))[:, 0, 0]
    assert x.shape == (draws, 3)
    code = (x * WHOLE).round() @ torch.tensor([36.0, 6.0, 1.0]).double()
    each = EVERY @ torch.tensor([36.0, 6.0, 1.0]).double()
    expected = emission(len(EVERY)).log_prob(EVERY / WHOLE)[0].exp()
    seen = torch.stack([(code == one).double().mean() for one in each])
    error = (expected * (1 - expected) / draws).sqrt()
    assert ((seen - expected).abs() < 5 * error + 1e-9).all()
    torch.testing.assert_close(emission().mean[0, 0], LOGITS.softmax(0))


def test_score_has_mean_zero() -> None:
    logits = LOGITS.expand(1, len(EVERY), 3).clone().requires_grad_()
    log_prob = MultinomialEmission(logits, WHOLE).log_prob(EVERY / WHOLE)[0]
    log_prob.sum().backward()
    assert logits.grad is not None
    score = (log_prob.detach().exp()[:, None] * logits.grad[0]).sum(0)
    torch.testing.assert_close(score, torch.zeros(3).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_logits_stay_finite(dtype: torch.dtype) -> None:
    logits = (30 * torch.randn(1, 200, 40, dtype=dtype)).requires_grad_()
    found = Multinomial((40,), levels=101)(logits)
    x = found.sample()[0]
    assert x.dtype == dtype
    for rows in (x, x.flip(0)):
        log_prob = found.log_prob(rows)
        assert log_prob.isfinite().all()
    log_prob.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_half_precision_ends_where_probability_begins() -> None:
    found = Multinomial((3,), levels=101)(LOGITS.bfloat16().expand(1, 1, 3))
    assert found.log_prob(torch.tensor([[0.5, 0.5, 0.0]])).dtype == torch.float32


def test_the_start_is_the_mean_composition() -> None:
    x = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]])
    bias = Multinomial((3,), levels=101).initial_bias(x)
    start = bias.softmax(0)
    assert start.tolist() == pytest.approx([0.375, 0.625, 0.0], abs=0.01)
    assert start[2] > 0


def test_rows_that_do_not_sum_to_one_are_refused() -> None:
    likelihood = Multinomial((3,), levels=101)
    likelihood.check(torch.tensor([[0.33, 0.67, 0.0]]))
    for row in ([0.5, 0.4, 0.0], [1.5, -0.5, 0.0], [0.335, 0.665, 0.0], [math.nan, 0.5, 0.5]):
        with pytest.raises(DataError, match="values"):
            likelihood.check(torch.tensor([row]))
    with pytest.raises(OptionError, match="sum to one, not for pictures"):
        Multinomial((1, 8, 8))


def test_compiles_into_one_graph() -> None:
    likelihood = Multinomial((3,), levels=WHOLE + 1).double()

    def log_prob(logits: Tensor, x: Tensor) -> Tensor:
        answer: Tensor = likelihood(logits).log_prob(x)
        return answer

    torch.compiler.reset()
    compiled = torch.compile(log_prob, backend="eager", fullgraph=True)
    logits = LOGITS.expand(1, len(EVERY), 3)
    torch.testing.assert_close(compiled(logits, EVERY / WHOLE), log_prob(logits, EVERY / WHOLE))
