"""q(z | x): the encoder's answer, a cloud and not a point."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.registry import Registry


class Posterior(nn.Module, ABC):
    """Turns the encoder's numbers into a distribution over z, and says how many it takes."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers per row the encoder owes: two heads of latent_dim for a Gaussian."""

    @abstractmethod
    def forward(self, parameters: Tensor) -> Distribution:
        """q(z | x), batch shape (1, rows), from ``parameters`` (rows, numbers)."""


POSTERIORS: Registry[type[Posterior]] = Registry("posterior")
