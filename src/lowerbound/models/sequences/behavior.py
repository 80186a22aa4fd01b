"""An actor and a critic over the states of a world model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.distributions.actions import ClassPolicy, NumberPolicy, Policy
from lowerbound.distributions.two_hot import VALUES, TwoHot
from lowerbound.networks.mlp import normalized_layers

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
