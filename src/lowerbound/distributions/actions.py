"""Policies: distributions over actions that are classes, or numbers in [-1, 1]."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.distributions.one_hot import OneHotCodes
from lowerbound.distributions.reparameterization import diagonal_normal

DEVIATIONS = (0.1, 1.0)  # lowest and highest of a number


class Policy(Protocol):
    """A distribution over actions (..., numbers)."""

    def rsample(self) -> Tensor:
        """An action; gradients pass from it to the parameters."""

    def log_prob(self, action: Tensor) -> Tensor:
        """log p(action), (...), nats."""

    @property
    def mode(self) -> Tensor:
        """The likeliest action."""

    @property
    def entropy(self) -> Tensor:
        """(...), nats."""


class ClassPolicy:
    """A class, as one-hot, with a straight-through gradient.

    Args:
        logits: (..., classes).
    """

    def __init__(self, logits: Tensor) -> None:
        self._codes = OneHotCodes(logits.unsqueeze(-2))

    def rsample(self) -> Tensor:
        return self._codes.rsample().squeeze(-2)

    def log_prob(self, action: Tensor) -> Tensor:
        return self._codes.log_prob(action.unsqueeze(-2))

    @property
    def mode(self) -> Tensor:
        return self._codes.mode.squeeze(-2)

    @property
    def entropy(self) -> Tensor:
        probs = self._codes.probs.squeeze(-2)
        return -(probs * probs.log()).sum(-1)


class NumberPolicy:
    """Independent Gaussians, mu = tanh(m), cut to [-1, 1] by the environment (Hafner et al. 2023).

    Args:
        numbers: m and the raw deviations side by side, (..., 2 * actions).
    """

    def __init__(self, numbers: Tensor) -> None:
        mean, raw = numbers.float().chunk(2, -1)
        low, high = DEVIATIONS
        self._scale = low + (high - low) * torch.sigmoid(raw + 2.0)
        self._normal = diagonal_normal(torch.tanh(mean), self._scale)

    def rsample(self) -> Tensor:
        drawn: Tensor = self._normal.rsample()
        return drawn

    def log_prob(self, action: Tensor) -> Tensor:
        found: Tensor = self._normal.log_prob(action)
        return found

    @property
    def mode(self) -> Tensor:
        mean: Tensor = self._normal.mean
        return mean

    @property
    def entropy(self) -> Tensor:
        found: Tensor = self._normal.entropy()
        return found


def uniform_actions(rows: int, numbers: int, classes: int, noise: torch.Generator) -> Tensor:
    """Random actions, (rows, numbers): one-hot classes, or numbers in [-1, 1]."""
    if classes:
        drawn = torch.randint(classes, (rows,), generator=noise)
        return F.one_hot(drawn, classes).float()
    return 2 * torch.rand(rows, numbers, generator=noise) - 1
