"""Whole numbers with an order, such as 8-bit greys: the mass that a logistic puts on each level."""

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
from lowerbound.likelihoods.levels import LevelsLikelihood, from_code, to_code
from lowerbound.trace import Emission, masked_terms

MOST_EDGES = 1023  # a mean over more levels than these is taken on a coarser grid
START_SCALE = 0.01  # model units; sharper starts cost hundreds of nats on the first rare pixel
SCALE_PER_STD = math.sqrt(3) / math.pi  # a logistic's scale per standard deviation


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

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return masked_terms(self._terms, x, observed)

    def _terms(self, x: Tensor) -> Tensor:
        return log_mass(to_code(x, self.levels), self.loc, self.scale, self.levels)

    @property
    def mean(self) -> Tensor:
        # E[x] is the sum over edges of P(x above the edge), times the step
        blocks = (self._above(edge).sum(-1) for edge in self._edges())
        return sum(blocks, torch.zeros_like(self.loc)) / self._steps

    @property
    def variance(self) -> Tensor:
        mean = self.mean.unsqueeze(-1)
        center = torch.round(mean * self._steps) / self._steps
        total = (center - mean).square().squeeze(-1)
        # from the level nearest the mean outwards every edge adds something positive: no cancelling
        for edge in self._edges():
            above = self._above(edge)
            beyond = torch.where(edge > center, above, 1 - above)
            total = total + (2 * (edge - mean).abs() * beyond).sum(-1) / self._steps
        return total

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        loc = self.loc.expand(sample_shape + self.loc.shape)
        return logistic_draw(loc, self.scale, self.levels)

    @property
    def _steps(self) -> int:
        return min(self.levels - 1, MOST_EDGES)

    def _edges(self) -> tuple[Tensor, ...]:
        """The edges between levels in model units, 16 at a time to bound the memory."""
        count = torch.arange(self._steps, dtype=self.loc.dtype, device=self.loc.device)
        edges: Tensor = (count + 0.5) / self._steps
        return torch.split(edges, 16)

    def _above(self, edge: Tensor) -> Tensor:
        return torch.sigmoid((self.loc.unsqueeze(-1) - edge) / self.scale.unsqueeze(-1))


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
    bottom, top = code <= 0, code >= levels - 1
    inside = torch.where(bottom, below_upper, below_upper + above_lower + between)
    return torch.where(top, above_lower, inside)


def logistic_draw(loc: Tensor, scale: Tensor, levels: int) -> Tensor:
    """A draw on the levels, in model units: the continuous one, rounded and clipped."""
    uniform = torch.rand_like(loc).clamp(1e-7, 1 - 1e-7)
    return from_code(to_code(loc + scale * torch.logit(uniform), levels), levels)


@LIKELIHOODS.register("discretized_logistic")
class DiscretizedLogistic(LevelsLikelihood):
    """A discretized logistic per feature: two numbers say how bright and how sure.

    Args:
        event_shape: shape of a row.
        levels: number of levels.
        scale: "decoder" (one per cell, owed by the decoder: a mass cannot exceed 1, so a sharp
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
        self.floor = floor / (levels - 1)
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
            self.scale.set(_spread(x))

    def initial_bias(self, x: Tensor) -> Tensor:
        """The mean of each feature and, where the decoder owes it, its spread."""
        mean = x.float().mean(0)
        if self.scale is not None:
            return mean
        return torch.cat([mean, raw_scale(_spread(x), self.floor)])


def _spread(x: Tensor) -> Tensor:
    return (x.float().std(0, correction=0) * SCALE_PER_STD).clamp_min(START_SCALE)
