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
    shape = expected.location.shape
    location, log_scale = (x.flatten() for x in (expected.location, expected.log_scale))
    best = torch.round(wanted).expand(shape).flatten()
    # where both are 0, all three are; most coefficients of a picture
    at = ((best != 0) | (torch.round(location) != 0)).nonzero().squeeze(1)
    few = RoundedLogistic(location[at][None, None], log_scale[at][None, None])
    factor = DISTORTION if worth is None else DISTORTION * worth.expand(shape).flatten()[at]
    best[at] = _best_of_three(wanted.expand(shape).flatten()[at], few, factor)
    return best.view(shape)


def _best_of_three(wanted: Tensor, expected: RoundedLogistic, factor: float | Tensor) -> Tensor:
    """The number of the least cost for each ``wanted``, (count,); ``expected`` is (1, 1, count)."""
    nearest = torch.round(wanted)
    toward = nearest - torch.sign(nearest - torch.round(expected.location[0, 0]))
    choices = (nearest, toward, torch.zeros_like(nearest))
    best, least = nearest, torch.full_like(nearest, torch.inf)
    for choice, terms in zip(choices, expected.terms_of(choices), strict=True):
        cost = (wanted - choice).square_().mul_(factor).sub_(terms[0, 0])
        best = torch.where(cost < least, choice, best)
        least = torch.minimum(cost, least)
    return best
