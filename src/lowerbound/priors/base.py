"""p(z): the distribution of a latent before any data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.distributions.density import Density
from lowerbound.registry import Registry

Encode = Callable[[Tensor], Distribution]


class Prior(nn.Module, ABC):
    """A module that returns p(z), batch shape (1, 1), event (latent_dim,).

    Attributes:
        density: the kind of density of p(z). The returned distribution carries it too, and
            ``density_of`` reads it from there.
    """

    density: ClassVar[Density] = "exact"

    def __init__(self, latent_dim: int, event_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.event_shape = event_shape
        if self.density != "exact":
            self.register_forward_hook(_declare_density)

    @abstractmethod
    def forward(self, encode: Encode | None = None) -> Distribution:
        """Return p(z). ``encode`` maps rows to their posterior, batch (1, rows), for VampPrior."""

    def initialize(self, x: Tensor) -> None:
        """Set starting values from training data in model units, (rows, *event), if needed."""


def _declare_density(prior: Prior, _: tuple[Any, ...], distribution: Any) -> None:
    distribution.density = prior.density


PRIORS: Registry[type[Prior]] = Registry("prior")
