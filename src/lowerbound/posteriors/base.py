"""q(z | x): the distribution of a latent given a row, from the encoder's output."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.registry import Registry


class Posterior(nn.Module, ABC):
    """A module that turns the encoder's output into a distribution over z."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Length of the encoder's output: two heads of latent_dim for a Gaussian."""

    @abstractmethod
    def forward(self, parameters: Tensor) -> Distribution:
        """Return q(z | x), batch shape (1, rows), for ``parameters`` (rows, numbers)."""


POSTERIORS: Registry[type[Posterior]] = Registry("posterior")
