"""Returns of imagined episodes: limits, an exactly solvable process, and the actor's gradients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowerbound.applications.control.imagined_returns import (
    ImaginationOptions,
    ImaginedReturns,
    imagine,
    lambda_returns,
)
from lowerbound.distributions.one_hot import ClassPolicy, NumberPolicy
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.models.sequences.states import WorldState
from tests.models.sequences.worlds import batch, world

REWARDS = torch.tensor([[1.0], [0.0], [2.0], [-1.0]])
DISCOUNTS = torch.tensor([[0.9], [0.8], [0.0], [0.95]])
VALUES = torch.tensor([[7.0], [3.0], [-2.0], [5.0], [4.0]])


def test_lambda_zero_is_one_step_ahead() -> None:
    found = lambda_returns(REWARDS, DISCOUNTS, VALUES, 0.0)
    torch.testing.assert_close(found, REWARDS + DISCOUNTS * VALUES[1:])


def test_lambda_one_is_the_discounted_sum_and_the_last_value() -> None:
    found = lambda_returns(REWARDS, DISCOUNTS, VALUES, 1.0)
    for start in range(4):
        weight, total = 1.0, 0.0
        for t in range(start, 4):
            total += weight * float(REWARDS[t])
            weight *= float(DISCOUNTS[t])
        assert float(found[start]) == pytest.approx(total + weight * float(VALUES[-1]), abs=1e-6)


class Chance(nn.Module):
    """A Markov reward process of three states in the place of a world model."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.0, 0.5], [0.2, 0.2, 0.6]])
        self.rewards, self.ends = torch.tensor([0.0, 1.0, -0.5]), torch.tensor([0.0, 0.1, 0.3])
        self.outcomes = SimpleNamespace(
            reward=lambda s: SimpleNamespace(mean=s @ self.rewards),
            goes_on=lambda s: torch.logit(1 - s @ self.ends, 1e-6),
        )
        self.behavior = SimpleNamespace(policy=lambda s: ClassPolicy(torch.zeros(*s.shape[:-1], 2)))

    def step(self, state: WorldState, action: Tensor) -> WorldState:
        index = torch.multinomial(state.latent @ self.moves, 1)[:, 0]
        return WorldState(state.memory, torch.eye(3)[index])

    def exact(self, discount: float) -> Tensor:
        """V = (I - P diag(c))^-1 P r, with r and c those of the state that is reached."""
        kept = self.moves * (discount * (1 - self.ends))
        return torch.linalg.solve(torch.eye(3) - kept, self.moves @ self.rewards)


@pytest.mark.parametrize("mixing", [0.0, 0.7, 1.0])
def test_imagined_returns_average_to_the_exact_values(mixing: float) -> None:
    chance: Any = Chance()
    options = ImaginationOptions(horizon=6, discount=0.9, mixing=mixing)
    values = chance.exact(0.9)
    rows = 20_000
    for start in range(3):
        state = WorldState(torch.zeros(rows, 0), torch.eye(3)[start].expand(rows, 3))
        with seeded(start):
            seen = imagine(chance, state, options)
        found = lambda_returns(seen.rewards, seen.discounts, seen.features @ values, mixing)[0]
        error = float(found.std()) / rows**0.5
        assert float(found.mean()) == pytest.approx(float(values[start]), abs=4 * error + 1e-6)


def states() -> tuple[Any, WorldState, Tensor]:
    model, rows = world(), batch()
    with seeded(0), torch.no_grad():
        trace = model(rows)
    assert trace.states is not None
    flat = WorldState(*(part.flatten(0, 2) for part in trace.states))
    return model, flat, torch.ones(len(flat.memory))


def test_losses_reach_actor_and_critic_alone() -> None:
    model, start, on = states()
    losses = ImaginedReturns(ImaginationOptions(horizon=3), 3)(model, start, on)
    for loss, name in ((losses.actor, "actor"), (losses.critic, "critic")):
        loss.backward(retain_graph=True)
        touched = {n.split(".")[1] for n, p in model.named_parameters() if p.grad is not None}
        assert touched == {name}
        model.zero_grad()


def test_states_after_an_end_do_not_count() -> None:
    model, start, on = states()
    losses = ImaginedReturns(ImaginationOptions(horizon=3), 3)(model, start, 0 * on)
    assert float(losses.actor.detach()) == 0
    assert float(losses.critic.detach()) == 0


def test_actions_that_lead_to_reward_become_likelier() -> None:
    """Both gradients point to the action of a bandit that is rewarded."""
    for gradient, policy in (("reinforce", ClassPolicy), ("pathwise", NumberPolicy)):
        raw = torch.zeros(2, requires_grad=True)
        world_: Any = SimpleNamespace(
            step=lambda state, action: WorldState(state.memory, action[:, :1]),
            outcomes=SimpleNamespace(
                reward=lambda s: SimpleNamespace(mean=s[..., 0]),
                goes_on=lambda s: torch.full(s.shape[:-1], -30.0),
            ),
            behavior=SimpleNamespace(
                policy=lambda s, policy=policy, raw=raw: policy(raw.expand(*s.shape[:-1], 2)),
                slow_value=lambda s: SimpleNamespace(mean=0 * s[..., 0] + 0.5),
                value=lambda s: SimpleNamespace(log_prob=lambda x: 0 * x),
            ),
        )
        objective = ImaginedReturns(
            ImaginationOptions(horizon=1, entropy=0.0, gradient=gradient),  # type: ignore[arg-type]
            2,
        )
        with seeded(0):
            loss = objective(
                world_, WorldState(torch.zeros(500, 0), torch.zeros(500, 1)), torch.ones(500)
            )
        (found,) = torch.autograd.grad(loss.actor, raw)
        assert float(found[0]) < -1e-3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0}, "at least 1"),
        ({"discount": 1.5}, "between 0 and 1"),
        ({"entropy": -1.0}, "weight"),
    ],
)
def test_options_are_checked(options: dict[str, float], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ImaginationOptions(**options)  # type: ignore[arg-type]


def test_readings_are_means_over_states() -> None:
    model, start, on = states()
    model.behavior.slow_value = lambda seen: SimpleNamespace(mean=torch.full(seen.shape[:-1], 3.0))
    losses = ImaginedReturns(ImaginationOptions(horizon=3), 3)(model, start, on)
    assert losses.readings["value"] == pytest.approx(3.0)
