"""The density of Gaussian error: N(x_j; mu_j(z), sigma_j^2), feature by feature."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.trace import Emission

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
