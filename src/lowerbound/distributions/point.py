"""A point instead of a cloud: what the encoder of an autoencoder answers with."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.distributions.density import Density
from lowerbound.distributions.reparameterization import Reparameterized
from lowerbound.errors import UnsupportedError


class Point(Reparameterized):
    """All probability at ``loc``: every draw is loc, and there is no density.

    Args:
        loc: the code, (1 | samples, rows, dim).
    """

    density: Density = "none"

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """There is none.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "a point has no density: the code of an autoencoder is not a distribution over z; "
            "bounds on log p(x) need a model with a posterior, such as 'vae' or 'pca'"
        )

    def push(self, noise: Tensor) -> Tensor:
        """loc, once per draw; the noise only says how many."""
        return self.loc.expand(noise.shape)

    def frozen(self) -> Point:
        return Point(self.loc.detach())

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)

    @property
    def like(self) -> Tensor:
        return self.loc
