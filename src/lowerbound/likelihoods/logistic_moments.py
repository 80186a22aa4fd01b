r"""Mean and mean square of a logistic that is rounded to levels and clipped to [0, 1].

With P(x > t) = sigma((mu - t) / s), E[x] is the integral of P(x > t) over t in [0, 1], and E[x^2]
is the integral of 2 t P(x > t). With few levels, it is a sum over their edges. With many levels, it
has a closed form without the rounding: the error is below half a level, and negligible unless s is
below one level.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_SUMMED = 64  # levels


def logistic_moments(loc: Tensor, scale: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """E[x] and E[x^2] in model units, of the shape of loc.

    Args:
        loc: mu, model units.
        scale: s, model units, broadcastable to loc.
        levels: number of levels in [0, 1].
    """
    if levels <= MOST_SUMMED:
        return _summed(loc, scale, levels)
    return _integrated(loc, scale)


def _summed(loc: Tensor, scale: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    count = torch.arange(levels - 1, dtype=loc.dtype, device=loc.device)
    edge = (count + 0.5) / (levels - 1)
    above = torch.sigmoid((loc.unsqueeze(-1) - edge) / scale.unsqueeze(-1)) / (levels - 1)
    return above.sum(-1), (2 * edge * above).sum(-1)


def _integrated(loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    low, high = loc / scale, (loc - 1) / scale
    beyond = F.softplus(high)
    mean = scale * (F.softplus(low) - beyond)
    mean_square = 2 * scale * (scale * (_softplus_area(low) - _softplus_area(high)) - beyond)
    # at the ends of [0, 1] large terms cancel, and rounding must not leave the interval
    return mean.clamp(0, 1), mean_square.clamp(0, 1)


def _softplus_area(y: Tensor) -> Tensor:
    r"""The integral of softplus up to y, -Li_2(-e^y), with an error below 1e-10.

    For y <= 0 by the series of the dilogarithm in u = softplus(y) <= log 2 whose coefficients are
    Bernoulli numbers over factorials; for y > 0 by its reflection, J(y) + J(-y) = y^2/2 + pi^2/6.
    """
    u = F.softplus(-y.abs())
    q = u.square()
    odd = 1 / 36 + q * (-1 / 3600 + q * (1 / 211680 + q * (-1 / 10886400 + q / 526901760)))
    below = u + q / 4 + u * q * odd
    return torch.where(y > 0, 0.5 * y.square() + torch.pi**2 / 6 - below, below)
