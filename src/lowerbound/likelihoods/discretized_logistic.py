"""The discretized logistic: a mass over ordered integers, such as 8-bit grey values.

Its mean and mean square are those of a logistic that is rounded to levels and clipped to [0, 1].
With P(x > t) = sigma((mu - t) / s), E[x] is the integral of P(x > t) over t in [0, 1], and E[x^2]
is the integral of 2 t P(x > t). With few levels, it is a sum over their edges. With many levels, it
has a closed form without the rounding: the error is below half a level, and negligible unless s is
below one level.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.errors import unknown
from lowerbound.likelihoods.base import (
    LIKELIHOODS,
    SCALE_MODES,
    LearnedScale,
    positive_scale,
    raw_scale,
)
from lowerbound.likelihoods.categorical import LevelsLikelihood, from_code, scale_floor, to_code
from lowerbound.trace import Emission

MOST_SUMMED = 64  # levels


def logistic_moments(loc: Tensor, scale: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """E[x] and E[x^2] in model units, of the shape of loc.

    Args:
        loc: mu, model units.
        scale: s, model units, broadcastable to loc.
        levels: number of levels in [0, 1].
    """
    if levels <= MOST_SUMMED:
        count = torch.arange(levels - 1, dtype=loc.dtype, device=loc.device)
        edge = (count + 0.5) / (levels - 1)
        above = torch.sigmoid((loc.unsqueeze(-1) - edge) / scale.unsqueeze(-1)) / (levels - 1)
        return above.sum(-1), (2 * edge * above).sum(-1)
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


class DiscretizedLogisticEmission(Emission):
    r"""The mass of a logistic between the edges k - 1/2 and k + 1/2 of each level.

    The lowest and the highest level include the tails.

    .. math:: P(k) = \sigma\!\left(\tfrac{k + 1/2 - \mu}{s}\right)
        - \sigma\!\left(\tfrac{k - 1/2 - \mu}{s}\right)

    Args:
        loc: mu in model units, (samples, batch, *event).
        scale: s in model units, broadcastable to loc.
        levels: number of levels.

    Source: Kingma et al. 2016, section 5.2 and appendix; Salimans et al. 2017.
    """

    def __init__(self, loc: Tensor, scale: Tensor, levels: int) -> None:
        self.loc, self.scale, self.levels = loc, scale, levels
        super().__init__(loc.shape[:2], loc.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        return log_mass(to_code(x, self.levels), self.loc, self.scale, self.levels)

    @property
    def mean(self) -> Tensor:
        return logistic_moments(self.loc, self.scale, self.levels)[0]

    @property
    def variance(self) -> Tensor:
        # float64, because a sharp logistic's variance is a small difference of large numbers
        mean, mean_square = logistic_moments(self.loc.double(), self.scale.double(), self.levels)
        return (mean_square - mean.square()).clamp_min(0).to(self.loc.dtype)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        loc = self.loc.expand(sample_shape + self.loc.shape)
        return logistic_draw(loc, self.scale, self.levels)


def log_mass(code: Tensor, loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    r"""log P(code) in nats, finite for every code at any distance from loc.

    With the standardized upper and lower edges a and b, sigma(a) - sigma(b) is a difference of
    numbers near 0 or 1. Its logarithm is computed as

    .. math:: \log\sigma(a) + \log\sigma(-b) + \log(-\mathrm{expm1}(b - a)), \quad b - a = -1/s

    Args:
        code: levels 0 .. levels - 1, floating point.
        loc, scale: model units, broadcastable with code.
        levels: number of levels.
    """
    # in units of levels the edges k + 1/2 are exact, so adjacent levels share them to the last bit
    center = loc * (levels - 1)
    sharpness = 1 / (scale * (levels - 1))
    below_upper = F.logsigmoid(((code + 0.5) - center) * sharpness)
    above_lower = F.logsigmoid((center - (code - 0.5)) * sharpness)
    between = torch.log(-torch.expm1(-sharpness))
    # the lowest level has no lower edge and the highest no upper one; multiplying by
    # masks is faster than torch.where, and every logarithm is finite
    has_lower, has_upper = (code > 0).to(loc.dtype), (code < levels - 1).to(loc.dtype)
    return has_upper * below_upper + has_lower * (above_lower + has_upper * between)


def logistic_draw(loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """A draw in model units: a continuous draw, rounded to the levels and clipped."""
    uniform = torch.rand_like(loc).clamp(1e-7, 1 - 1e-7)
    return from_code(to_code(loc + scale * torch.logit(uniform), levels), levels)


@LIKELIHOODS.register("discretized_logistic")
class DiscretizedLogistic(LevelsLikelihood):
    """A discretized logistic per feature, with a location and a scale.

    Args:
        event_shape: shape of a row.
        levels: number of levels.
        scale: "decoder" (the decoder returns one per cell, which is safe because a mass cannot
            exceed 1), or "fixed", "global" or "feature" as for real numbers.
        tau: the scale if fixed, else its initial value; model units.
        floor: the smallest scale, as a fraction of the distance between two levels.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        levels: int = 256,
        scale: Literal["decoder", "fixed", "global", "feature"] = "decoder",
        tau: float = 0.1,
        floor: float = 0.1,
    ) -> None:
        super().__init__(event_shape, levels=levels)
        if scale != "decoder" and scale not in SCALE_MODES:
            raise unknown("scale", scale, ("decoder", *SCALE_MODES))
        self.floor = scale_floor(floor, levels)
        given = scale == "decoder"
        self.scale = None if given else LearnedScale(scale, self.event_shape, tau, self.floor)

    @property
    def numbers(self) -> int:
        return 2 if self.scale is None else 1

    def forward(self, parameters: Tensor) -> DiscretizedLogisticEmission:
        loc, *raw = self.split(parameters)
        scale = positive_scale(raw[0], self.floor) if self.scale is None else self.scale()
        return DiscretizedLogisticEmission(loc, scale, self.levels)

    def initialize(self, x: Tensor) -> None:
        if self.scale is not None:
            self.scale.set(fit_logistic(x, self.levels)[1])

    def initial_bias(self, x: Tensor) -> Tensor:
        """Location and, if the decoder returns it, scale of the logistic that fits each feature."""
        loc, scale = fit_logistic(x, self.levels)
        return loc if self.scale is not None else torch.cat([loc, raw_scale(scale, self.floor)])

    def linear_start(
        self, mean: Tensor, weight: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        scale = logistic_scale(deviation)
        if self.scale is not None:
            self.scale.set(scale)
            return weight, mean
        weights = torch.cat([weight, torch.zeros_like(weight)])
        return weights, torch.cat([mean, raw_scale(scale, self.floor)])


MOST_ROWS, FEW_ROWS = 2000, 500  # enough for initial values, and to choose between two
THRESHOLDS = 16
LEAST_SCALE, MOST_SCALE = 0.005, 0.5  # model units
LEAST_RESIDUAL = 0.001  # smallest scale of what a linear model leaves, model units


def logistic_scale(deviation: Tensor) -> Tensor:
    """The scale of a logistic of that mean absolute deviation, 2 s log 2."""
    return (deviation / (2 * math.log(2))).clamp_min(LEAST_RESIDUAL)


def fit_logistic(x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    r"""Location and scale of each feature in model units, (*event,) each.

    Of two fits, a feature has the one that makes its values likelier. Its logits are right where
    many values are black or white; its median and its mean absolute deviation, 2 s log 2, where all
    values lie within a few levels.
    """
    rows = x[:MOST_ROWS].float()
    few = rows[:FEW_ROWS]
    median = few.median(0).values
    deviation = (few - median).abs().mean(0)
    by_median = median, logistic_scale(deviation).clamp(LEAST_SCALE, MOST_SCALE)
    by_logits = _logit_line(rows, levels)
    code = to_code(few, levels)
    likelier = log_mass(code, *by_median, levels).sum(0) > log_mass(code, *by_logits, levels).sum(0)
    loc, scale = (
        torch.where(likelier, one, other) for one, other in zip(by_median, by_logits, strict=True)
    )
    return loc, scale


def _logit_line(rows: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    r"""Location and scale of each feature by its logits.

    The logit of a logistic's distribution function is linear, logit F(t) = (t - mu) / s. Therefore
    a line is fitted to the logits of the fractions of rows below some thresholds, with the weights
    F (1 - F), the precision of a fraction.

    Source: Berkson 1944 (minimum chi-square for the logit).
    """
    edge = torch.linspace(0, levels - 2, min(THRESHOLDS, levels - 1)).round() + 0.5
    thresholds = (edge / (levels - 1)).to(rows.device)
    # half a row is added on either side, because a fraction of 0 or 1 has no logit
    below = torch.stack([((rows < t).sum(0) + 0.5) / (len(rows) + 1) for t in thresholds])
    weight = below * (1 - below)
    weight = weight / weight.sum(0)
    logit = torch.logit(below)
    t = thresholds.reshape(-1, *[1] * (rows.dim() - 1)).expand_as(logit)
    mean_t, mean_logit = (weight * t).sum(0), (weight * logit).sum(0)
    across = (weight * (t - mean_t) * (logit - mean_logit)).sum(0)
    along = (weight * (t - mean_t).square()).sum(0)
    # a constant feature has slope 0; two levels have a single threshold and no slope
    slope = torch.where(along > 0, across / along, 0.0)
    scale = 1 / slope.clamp(1 / MOST_SCALE, 1 / LEAST_SCALE)
    return mean_t - scale * mean_logit, scale
