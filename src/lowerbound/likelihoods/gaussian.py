"""Real features with Gaussian error: p(x | z) = prod_j N(x_j; mu_j(z), sigma_j^2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.likelihoods.base import LIKELIHOODS
from lowerbound.likelihoods.location_scale import LocationScale
from lowerbound.trace import Emission, masked_terms

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class GaussianEmission(Emission):
    r"""log N(x; mu, sigma^2) = -((x - mu) / sigma)^2 / 2 - log sigma - log(2 pi) / 2, per feature.

    Args:
        loc: mu, (samples, batch, *event).
        scale: sigma, broadcastable to a row: one number, or one per feature.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:2], loc.shape[2:], validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return masked_terms(self._terms, x, observed)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if observed is not None or self.scale.dim() > len(self.event_shape):
            return super().log_prob(x, observed)
        # constants are summed once per event instead of once per cell
        constants = (torch.log(self.scale) + HALF_LOG_TWO_PI).expand(self.event_shape).sum()
        squares = ((x - self.loc) / self.scale).square().flatten(2).sum(-1)
        return -0.5 * squares - constants

    def _terms(self, x: Tensor) -> Tensor:
        standardized = (x - self.loc) / self.scale
        return -0.5 * standardized.square() - (torch.log(self.scale) + HALF_LOG_TWO_PI)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square().expand_as(self.loc)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.loc.shape
        eps = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * eps


@LIKELIHOODS.register("gaussian")
class Gaussian(LocationScale):
    r"""Gaussian error of a fixed, one learned, or one learned standard deviation per feature.

    With ``scale="fixed"`` and sigma = tau this is the textbook's decoder: the reconstruction term
    is the squared error over 2 tau^2 plus a constant that is kept.
    """

    def forward(self, parameters: Tensor) -> GaussianEmission:
        (loc,) = self.split(parameters)
        return GaussianEmission(loc, self.scale())

    def initialize(self, x: Tensor) -> None:
        self.scale.set(x.float().std(0, correction=0))
