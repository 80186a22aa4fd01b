"""Intervals of shares: how far a counted share may be from the probability behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with an interval that holds the true one with a stated confidence.

    Attributes:
        value: the estimate.
        low, high: the ends of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def wilson(count: int, total: int, level: float = LEVEL) -> Interval:
    """The score interval of a share (Wilson 1927); it may be used for small counts."""
    if not total:
        return Interval(math.nan, 0.0, 1.0)
    z, share = normal_quantile(level), count / total
    center = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = share * (1 - share) / total + z * z / (4 * total * total)
    half = z * math.sqrt(spread) / (1 + z * z / total)
    return Interval(share, max(center - half, 0.0), min(center + half, 1.0))


def clopper_pearson(count: int, total: int, level: float = LEVEL) -> Interval:
    """The exact interval of a share (Clopper & Pearson 1934): it is never too short."""
    from scipy.stats import beta

    if not total:
        return Interval(math.nan, 0.0, 1.0)
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return Interval(count / total, low, high)


def difference(first: Interval, second: Interval) -> Interval:
    """First minus second, of independent shares, from their score intervals (Newcombe 1998)."""
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, value - down, value + up)


def normal_quantile(level: float) -> float:
    """The z of a two-sided interval of this level."""
    from scipy.stats import norm

    return float(norm.ppf(0.5 + level / 2))
