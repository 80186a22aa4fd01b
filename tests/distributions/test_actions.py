"""Actions: random ones cover their range, and policies are the distributions that they say."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest
from torch.nn import functional as F

from lowerbound.distributions.one_hot import ClassPolicy, NumberPolicy, uniform_actions


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
