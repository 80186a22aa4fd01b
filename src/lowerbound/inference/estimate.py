"""A mean over rows with its standard error, and the tail of importance weights.

The diagnostic k of Pareto smoothing is the shape of a generalized Pareto distribution that is
fitted to the largest weights of a row. It determines how many moments the weights have: more than 1
/ k. Above k = 0.7 an average of weights is unreliable at every affordable number of draws, and L_K
may lie far below log p(x).

Sources: Vehtari et al. 2024; the fit is that of Zhang & Stephens 2009.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

UNRELIABLE = 0.7  # k, above which an average of weights says little
LEAST_TAIL = 5  # weights that a fit needs
PRIOR_WEIGHT = 10.0  # of the weak prior on k, in draws, and its center: Vehtari et al. 2024
PRIOR_SHAPE = 0.5  # towards which k is drawn
FLAT = 1e-3  # excess of equal weights
LEAST_EXCESS = 1e-12
NUMBERS_AT_ONCE = 1 << 21


def tail_length(samples: int) -> int:
    """The number of tail weights among K: min(K / 5, 3 sqrt(K)); 0 if too few to fit."""
    length = math.ceil(min(0.2 * samples, 3 * math.sqrt(samples)))
    return length if length >= LEAST_TAIL else 0


class Tail:
    """The largest log weights of some rows, collected chunk by chunk.

    Args:
        samples: K, the total number of weights of a row.
    """

    def __init__(self, samples: int) -> None:
        self.length = tail_length(samples)
        self._largest: Tensor | None = None

    def add(self, log_weights: Tensor) -> None:
        """Add weights of the same rows, (samples, rows)."""
        if not self.length:
            return
        if self._largest is not None:
            log_weights = torch.cat([self._largest, log_weights])
        kept = min(self.length + 1, len(log_weights))  # one more is the threshold
        self._largest = log_weights.topk(kept, 0).values

    def shape(self) -> Tensor | None:
        """k of each row, (rows,); None if K is too small for a tail."""
        return None if self._largest is None else pareto_shape(self._largest)


def pareto_shape(largest: Tensor) -> Tensor:
    """k of each row from its M + 1 largest log weights, (M + 1, rows), largest first; (rows,).

    k is 0 if they agree to a thousandth, as with an exact posterior. There is then no tail, only
    rounding.
    """
    weights = torch.exp(largest - largest[:1])
    excess = (weights[:-1] - weights[-1:]).flip(0)
    candidates = 30 + math.isqrt(len(excess))
    rows = max(1, NUMBERS_AT_ONCE // (candidates * len(excess)))
    return torch.cat([_fitted(part) for part in excess.split(rows, 1)])


def _fitted(excess: Tensor) -> Tensor:
    """k of the generalized Pareto distribution of excesses over a threshold, (M, rows) rising.

    The likelihood is profiled over theta = -k / sigma at about 30 values. The estimate is their
    average weighted by likelihood, so there is no search that could fail.
    """
    count = len(excess)
    flat = excess[-1] < FLAT
    excess = torch.where(flat, torch.ones_like(excess), excess).clamp_min(LEAST_EXCESS)
    quartile, largest = excess[math.floor(count / 4 + 0.5) - 1], excess[-1]
    candidates = 30 + math.isqrt(count)
    places = torch.arange(1, candidates + 1, dtype=excess.dtype, device=excess.device) - 0.5
    spread = (1 - (candidates / places).sqrt()).unsqueeze(1)
    theta = 1 / largest + spread / (3 * quartile)
    shape = torch.log1p(-theta.unsqueeze(1) * excess).mean(1)
    profile = count * (torch.log(-theta / shape) - shape - 1)
    best = (torch.softmax(profile, 0) * theta).sum(0)
    k = torch.log1p(-best * excess).mean(0)
    k = (count * k + PRIOR_WEIGHT * PRIOR_SHAPE) / (count + PRIOR_WEIGHT)
    return torch.where(flat, torch.zeros_like(k), k)


@dataclass(frozen=True)
class Estimate:
    """The mean of a quantity over rows.

    Attributes:
        mean: the mean over rows.
        standard_error: standard deviation (divisor rows - 1) over the root of rows; None for one
            row.
    """

    mean: float
    standard_error: float | None

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """The estimate from one value per row, (rows,)."""
        values = values.double()
        mean = float(values.mean())
        if len(values) < 2:
            return cls(mean, None)
        return cls(mean, float(values.std()) / math.sqrt(len(values)))

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit."""
        error = None if self.standard_error is None else abs(factor) * self.standard_error
        return Estimate(factor * self.mean, error)

    def __str__(self) -> str:
        if self.standard_error is None:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} ± {self.standard_error:.2f}"


@dataclass(frozen=True)
class Skipped:
    """Placeholder for a measure that the data does not allow.

    Attributes:
        reason: one sentence.
    """

    reason: str
