"""p(z) over codes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.distributions.keyed_noise import KeyedNoise
from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.priors import CODE_PRIORS, CodeDistribution, CodePrior
from lowerbound.priors.codes import DECAY, MIXED_IN
from lowerbound.priors.sequential_codes import STRENGTHS
from lowerbound.trace import Tempered

SHAPE, CODES = (2, 3), 5


def learned(name: str, updates: int = 400) -> tuple[CodePrior, torch.Tensor]:
    """A prior that has seen the same rows again and again, and those rows."""
    rows = torch.randint(CODES, (50, *SHAPE), generator=torch.Generator().manual_seed(0))
    rows[:, 0, 0] = 2
    prior = CODE_PRIORS[name](SHAPE, CODES).double().eval()
    for _ in range(updates):
        prior.learn(rows)
    return prior, rows


@pytest.mark.parametrize("name", CODE_PRIORS)
def test_probabilities_of_all_codes_sum_to_one(name: str) -> None:
    prior, _ = learned(name)
    every = torch.cartesian_prod(*[torch.arange(CODES)] * 6).reshape(-1, 1, *SHAPE)
    total = prior().log_prob(every).detach().double().exp().sum()
    assert float(total) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("name", ["uniform", "marginal"])
def test_draws_have_its_probabilities(name: str) -> None:
    prior, _ = learned(name)
    distribution = prior().expand(torch.Size((1, 4)))
    with seeded(1):
        z = draw(distribution, 50_000)
    assert z.shape == (50_000, 4, *SHAPE)
    assert z.dtype == torch.long
    found = torch.nn.functional.one_hot(z, CODES).double().mean((0, 1))
    expected = prior().log_probabilities.double().exp()
    torch.testing.assert_close(found, expected.expand_as(found), rtol=0, atol=5e-3)


def test_keyed_draws_depend_on_the_row_alone() -> None:
    distribution = learned("marginal")[0]().expand(torch.Size((1, 3)))
    keys = torch.tensor([7, 8, 9])
    together = draw(distribution, 5, KeyedNoise(keys))
    alone = draw(distribution.expand(torch.Size((1, 1))), 5, KeyedNoise(keys[1:2]))
    assert torch.equal(together[:, 1:2], alone)


def test_uniform_codes_cost_log_k_each() -> None:
    z = torch.randint(CODES, (3, 4, *SHAPE))
    log_prob = CODE_PRIORS["uniform"](SHAPE, CODES)().log_prob(z)
    torch.testing.assert_close(log_prob, torch.full((3, 4), -6 * math.log(CODES)))


def test_the_marginal_is_that_of_the_codes_at_each_place() -> None:
    prior, rows = learned("marginal")
    empirical = torch.nn.functional.one_hot(rows, CODES).double().mean(0)
    left = DECAY**400  # of the even start
    shares = (1 - left) * empirical + left / CODES
    everywhere = shares.flatten(0, 1).mean(0)
    expected = (1 - 2 * MIXED_IN) * shares + MIXED_IN * (everywhere + 1 / CODES)
    torch.testing.assert_close(prior().log_probabilities.exp(), expected)
    assert prior().mean[0, 0, 0, 0] == 2
    # fitted, so the rows are likelier than under even odds, and nearly as likely as can be
    entropy = -torch.special.xlogy(empirical, empirical).sum()
    cost = float(-prior().log_prob(rows[None]).mean())
    assert entropy < cost < entropy + 6 * 3 * MIXED_IN
    assert cost < 6 * math.log(CODES) - 1


def test_codes_that_were_never_seen_stay_possible() -> None:
    prior = learned("marginal", 5000)[0]
    unseen = torch.zeros(1, 1, *SHAPE, dtype=torch.long)
    assert float(prior().log_probabilities.exp().min()) >= MIXED_IN / CODES
    assert prior().log_prob(unseen).isfinite().all()


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_a_temperature_sharpens_codes(temperature: float) -> None:
    """In proportion to p ** (1 / temperature), codebook by codebook of a pass."""
    shares = torch.tensor([0.5, 0.3, 0.2]).double()
    distribution = CodeDistribution(shares.log().expand(2, 3)).expand(torch.Size((1, 4)))
    with seeded(0):
        z = Tempered(20_000, (temperature,))(0, None, distribution)
    assert z.shape == (20_000, 4, 2)
    found = torch.bincount(z.flatten(), minlength=3) / z.numel()
    powers = shares ** (1 / temperature) if temperature else torch.tensor([1.0, 0, 0]).double()
    torch.testing.assert_close(found.double(), powers / powers.sum(), atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", ["marginal", "markov", "autoregressive"])
@pytest.mark.parametrize(("top_k", "top_p"), [(2, 1.0), (None, 0.6), (3, 0.9)])
def test_draws_keep_to_the_likeliest_codes_and_the_density_stays(
    name: str, top_k: int | None, top_p: float
) -> None:
    """Of one place: what is drawn, and how often, is p of the kept codes, normalized."""
    shares = torch.tensor([0.1, 0.35, 0.2, 0.3, 0.05]).double()
    rows = torch.arange(CODES).repeat_interleave((200 * shares).round().long()).reshape(-1, 1)
    prior = CODE_PRIORS[name].build((1,), CODES, [], {}).eval()
    with torch.no_grad():
        prior.start_from_codes(rows)
        every = torch.arange(CODES).reshape(-1, 1, 1)
        before = prior().log_prob(every).flatten()
        prior.top_k, prior.top_p = top_k, top_p
        with seeded(0):
            z = draw(prior().expand(torch.Size((1, 4))), 10_000)
        assert torch.equal(prior().log_prob(every).flatten(), before)
    ordered, order = before.double().exp().sort(descending=True, stable=True)
    kept = ordered.cumsum(0) - ordered < top_p
    kept &= ordered >= ordered[(top_k or CODES) - 1]
    expected = torch.zeros(CODES).double().scatter(0, order, ordered * kept)
    found = torch.bincount(z.flatten(), minlength=CODES) / z.numel()
    torch.testing.assert_close(found.double(), expected / expected.sum(), atol=0.01, rtol=0)
    assert torch.equal(found > 0, expected > 0)


def test_log_prob_takes_batches_of_its_own_shape() -> None:
    distribution = CodeDistribution(torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]])))
    z = torch.tensor([[[0, 1]], [[1, 1]]])
    expected = torch.tensor([[0.125], [0.375]]).log()
    torch.testing.assert_close(distribution.log_prob(z), expected)


def test_tallies_are_the_prior_of_all_places_in_whole_numbers() -> None:
    codes = torch.randint(0, 3, (500, 4), generator=torch.Generator().manual_seed(0))
    prior = CODE_PRIORS["marginal"]((4,), 6)
    for part in codes.split(50):
        prior.learn(part)
    tally = prior.tally()
    assert tally.dtype == torch.long
    likely = prior().log_probabilities.exp().mean(0)
    torch.testing.assert_close(tally / tally.sum(), likely, rtol=0.02, atol=2e-3)
    assert torch.equal(CODE_PRIORS["uniform"]((4,), 6).tally(), torch.ones(6, dtype=torch.long))


@pytest.mark.parametrize("seed", range(6))
def test_markov_shares_are_smoothed_by_the_strength_that_predicts_left_out_codes_best(
    seed: int,
) -> None:
    """By enumeration: each code is taken out, and predicted by a table of all others."""
    draw, codes = np.random.default_rng(seed), 3
    rows = draw.choice(codes, (6, 5), p=[0.6, 0.3, 0.1])
    prior = CODE_PRIORS["markov"].build((5,), codes, [], {})
    with torch.no_grad():
        prior.start_from_codes(torch.from_numpy(rows))
    before = np.concatenate([np.full((6, 1), codes), rows[:, :-1]], 1)
    counts = np.zeros((codes + 1, codes))
    np.add.at(counts, (before, rows), 1)
    base = (counts.sum(0) + 0.5) / (counts.sum() + codes / 2)

    def share(counts: Any, strength: float) -> Any:
        return (counts + strength * base) / (counts.sum(1, keepdims=True) + strength)

    def left_out(strength: float) -> float:
        total = 0.0
        for j, k in zip(before.flat, rows.flat, strict=True):
            others = counts.copy()
            others[j, k] -= 1
            total += math.log(share(others, strength)[j, k])
        return total

    best = max(STRENGTHS, key=left_out)
    np.testing.assert_allclose(prior.shares, share(counts, best), rtol=1e-5)
