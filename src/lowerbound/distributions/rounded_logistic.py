r"""The distribution of a logistic variable that is rounded to integers.

.. math:: p(q) = \sigma\Big(\frac{q + 1/2 - \mu}{s}\Big) - \sigma\Big(\frac{q - 1/2 - \mu}{s}\Big)

Coefficients are rounded to whole numbers by rate plus distortion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import Pushed, Size

LEAST_LOG_SCALE, LARGEST_LOG_SCALE = -3.5, 5.0
PLACES = 16  # of the grid, per whole number
STRIDE = math.log(2) / 4  # of log scales
SCALES = math.floor((LARGEST_LOG_SCALE - LEAST_LOG_SCALE) / STRIDE) + 1
FARTHEST = 2**23  # places; float32 represents all integers up to twice that
DISTORTION = 6.0  # nats per squared step: 1 / (2 / 12)


class RoundedLogistic(Pushed):
    """Independent integers; the batch shape is the two leading axes.

    Args:
        location: mu, (samples | 1, rows | 1, *event).
        log_scale: log s, of the same shape; clipped to a useful range.
    """

    def __init__(self, location: Tensor, log_scale: Tensor) -> None:
        self.location = location
        self.log_scale = log_scale.clamp(LEAST_LOG_SCALE, LARGEST_LOG_SCALE)
        super().__init__(location.shape[:2], location.shape[2:], validate_args=False)

    def snapped(self) -> RoundedLogistic:
        """The nearest distribution on a grid, by operations that are equal on all machines."""
        place = (self.location * PLACES).round_().clamp_(-FARTHEST, FARTHEST).div_(PLACES)
        index = (self.log_scale - LEAST_LOG_SCALE).mul_(1 / STRIDE).round_()
        log_scale = index.clamp_(0, SCALES - 1).mul_(STRIDE).add_(LEAST_LOG_SCALE)
        return RoundedLogistic(place, log_scale)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (samples, rows)."""
        return self.terms(z).flatten(2).sum(-1)

    def terms(self, z: Tensor) -> Tensor:
        """log p of each number, nats."""
        (found,) = self.terms_of([z])
        return found

    def terms_of(self, choices: Iterable[Tensor]) -> Iterator[Tensor]:
        """``terms`` of several choices of all numbers, with what they share computed once."""
        narrow = torch.exp(-self.log_scale)
        # log (sigma(b) - sigma(a)) = log sigma(b) + log sigma(-a) + log (1 - exp(a - b))
        within = torch.log(-torch.expm1(-narrow))
        half = narrow / 2
        for z in choices:
            middle = (z - self.location) * narrow
            upper, lower = middle + half, middle - half
            yield F.logsigmoid(upper) + F.logsigmoid(-lower) + within

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Map standard normal noise to integers with the inverse distribution function."""
        uniform = torch.special.ndtr(noise.double()).clamp(1e-12, 1 - 1e-12)
        spread = torch.logit(uniform).to(noise.dtype) * self.log_scale.exp()
        return torch.round(self.location + spread)

    def expand(self, batch_shape: Size, _instance: object = None) -> RoundedLogistic:
        shape = (*batch_shape, *self.event_shape)
        return RoundedLogistic(self.location.expand(shape), self.log_scale.expand(shape))

    @property
    def mean(self) -> Tensor:
        """The most probable integers."""
        return torch.round(self.location)

    @property
    def like(self) -> Tensor:
        return self.location


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
