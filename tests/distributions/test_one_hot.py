"""One-hot codes and actions, and two-hot values: exact draws, gradients and divergences."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch.nn import functional as F

from lowerbound.distributions.divergence import closed_form_kl
from lowerbound.distributions.keyed_noise import KeyedNoise
from lowerbound.distributions.one_hot import (
    ClassPolicy,
    NumberPolicy,
    OneHotCodes,
    TwoHot,
    symexp,
    symlog,
    uniform_actions,
    values_of,
)
from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.trace import Tempered


def codes(seed: int = 0, uniform: float = 0.01, *shape: int) -> OneHotCodes:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape or (1, 5, 3, 4), generator=generator)
    return OneHotCodes(logits.requires_grad_(), uniform)


def test_draws_are_one_hot_with_the_gradient_of_a_softmax() -> None:
    """The gradient equals the softmax's Jacobian to the last bit, times one minus the uniform."""
    found = codes()
    weight = torch.randn(1, 5, 3, 4, generator=torch.Generator().manual_seed(1))
    with seeded(0):
        z = draw(found, 1)
    assert bool(((z == 0) | (z == 1)).all())
    assert bool((z.sum(-1) == 1).all())
    (straight,) = torch.autograd.grad((z * weight).sum(), found.logits)
    logits = found.logits.detach().requires_grad_()
    (jacobian,) = torch.autograd.grad((0.99 * torch.softmax(logits, -1) * weight).sum(), logits)
    torch.testing.assert_close(straight, jacobian, rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_a_temperature_divides_the_logits(temperature: float) -> None:
    """As of the codes of other models: p ** (1 / T), and the likeliest code for T = 0."""
    p = torch.tensor([0.8, 0.2])
    found = OneHotCodes(p.log().expand(1, 20_000, 1, 2), 0.0)
    with seeded(0):
        z = Tempered(2, (temperature,))(0, None, found)
    assert z.shape == (2, 20_000, 1, 2)
    powers = p ** (1 / temperature) if temperature else torch.tensor([1.0, 0.0])
    share = float(z[..., 0].mean())
    # three standard errors
    assert share == pytest.approx(float(powers[0] / powers.sum()), abs=3 * 0.5 / 200)


def test_the_uniform_part_is_tempered_too() -> None:
    found = codes(3, 0.3)
    expected = torch.softmax(found.probs.log() / 0.5, -1)
    torch.testing.assert_close(found.tempered(0.5).probs, expected)


@pytest.mark.parametrize("keyed", [False, True])
def test_draws_have_their_probabilities(keyed: bool) -> None:
    found = codes(2, 0.01, 1, 2, 1, 3)
    noise = KeyedNoise(torch.tensor([3, 4])) if keyed else None
    with seeded(1):
        shares = draw(found, 40_000, noise).mean(0)
    torch.testing.assert_close(shares, found.probs[0].detach(), rtol=0, atol=0.01)


def test_the_divergence_is_that_of_enumeration() -> None:
    q, p = codes(3, 0.01, 1, 2, 2, 3), codes(4, 0.05, 1, 2, 2, 3)
    expected = torch.zeros(2)
    for classes in itertools.product(range(3), repeat=2):
        z = torch.nn.functional.one_hot(torch.tensor(classes), 3).float().expand(1, 2, 2, 3)
        expected += (q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z)))[0].detach()
    found = closed_form_kl(q, p)
    assert found is not None
    torch.testing.assert_close(found[0].detach(), expected)


def test_without_a_uniform_part_impossible_classes_add_nothing() -> None:
    logits = torch.tensor([[[[0.0, -torch.inf, 1.0]]]])
    found = closed_form_kl(OneHotCodes(logits, 0.0), OneHotCodes(torch.zeros(1, 1, 1, 3), 0.0))
    assert found is not None
    assert torch.isfinite(found).all()


def test_frozen_codes_have_no_gradient() -> None:
    assert not codes().frozen().probs.requires_grad


def test_a_policy_of_classes_has_the_shape_of_its_logits() -> None:
    logits = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    policy = ClassPolicy(logits)
    likeliest = torch.nn.functional.one_hot(logits.argmax(-1), 4).float()
    assert torch.equal(policy.mode, likeliest)
    assert policy.rsample().shape == logits.shape
    assert policy.entropy.shape == policy.log_prob(likeliest).shape == (6, 5)


