"""Columns of counts: negative binomials, with the Poisson as a limit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Gamma
from torch.nn import functional as F

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.base import positive_scale, raw_scale
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, ColumnGroup, whole_numbers
from lowerbound.trace import Emission

LEAST_EXCESS = 1e-6  # smallest 1 / r; practically a Poisson
MOST_MEAN = 2.0**20  # initial value, before ``initialize`` sees training data
HEADROOM = 4.0  # largest mean over the largest count of the training data


class NegativeBinomialEmission(Emission):
    r"""Counts with mean m and variance m + m^2 / r.

    .. math:: p(x) = \frac{\Gamma(x + r)}{\Gamma(r)\, x!}
        \left(\frac{r}{r + m}\right)^r \left(\frac{m}{r + m}\right)^x

    Args:
        log_mean: log m, (samples, batch, columns).
        excess: 1 / r, (columns,); the limit 0 is the Poisson.
        dtype: of the results; None: that of log_mean.
    """

    def __init__(self, log_mean: Tensor, excess: Tensor, dtype: torch.dtype | None = None) -> None:
        self.log_mean, self.excess = log_mean, excess
        self.dtype = dtype or log_mean.dtype
        super().__init__(log_mean.shape[:2], log_mean.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        return log_mass(x, self.log_mean, self.excess).to(self.dtype)

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp().to(self.dtype)

    @property
    def variance(self) -> Tensor:
        mean = self.log_mean.exp()
        return (mean + self.excess * mean.square()).to(self.dtype)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        mean = self.log_mean.double().exp()
        r = (1 / self.excess.double()).expand(mean.shape)
        rate = Gamma(r, torch.ones_like(r), validate_args=False).sample(sample_shape) / r * mean
        return torch.poisson(rate).to(self.dtype)


def log_mass(x: Tensor, log_mean: Tensor, excess: Tensor) -> Tensor:
    """log p(x) in nats; float64, because the log-gammas of large counts cancel."""
    x, log_mean, log_r = x.double(), log_mean.double(), -torch.log(excess.double())
    r, log_odds = log_r.exp(), log_mean - log_r  # of m / (r + m)
    ways = torch.lgamma(x + r) - torch.lgamma(r) - torch.lgamma(x + 1)
    return ways + x * F.logsigmoid(log_odds) + r * F.logsigmoid(-log_odds)


@COLUMN_FAMILIES.register("count")
class CountColumns(ColumnGroup):
    r"""Columns of the kind "count"; one parameter l each, the log-mean.

    The mean has an upper limit M, 4 times the largest count that ``initialize`` saw, so that it
    does not overflow:

    .. math:: 1 / m = e^{-l} + 1 / M

    1 / r, one per column, is learned.
    """

    mass = True
    support = "whole numbers from 0 on"
    most_mean: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__(columns)
        one = torch.ones(self.event_shape)
        self.raw_excess = nn.Parameter(raw_scale(one, LEAST_EXCESS))
        self.register_buffer("most_mean", MOST_MEAN * one)

    @property
    def excess(self) -> Tensor:
        """1 / r of each column."""
        return positive_scale(self.raw_excess, LEAST_EXCESS)

    def forward(self, parameters: Tensor) -> NegativeBinomialEmission:
        most = torch.log(self.most_mean.double())
        log_mean = most - F.softplus(most - parameters.double())
        return NegativeBinomialEmission(log_mean, self.excess, parameters.dtype)

    def inside(self, x: Tensor) -> Tensor:
        return whole_numbers(x, torch.finfo(x.dtype).max)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set M from the largest count, and 1 / r from the excess variance over the Poisson."""
        self.most_mean.copy_(_most_mean(x))
        mean = _mean(x)
        excess = (x.var(0, correction=0) - mean) / mean.square()
        self.raw_excess.copy_(raw_scale(excess, LEAST_EXCESS))

    def initial_bias(self, x: Tensor) -> Tensor:
        """The l whose mean, with its limit M, is that of each column."""
        mean = _mean(x)
        return torch.log(mean) - torch.log1p(-mean / _most_mean(x))


def _mean(x: Tensor) -> Tensor:
    """The mean of each column; a column of zeros counts half a count, for the logarithm."""
    return x.mean(0).clamp_min(0.5 / len(x))


def _most_mean(x: Tensor) -> Tensor:
    return HEADROOM * x.amax(0).clamp_min(1)
