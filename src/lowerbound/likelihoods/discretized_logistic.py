"""Whole numbers with an order, such as 8-bit greys: the mass that a logistic puts on each level."""

from __future__ import annotations

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
from lowerbound.likelihoods.levels import LevelsLikelihood, from_code, scale_floor, to_code
from lowerbound.likelihoods.logistic_moments import logistic_moments
from lowerbound.trace import Emission


class DiscretizedLogisticEmission(Emission):
    r"""The logistic's mass between the edges k - 1/2 and k + 1/2 of each level, tails at the ends.

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
        # float64, since a sharp logistic's variance is a small difference of large numbers
        mean, mean_square = logistic_moments(self.loc.double(), self.scale.double(), self.levels)
        return (mean_square - mean.square()).clamp_min(0).to(self.loc.dtype)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        loc = self.loc.expand(sample_shape + self.loc.shape)
        return logistic_draw(loc, self.scale, self.levels)


def log_mass(code: Tensor, loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    r"""log P(code) in nats, finite for every code however far from loc.

    With a, b the standardized upper and lower edge, sigma(a) - sigma(b) is a difference of numbers
    near 0 or 1; its logarithm is taken instead as

    .. math:: \log\sigma(a) + \log\sigma(-b) + \log(-\mathrm{expm1}(b - a)), \quad b - a = -1/s

    Args:
        code: levels 0 .. levels - 1, floating point.
        loc, scale: model units, broadcastable with code.
        levels: number of levels.
    """
    # in units of levels the edges k + 1/2 are exact, so neighbours share them to the last bit
    center = loc * (levels - 1)
    sharpness = 1 / (scale * (levels - 1))
    below_upper = F.logsigmoid(((code + 0.5) - center) * sharpness)
    above_lower = F.logsigmoid((center - (code - 0.5)) * sharpness)
    between = torch.log(-torch.expm1(-sharpness))
    # the lowest level has no lower edge and the highest no upper one; masks are multiplied, which
    # is faster than torch.where, and every logarithm is finite
    has_lower, has_upper = (code > 0).to(loc.dtype), (code < levels - 1).to(loc.dtype)
    return has_upper * below_upper + has_lower * (above_lower + has_upper * between)


def logistic_draw(loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """A draw on the levels, in model units: the continuous one, rounded and clipped."""
    uniform = torch.rand_like(loc).clamp(1e-7, 1 - 1e-7)
    return from_code(to_code(loc + scale * torch.logit(uniform), levels), levels)


@LIKELIHOODS.register("discretized_logistic")
class DiscretizedLogistic(LevelsLikelihood):
    """A discretized logistic per feature, of a location and a scale.

    Args:
        event_shape: shape of a row.
        levels: number of levels.
        scale: "decoder" (one per cell, from the decoder: a mass cannot exceed 1, so a sharp
            scale is no danger here), or "fixed", "global" or "feature" as for real numbers.
        tau: the scale where fixed, where it starts otherwise; model units.
        floor: the smallest scale, as a share of the distance between two levels.
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
        """The logistic that fits each feature's levels: its location and, where the decoder gives
        it, its scale."""
        loc, scale = fit_logistic(x, self.levels)
        return loc if self.scale is not None else torch.cat([loc, raw_scale(scale, self.floor)])


MOST_ROWS = 2000  # enough to place a start
THRESHOLDS = 16
LEAST_SCALE, MOST_SCALE = 0.005, 0.5  # model units


def fit_logistic(x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    r"""Location and scale of each feature in model units, (*event,) each.

    A logistic's distribution function is a line in its logit, logit F(t) = (t - mu) / s, so a line
    is fitted to the logits of the shares of rows below some thresholds, each weighted by how well
    its share is known, F (1 - F). Levels piled up at black or white only say that the line crosses
    there, so they are no trouble as they would be for a mean and a standard deviation.

    Source: Berkson 1944 (minimum chi-square for the logit).
    """
    rows = x[:MOST_ROWS].float()
    edge = torch.linspace(0, levels - 2, min(THRESHOLDS, levels - 1)).round() + 0.5
    thresholds = (edge / (levels - 1)).to(rows.device)
    # half a row is added on either side: a share of 0 or 1 has no logit
    below = torch.stack([((rows < t).sum(0) + 0.5) / (len(rows) + 1) for t in thresholds])
    weight = below * (1 - below)
    weight = weight / weight.sum(0)
    logit = torch.logit(below)
    t = thresholds.reshape(-1, *[1] * (x.dim() - 1)).expand_as(logit)
    mean_t, mean_logit = (weight * t).sum(0), (weight * logit).sum(0)
    across = (weight * (t - mean_t) * (logit - mean_logit)).sum(0)
    along = (weight * (t - mean_t).square()).sum(0)
    # a feature that never varies has slope 0; two levels have a single threshold and no slope
    slope = torch.where(along > 0, across / along, 0.0)
    scale = 1 / slope.clamp(1 / MOST_SCALE, 1 / LEAST_SCALE)
    return mean_t - scale * mean_logit, scale
