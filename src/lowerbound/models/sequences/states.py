r"""States of world models, an actor and a critic over them, and predicted outcomes.

The outcomes of a state are the reward, and whether the episode goes on:

.. math:: p(r, c \mid s) = p(r \mid s)\, \mathrm{Bernoulli}(c; \sigma(l(s)))

r is the reward of arriving at the state, a distribution over exponentially spaced values, and c is
1 unless the episode terminates there. Source: Hafner et al. 2021 and 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.one_hot import VALUES, ClassPolicy, NumberPolicy, Policy, TwoHot
from lowerbound.networks.mlp import normalized_layers
from lowerbound.trace import Trace

LAYERS = 2


class Behavior(nn.Module):
    """pi(a | s), the value v(s), and a slow copy of v that targets are made of.

    Args:
        features: numbers of a state.
        width: of the hidden layers.
        actions: numbers of an action.
        classes: of an action that is a class; 0: it is numbers in [-1, 1].

    Source: Hafner et al. 2021 and 2023.
    """

    def __init__(self, features: int, width: int, actions: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.actor = normalized_layers(features, width, LAYERS, classes or 2 * actions)
        self.critic = normalized_layers(features, width, LAYERS, VALUES)
        self.slow_critic = normalized_layers(features, width, LAYERS, VALUES)
        self.slow_critic.load_state_dict(self.critic.state_dict())
        self.slow_critic.requires_grad_(False)

    def policy(self, features: Tensor) -> Policy:
        """pi(a | s) of states (..., features)."""
        numbers = self.actor(features)
        return ClassPolicy(numbers.float()) if self.classes else NumberPolicy(numbers)

    def value(self, features: Tensor) -> TwoHot:
        """v(s), whose mean is the expected return, of states (..., features)."""
        return TwoHot(self.critic(features))

    def slow_value(self, features: Tensor) -> TwoHot:
        """v(s) by the slow copy."""
        return TwoHot(self.slow_critic(features))

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Move the slow copy by that share of its distance to the critic."""
        for slow, fast in zip(self.slow_critic.parameters(), self.critic.parameters(), strict=True):
            slow.lerp_(fast, share)


class Outcomes(nn.Module):
    """p(reward, goes on | state).

    Args:
        features: numbers of a state.
        width: of the hidden layer of each.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.of_reward = normalized_layers(features, width, 1, VALUES)
        self.of_end = normalized_layers(features, width, 1, 1)

    def reward(self, features: Tensor) -> TwoHot:
        """p(r | s), batch shape (...), for states (..., features)."""
        return TwoHot(self.of_reward(features))

    def goes_on(self, features: Tensor) -> Tensor:
        """The logit of c = 1, (...)."""
        logit: Tensor = self.of_end(features).squeeze(-1).float()
        return logit

    def log_prob(self, features: Tensor, outcomes: Tensor) -> Tensor:
        """log p(r, c | s) of what is known, (...), nats.

        Args:
            features: (..., features).
            outcomes: (..., 2), NaN where unknown.
        """
        known = ~outcomes.isnan()
        reward, on = torch.where(known, outcomes, 0.0).unbind(-1)
        reward, on = torch.broadcast_tensors(reward, on)
        wide = features.shape[:-1]
        terms = torch.stack(
            [
                self.reward(features).log_prob(reward.expand(wide)),
                -F.binary_cross_entropy_with_logits(
                    self.goes_on(features), on.expand(wide), reduction="none"
                ),
            ],
            -1,
        )
        return torch.where(known, terms, 0.0).sum(-1)


class WorldState(NamedTuple):
    """A state of the model, h and z.

    Attributes:
        memory: h, (..., memory).
        latent: z, (..., latents), codes side by side.
    """

    memory: Tensor
    latent: Tensor

    @property
    def features(self) -> Tensor:
        """h and z side by side, (..., memory + latents): all that heads and policies see."""
        return torch.cat([self.memory, self.latent], -1)

    def rows(self, index: Tensor) -> WorldState:
        """The states of some rows."""
        return WorldState(self.memory[index], self.latent[index])

    def detached(self) -> WorldState:
        """The same state, cut from the graph."""
        return WorldState(self.memory.detach(), self.latent.detach())


@dataclass(frozen=True)
class StateTrace(Trace):
    """A pass with the states of all times, (samples, batch, time, ...)."""

    states: WorldState | None = None


def stacked(states: Sequence[WorldState]) -> WorldState:
    """The states of all times, (samples, batch, time, ...)."""
    samples = len(states[-1].memory)
    memory, latent = (
        torch.stack([part.expand(samples, -1, -1) for part in parts], 2)
        for parts in zip(*states, strict=True)
    )
    return WorldState(memory, latent)
