"""Real features with absolute error: p(x | z) = prod_j Laplace(x_j; mu_j(z), b_j)."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.likelihoods.base import LIKELIHOODS, LocationScale
from lowerbound.trace import Emission


class LaplaceEmission(Emission):
    r"""log p(x) = -|x - mu| / b - log(2 b), per feature; the variance is 2 b^2.

    Args:
        loc: mu, (samples, batch, *event).
        scale: b, broadcastable to a row.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:2], loc.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        return -(x - self.loc).abs() / self.scale - torch.log(2 * self.scale)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (2 * self.scale.square()).expand_as(self.loc)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        # the difference of two exponentials has a Laplace distribution, and is finite
        like = self.loc.expand(sample_shape + self.loc.shape)
        first, second = torch.empty_like(like), torch.empty_like(like)
        return self.loc + self.scale * (first.exponential_() - second.exponential_())


@LIKELIHOODS.register("laplace")
class Laplace(LocationScale):
    """Absolute error with its scale; the location is the median, which is robust to outliers."""

    def forward(self, parameters: Tensor) -> LaplaceEmission:
        (loc,) = self.split(parameters)
        return LaplaceEmission(loc, self.scale())

    def initialize(self, x: Tensor) -> None:
        self.scale.set((x.float() - self.initial_bias(x)).abs().mean(0))

    def initial_bias(self, x: Tensor) -> Tensor:
        """The median of each feature."""
        return x.float().median(0).values
