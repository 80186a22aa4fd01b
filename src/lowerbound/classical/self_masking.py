r"""Cells that are missing because of their value (self-masking): a probit curve of the value.

.. math:: p(\text{missing} \mid x) = \Phi(w (x - b))

The missing value of a Gaussian cell can be integrated out. With a hidden utility
U = w (x - b) + e, e ~ N(0, 1), the cell is missing if U > 0, and for x ~ N(mu, sigma^2)

.. math::
    U \sim N(w (\mu - b), c^2), \quad c^2 = 1 + w^2 \sigma^2, \qquad
    x \mid U \sim
    N\left(\mu + \tfrac{w \sigma^2}{c^2} (U - w (\mu - b)), \tfrac{\sigma^2}{c^2}\right)

Therefore log p(missing) = log Phi(t) with t = w (mu - b) / c. Every moment, expectation and draw of
x given that it is missing follows from a normal variable truncated at zero, without sampling.

The data cannot show that cells are missing for this reason, so the user must know it.
Sources: Ipsen, Mattei & Frellsen 2021, with a logistic curve and sampled values; Azzalini 1985.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WARNING = (
    "as you say: no data can tell why cells are missing, and a wrong answer makes what is "
    "filled in wrong"
)

FARTHEST = 10.0  # standard deviations beyond which a cell is certain to be missing


@dataclass(frozen=True, eq=False)
class SelfMasking:
    """The curves of some columns; each array is (columns,).

    Attributes:
        slope: w, per unit of x; positive if high values are missing.
        threshold: b, the value that is missing with probability one half.
        applies: False for columns that are missing at random; their slope is 0.
    """

    slope: Tensor
    threshold: Tensor
    applies: Tensor

    def at(self, columns: Sequence[int]) -> SelfMasking:
        """The curves of some columns."""
        index = list(columns)
        return SelfMasking(self.slope[index], self.threshold[index], self.applies[index])

    def log_observed(self, x: Tensor) -> Tensor:
        """log p(not missing | x) in nats, (..., columns)."""
        log_share = torch.special.log_ndtr(-self.slope * (x - self.threshold))
        return torch.where(self.applies, log_share, 0.0)

    def log_missing(self, loc: Tensor, scale: Tensor) -> Tensor:
        """log p(missing) of x ~ N(loc, scale^2) in nats, (..., columns)."""
        log_share = torch.special.log_ndtr(self._argument(loc, scale))
        return torch.where(self.applies, log_share, 0.0)

    def moments(self, loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x ~ N(loc, scale^2) given that it is missing, (..., columns)."""
        t, c = self._argument(loc, scale), self._spread(scale)
        ratio, pull = _inverse_mills(t), self.slope * scale.square() / c
        variance = scale.square() - pull.square() * ratio * (t + ratio)
        return loc + pull * ratio, variance.clamp_min(0.0)

    def at_utility(self, loc: Tensor, scale: Tensor, share: Tensor) -> Tensor:
        """The mean of x if U is at a quantile of the utilities of missing cells, (..., columns).

        Args:
            loc, scale: x ~ N(loc, scale^2).
            share: level of the quantile, in (0, 1); broadcastable.
        """
        t, c = self._argument(loc, scale), self._spread(scale)
        # the upper tail of N(0, 1) beyond -t, from the lower tail, which floats resolve
        depth = torch.special.log_ndtr(t) + torch.log(share)
        beyond = -_normal_quantile(depth)
        return loc + self.slope * scale.square() / c * beyond

    def spread_at_utility(self, scale: Tensor) -> Tensor:
        """The standard deviation of x given U, (columns,)."""
        return scale / self._spread(scale)

    def _spread(self, scale: Tensor) -> Tensor:
        return torch.sqrt(1 + (self.slope * scale).square())

    def _argument(self, loc: Tensor, scale: Tensor) -> Tensor:
        return self.slope * (loc - self.threshold) / self._spread(scale)


def _inverse_mills(t: Tensor) -> Tensor:
    """phi(t) / Phi(t), (...), without underflow."""
    near = t.clamp_max(FARTHEST)
    ratio: Tensor = math.sqrt(2 / math.pi) / torch.special.erfcx(-near / math.sqrt(2))
    return ratio


def _normal_quantile(log_share: Tensor) -> Tensor:
    """z with log Phi(z) = log_share; Newton's method on log Phi if the share underflows."""
    inside = torch.special.ndtri(log_share.exp().clamp(1e-30, 1 - 1e-7))
    # Phi(z) is near phi(z) / |z| far down
    z = torch.where(log_share > -60, inside, -torch.sqrt(-2 * log_share.clamp_max(-1.0)))
    for _ in range(4):
        z = z - (torch.special.log_ndtr(z) - log_share) / _inverse_mills(z)
    return z
