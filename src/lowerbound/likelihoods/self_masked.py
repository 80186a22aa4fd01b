r"""Gaussian cells that are missing because of their value: p(x_o, s | z), with s the mask.

.. math::
    \log p(x_o, s \mid z) = \sum_{j \in o} \left[ \log N(x_j; \mu_j, \sigma_j^2)
    + \log \Phi(-w_j (x_j - b_j)) \right]
    + \sum_{j \in m} \log \Phi\left( \frac{w_j (\mu_j - b_j)}{\sqrt{1 + w_j^2 \sigma_j^2}} \right)

The missing value is integrated out exactly (:mod:`lowerbound.classical.self_masking`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.classical.self_masking import SelfMasking
from lowerbound.likelihoods.base import GaussianEmission, positive_scale, raw_scale
from lowerbound.parts import DIRECTIONS
from lowerbound.trace import Emission, masked_terms

LEAST_SLOPE = 1e-3


class SelfMaskedEmission(GaussianEmission):
    """Gaussian cells and the curves of their probability of being missing.

    ``mean``, ``variance`` and draws are those of x given z. For a missing cell, they are also
    conditioned on the fact that it is missing.

    Args:
        loc: mu, (samples, batch, columns).
        scale: sigma, one number or one per column.
        curves: of the columns.
        missing: True if the value is missing, (batch, columns); None: every unobserved cell for
            ``terms``, and no cell for ``mean``, ``variance`` and draws.
    """

    def __init__(
        self, loc: Tensor, scale: Tensor, curves: SelfMasking, missing: Tensor | None = None
    ) -> None:
        super().__init__(loc, scale)
        self.curves, self.missing = curves, missing

    def knowing(self, missing: Tensor | None) -> SelfMaskedEmission:
        return SelfMaskedEmission(self.loc, self.scale, self.curves, missing)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        seen = masked_terms(self._seen, x, observed)
        if observed is None:
            return seen
        missing = ~observed if self.missing is None else self.missing
        return seen + torch.where(missing, self.curves.log_missing(self.loc, self.scale), 0.0)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return Emission.log_prob(self, x, observed)

    @property
    def mean(self) -> Tensor:
        return self._where_missing(self._tilted()[0], self.loc)

    @property
    def variance(self) -> Tensor:
        return self._where_missing(self._tilted()[1], super().variance)

    @property
    def rest_scale(self) -> Tensor:
        """The standard deviation of a missing x given its utility, (columns,)."""
        return self.curves.spread_at_utility(self.scale)

    def at_utility(self, share: Tensor) -> Tensor:
        """The mean of a missing x whose utility is at a quantile, shape of ``loc``."""
        return self.curves.at_utility(self.loc, self.scale, share)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        plain = super()._sample(sample_shape)
        if self.missing is None:
            return plain
        # the open interval, because the quantile at 0 is infinite
        share = torch.rand_like(plain).clamp(1e-7, 1 - 1e-7)
        drawn = self.at_utility(share) + self.rest_scale * torch.randn_like(plain)
        return torch.where(self.missing, drawn, plain)

    def _seen(self, x: Tensor) -> Tensor:
        return self._terms(x) + self.curves.log_observed(x)

    def _tilted(self) -> tuple[Tensor, Tensor]:
        return self.curves.moments(self.loc, self.scale)

    def _where_missing(self, tilted: Tensor, plain: Tensor) -> Tensor:
        return plain if self.missing is None else torch.where(self.missing, tilted, plain)


class Curves(nn.Module):
    """The learned curves of some columns.

    If the direction is known, the slope keeps its sign.

    Args:
        columns: number of columns.
        missingness: one of ``lowerbound.classical.self_masking.DIRECTIONS``.
    """

    applies: Tensor

    def __init__(self, columns: int, missingness: str) -> None:
        super().__init__()
        self.direction = DIRECTIONS[missingness]
        self.raw_slope = nn.Parameter(torch.zeros(columns))
        self.threshold = nn.Parameter(torch.zeros(columns))
        self.register_buffer("applies", torch.zeros(columns, dtype=torch.bool))

    def forward(self) -> SelfMasking:
        slope: Tensor = self.raw_slope
        if self.direction:
            slope = self.direction * positive_scale(slope, LEAST_SLOPE)
        threshold = torch.where(self.applies, self.threshold, 0.0)
        return SelfMasking(torch.where(self.applies, slope, 0.0), threshold, self.applies)

    @torch.no_grad()
    def start_from(self, curves: SelfMasking) -> None:
        """Set the initial curves, without changing the columns to which they apply."""
        slope = curves.slope
        if self.direction:
            slope = raw_scale(self.direction * slope, LEAST_SLOPE)
        self.raw_slope.copy_(slope)
        self.threshold.copy_(curves.threshold)
        self.applies.copy_(curves.applies)


def gaussian_cells(loc: Tensor, scale: Tensor, curves: Curves | None) -> GaussianEmission:
    """Gaussian cells, missing at random or with ``curves``."""
    if curves is None:
        return GaussianEmission(loc, scale)
    return SelfMaskedEmission(loc, scale, curves())