def test_a_mean_over_tempered_draws_weighs_each_the_same() -> None:
    trace: Any = None  # the weights are those of any trace
    choose = Tempered(5, (0.7,))
    assert 5 * math.exp(choose.log_weights(trace)) == pytest.approx(1.0)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_random_numbers_are_uniform_from_minus_one_to_one() -> None:
    drawn = uniform_actions(4_000, 2, 0, noise())
    assert drawn.shape == (4_000, 2)
    for column in drawn.T.double().numpy():
        assert kstest(column, "uniform", (-1, 2)).pvalue > 1e-3


def test_random_classes_are_uniform_and_one_hot() -> None:
    drawn = uniform_actions(6_000, 3, 3, noise())
    assert torch.equal(drawn.sum(1), torch.ones(6_000))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn.mean(0) - 1 / 3).abs().max() < 0.03


def test_a_policy_of_numbers_is_a_normal_distribution_around_tanh() -> None:
    numbers = torch.tensor([[0.3, -2.0, -40.0, 1.5]])  # two means, two raw deviations
    policy = NumberPolicy(numbers)
    mean = [math.tanh(0.3), math.tanh(-2.0)]
    scale = [0.1, 0.1 + 0.9 / (1 + math.exp(-3.5))]
    exact = torch.distributions.Normal(torch.tensor([mean]), torch.tensor([scale]))
    action = torch.tensor([[0.2, -1.0]])
    torch.testing.assert_close(policy.log_prob(action), exact.log_prob(action).sum(-1))
    torch.testing.assert_close(policy.entropy, exact.entropy().sum(-1))
    torch.testing.assert_close(policy.mode, exact.mean)


def test_a_policy_of_classes_is_that_of_its_logits() -> None:
    policy = ClassPolicy(torch.tensor([[0.0, 1.0, -1.0]]))
    found = [float(policy.log_prob(F.one_hot(torch.tensor([k]), 3).float())) for k in range(3)]
    assert sum(map(math.exp, found)) == pytest.approx(1.0, abs=1e-5)
    entropy = -sum(math.exp(each) * each for each in found)
    assert float(policy.entropy) == pytest.approx(entropy, abs=1e-4)
    assert policy.mode.tolist() == [[0.0, 1.0, 0.0]]


VALUES = values_of(127, 12.0, torch.device("cpu"))


def test_symexp_undoes_symlog() -> None:
    x = torch.tensor([-1e4, -3.0, -1e-3, 0.0, 0.5, 1e4], dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(x)), x)


@pytest.mark.parametrize("target", [-500.0, -1.0, 0.0, 0.3, 1.0, 7.25, 1e4])
def test_the_likeliest_logits_have_the_target_as_mean(target: float) -> None:
    """Gradient descent on -log p of one target ends at the two-hot, whose mean is the target."""
    logits = torch.zeros(127, requires_grad=True)
    value = torch.tensor(target)
    (gradient,) = torch.autograd.grad(-TwoHot(logits).log_prob(value), logits)
    shares = torch.full((127,), 1 / 127) - gradient
    assert int((shares > 1e-6).sum()) in (1, 2)
    torch.testing.assert_close(shares @ VALUES, value, rtol=1e-4, atol=1e-2)


def test_the_mean_and_the_variance_are_those_of_the_values() -> None:
    found = TwoHot(torch.randn(5, 127, generator=torch.Generator().manual_seed(0)))
    probabilities = torch.softmax(found.logits, -1)
    expected = (probabilities.double() * VALUES.double()).sum(-1)
    torch.testing.assert_close(found.mean.double(), expected, rtol=1e-5, atol=1e-2)
    assert float(TwoHot(torch.zeros(127)).mean) == 0
    apart = VALUES - found.mean.unsqueeze(-1)
    spread = (probabilities * apart.square()).sum(-1)
    torch.testing.assert_close(found.variance, spread, rtol=1e-4, atol=0)


def test_numbers_beyond_the_ends_count_as_the_end() -> None:
    found = TwoHot(torch.randn(127, generator=torch.Generator().manual_seed(0)))
    high = found.log_prob(torch.tensor(1e9))
    torch.testing.assert_close(high, torch.log_softmax(found.logits, -1)[-1])
