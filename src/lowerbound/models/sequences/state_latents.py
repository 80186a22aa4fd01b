"""The stochastic part of a world model's state: codes or Gaussian numbers."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from lowerbound.distributions.one_hot import OneHotCodes
from lowerbound.distributions.reparameterization import diagonal_normal

LEAST_DEVIATION = 0.1  # of Hafner et al. 2019


class StateLatent(nn.Module):
    """Maps a network's numbers to a distribution of z.

    Attributes:
        shape: of z.
        numbers: parameters of its distribution.
    """

    shape: tuple[int, ...]
    numbers: int

    @property
    def size(self) -> int:
        """Numbers of z."""
        return torch.Size(self.shape).numel()

    @abstractmethod
    def forward(self, numbers: Tensor) -> Distribution:
        """The distribution, of batch shape (samples, batch), from (samples, batch, numbers)."""


class CodeLatent(StateLatent):
    """Groups of classes, one-hot, with a straight-through gradient.

    Args:
        groups, classes: of z.
        uniform: share of the uniform distribution in each.
    """

    def __init__(self, groups: int, classes: int, uniform: float) -> None:
        super().__init__()
        self.shape, self.numbers, self.uniform = (groups, classes), groups * classes, uniform

    def forward(self, numbers: Tensor) -> OneHotCodes:
        return OneHotCodes(numbers.unflatten(-1, self.shape), self.uniform)


class GaussianLatent(StateLatent):
    """Independent Gaussians, sigma = .1 + softplus(raw).

    Args:
        size: numbers of z.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.shape, self.numbers = (size,), 2 * size

    def forward(self, numbers: Tensor) -> Distribution:
        loc, raw = numbers.float().chunk(2, -1)
        return diagonal_normal(loc, LEAST_DEVIATION + F.softplus(raw))
