"""Rounding to whole numbers by rate plus distortion."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.distributions.rounded_logistic import RoundedLogistic

DISTORTION = 6.0  # nats per squared step: 1 / (2 / 12)


@torch.no_grad()
def nearest_worth(wanted: Tensor, expected: RoundedLogistic, worth: Tensor | None = None) -> Tensor:
    r"""The whole number q with the least 6 w (y - q)^2 - log p(q) among three: the nearest to y,
    its neighbor toward the prior's location, and 0. The factor w is ``worth``, or 1.

    Args:
        wanted: y, (rows, *event).
        expected: the distribution of q, (1, rows, *event).
        worth: like ``wanted``; None: 1 everywhere.
    """
    nearest = torch.round(wanted).expand(expected.location.shape)
    toward = nearest - torch.sign(nearest - torch.round(expected.location))

    def cost(q: Tensor) -> Tensor:
        error = (wanted - q).square()
        return DISTORTION * (error if worth is None else worth * error) - expected.terms(q)

    best, least = nearest, cost(nearest)
    for other in (toward, torch.zeros_like(nearest)):
        found = cost(other)
        best = torch.where(found < least, other, best)
        least = torch.minimum(found, least)
    return best
