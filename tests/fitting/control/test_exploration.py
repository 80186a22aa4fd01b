"""Kept noise: durations, single actions as the policy has them, and runs of one action."""

from __future__ import annotations

import torch

from lowerbound.distributions.actions import ClassPolicy, NumberPolicy, Policy
from lowerbound.fitting.control.exploration import LONGEST, Exploration, duration


def drawn(
    policy: Policy, count: int = 20_000, classes: int = 3, share: float = 0.0
) -> torch.Tensor:
    """Actions of a policy that is the same at each step."""
    exploration, found = Exploration(0, 3, classes, share), []
    for step in range(count):
        exploration.next(step)
        uniform = exploration.uniform
        found.append(
            exploration.uniform_action() if uniform else policy.push(exploration.noise[None])[0]
        )
    return torch.stack(found)


def test_noise_is_kept_for_times_in_proportion_to_their_inverse() -> None:
    found = torch.tensor([duration(float(u)) for u in torch.linspace(0, 1, 20_001)])
    assert found.min() == 1
    assert found.max() == LONGEST
    weights = 1 / torch.arange(1, LONGEST + 1).double()
    shares = torch.stack([(found == n).double().mean() for n in range(1, LONGEST + 1)])
    torch.testing.assert_close(shares, weights / weights.sum(), atol=1e-3, rtol=0)


def test_each_action_has_the_distribution_of_the_policy() -> None:
    policy = ClassPolicy(torch.tensor([[2.0, 0.0, -1.0]]))
    expected = policy.log_prob(torch.eye(3)).exp()
    torch.testing.assert_close(drawn(policy).mean(0), expected, atol=0.03, rtol=0)
    numbers = NumberPolicy(torch.tensor([[0.5, -0.3, 0.0, 1.0, -1.0, 0.0]]))
    found, scale = drawn(numbers, classes=0), torch.sigmoid(torch.tensor([3.0, 1.0, 2.0])) * 0.9
    mean = torch.tensor([0.5, -0.3, 0.0]).tanh()
    torch.testing.assert_close(found.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(found.std(0), scale + 0.1, atol=0.05, rtol=0)


def test_a_policy_that_is_not_sure_repeats_itself() -> None:
    found = drawn(ClassPolicy(torch.zeros(1, 3))).argmax(-1)
    repeated = (found[1:] == found[:-1]).double().mean()
    assert repeated > 0.7  # independent draws: 1/3
    sure = drawn(ClassPolicy(torch.tensor([[30.0, 0.0, 0.0]])), 2_000).argmax(-1)
    assert (sure == 0).double().mean() > 0.98


def test_a_share_of_actions_is_uniform() -> None:
    sure = ClassPolicy(torch.tensor([[30.0, 0.0, 0.0]]))
    found = drawn(sure, share=0.3).argmax(-1)
    assert abs(float((found != 0).double().mean()) - 0.2) < 0.03
    numbers = drawn(NumberPolicy(torch.zeros(1, 6)), classes=0, share=1.0)
    assert numbers.abs().max() <= 1
    torch.testing.assert_close(numbers.std(0), torch.full((3,), 3**-0.5), atol=0.03, rtol=0)


def test_noise_of_an_episode_is_fresh() -> None:
    exploration = Exploration(0, 3, 3, 0.0)
    exploration.next(0)
    first = exploration.noise
    exploration.start()
    exploration.next(1)
    assert not torch.equal(first, exploration.noise)
