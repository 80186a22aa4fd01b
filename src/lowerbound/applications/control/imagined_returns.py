r"""Learning an actor and a critic from imagined episodes of a world model.

From states of real episodes the actor's choices are imagined for H steps, with rewards r, discounts
c (the discount times the probability that the episode goes on) and values v of the slow critic:

.. math::
    G_t = r_{t+1} + c_{t+1} \left( (1 - \lambda)\, v(s_{t+1}) + \lambda\, G_{t+1} \right), \qquad
    G_H = v(s_H)

The critic maximizes log v(G_t | s_t), and stays near its slow copy. The actor maximizes its entropy
and, for classes, its log-probabilities times the advantage (REINFORCE); for numbers the returns
themselves, through the model (pathwise). Later terms weigh less by the product of the discounts
before them. Returns are divided by the range from their 5 % to their 95 % quantile, where it is
above 1.

Sources: Hafner et al. 2021 (DreamerV2), 2023 (DreamerV3).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.models.powers import WorldModel
from lowerbound.models.sequences.states import Behavior, Outcomes, WorldState

QUANTILES = (0.05, 0.95)
RANGE_RATE = 0.01  # of the moving average of the returns' range


@dataclass(frozen=True)
class ImaginationOptions:
    """How behavior is learned from imagined episodes."""

    horizon: int = option(15, "imagined steps from each state")
    starts: int = option(128, "states of a minibatch from which episodes are imagined")
    discount: float = option(0.99, "weight of a reward one step later")
    mixing: float = option(0.95, "lambda: 0 takes values one step ahead, 1 the whole imagined sum")
    entropy: float = option(0.003, "weight of the actor's entropy")
    slow_rate: float = option(0.02, "share by which the slow critic follows in each update")
    gradient: Literal["auto", "reinforce", "pathwise"] = option(
        "auto", "the actor's gradient; auto: reinforce for classes, pathwise for numbers"
    )

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.starts < 1:
            raise OptionError("horizon and starts must be at least 1")
        for name in ("discount", "mixing", "slow_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        if self.entropy < 0:
            raise OptionError(f"entropy is a weight, 0 or more, not {self.entropy}")


class Imagined(NamedTuple):
    """Imagined episodes.

    Attributes:
        features: states, (horizon + 1, rows, features).
        actions: after each state but the last, (horizon, rows, numbers).
        rewards, discounts: of arriving at each state but the first, (horizon, rows).
    """

    features: Tensor
    actions: Tensor
    rewards: Tensor
    discounts: Tensor


class BehaviorLosses(NamedTuple):
    """What is minimized, and readings."""

    actor: Tensor
    critic: Tensor
    readings: Mapping[str, float]


def lambda_returns(rewards: Tensor, discounts: Tensor, values: Tensor, mixing: float) -> Tensor:
    """G_0, ..., G_{H-1}, (horizon, ...).

    Args:
        rewards, discounts: of arriving at states 1 to H, (horizon, ...).
        values: of states 0 to H, (horizon + 1, ...); the first is not used.
        mixing: lambda.
    """
    following, found = values[-1], []
    for t in reversed(range(len(rewards))):
        ahead = (1 - mixing) * values[t + 1] + mixing * following
        following = rewards[t] + discounts[t] * ahead
        found.append(following)
    return torch.stack(found[::-1])


def parts_of(world: WorldModel) -> tuple[Behavior, Outcomes]:
    """The behavior and the outcomes of a world model.

    Raises:
        OptionError: it has none.
    """
    if world.behavior is None or world.outcomes is None:
        raise OptionError(
            "behavior is learned by a model with an actor and of episodes with rewards: fit it "
            "with behavior=True, on clips that have an array 'reward'"
        )
    return world.behavior, world.outcomes


def imagine(
    world: WorldModel, start: WorldState, options: ImaginationOptions, keep_graph: bool = False
) -> Imagined:
    """Episodes from states (rows, ...), by the actor's choices.

    Args:
        world: with behavior and outcomes.
        start: first states.
        options: horizon and discount.
        keep_graph: whether gradients pass through the model to the actions.
    """
    behavior, outcomes = parts_of(world)
    with nullcontext() if keep_graph else torch.no_grad():
        state, features, actions = start, [start.features], []
        for _ in range(options.horizon):
            action = behavior.policy(features[-1].detach()).rsample()
            state = world.step(state, action)
            features.append(state.features)
            actions.append(action)
        states = torch.stack(features)
        rewards = outcomes.reward(states[1:]).mean
        discounts = options.discount * torch.sigmoid(outcomes.goes_on(states[1:]))
    return Imagined(states, torch.stack(actions), rewards, discounts)


class ImaginedReturns(nn.Module):
    """The losses of an actor and a critic.

    Args:
        options: see ``ImaginationOptions``.
        classes: of an action; 0: an action is numbers.
    """

    range: Tensor

    def __init__(self, options: ImaginationOptions, classes: int) -> None:
        super().__init__()
        self.options = options
        auto = "reinforce" if classes else "pathwise"
        self.gradient = auto if options.gradient == "auto" else options.gradient
        self.register_buffer("range", torch.ones(()))

    def forward(self, world: WorldModel, start: WorldState, goes_on: Tensor) -> BehaviorLosses:
        """The losses of episodes imagined from states.

        Args:
            world: with behavior and outcomes.
            start: states of real episodes, cut from the graph, (rows, ...).
            goes_on: 0 where the episode ended at the state, else 1, (rows,).
        """
        behavior, _ = parts_of(world)
        pathwise = self.gradient == "pathwise"
        seen = imagine(world, start, self.options, pathwise)
        values = behavior.slow_value(seen.features).mean
        returns = lambda_returns(seen.rewards, seen.discounts, values, self.options.mixing)
        with torch.no_grad():
            chances = torch.cat([goes_on.unsqueeze(0), seen.discounts[:-1]])
            weights = chances.cumprod(0)
            self._update_range(returns)
        scale = self.range.clamp_min(1.0)
        states = seen.features[:-1].detach()
        policy = behavior.policy(states)
        if pathwise:
            gains = returns / scale
        else:
            gains = policy.log_prob(seen.actions) * ((returns - values[:-1]) / scale)
        actor = -(weights * (gains + self.options.entropy * policy.entropy)).mean()
        found = behavior.value(states)
        fits = found.log_prob(returns.detach()) + found.log_prob(values[:-1].detach())
        critic = -(weights * fits).mean()
        readings = {
            "return": float(returns.detach().mean()),
            "value": float(values.detach().mean()),
            "entropy": float(policy.entropy.detach().mean()),
        }
        return BehaviorLosses(actor, critic, readings)

    @torch.no_grad()
    def _update_range(self, returns: Tensor) -> None:
        low, high = (torch.quantile(returns.float(), share) for share in QUANTILES)
        self.range.lerp_(high - low, RANGE_RATE)
