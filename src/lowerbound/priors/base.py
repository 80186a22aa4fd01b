"""p(z): what a latent looks like before any data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.registry import Registry

Density = Literal["exact", "bound", "none"]
Encode = Callable[[Tensor], Distribution]


class Prior(nn.Module, ABC):
    """A module that answers with p(z), batch shape (1, 1), event (latent_dim,).

    Attributes:
        density: what ``log_prob`` is worth: "exact", a lower "bound" (allowed in the ELBO, never
            inside IWAE), or "none".
    """

    density: ClassVar[Density] = "exact"

    def __init__(self, latent_dim: int, event_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.event_shape = event_shape

    @abstractmethod
    def forward(self, encode: Encode | None = None) -> Distribution:
        """p(z). ``encode`` maps data rows to their posterior, batch (1, rows), for VampPrior."""

    def initialize(self, x: Tensor) -> None:
        """Start from training data in model units, (rows, *event); most priors need none."""


PRIORS: Registry[type[Prior]] = Registry("prior")
