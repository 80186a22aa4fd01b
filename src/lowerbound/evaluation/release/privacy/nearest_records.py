"""Distances of released rows to the nearest training row: a smoke test, not evidence of privacy.

A table can pass it and still reveal training rows (Yao et al. 2025, arXiv 2505.01524). It finds
plain copies only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import LEVEL, Interval, normal_quantile
from lowerbound.evaluation.release.privacy.neighbors import nearest, nearest_distances


@dataclass(frozen=True)
class NearestRecords:
    """Distances to the closest record (DCR) and their ratio to the second closest (NNDR).

    Attributes:
        released: 5 % quantile and median of the distance of released rows to training rows.
        holdout: the same of holdout rows.
        released_ratio: median of nearest over second nearest distance, of released rows.
        holdout_ratio: the same of holdout rows.
        nearer: share of released rows that are nearer to a training row than to a holdout row, of
            as many of each, ties by halves; 0.5 without memorization. Its interval has the
            standard deviation that the share has if these rows are exchanged at random: they vary
            too, and one of them may be the nearest of many released rows.
    """

    released: tuple[float, float]
    holdout: tuple[float, float]
    released_ratio: float
    holdout_ratio: float
    nearer: Interval


def nearest_records(
    training: Array, synthetic: Array, holdout: Array, seed: int = 0
) -> NearestRecords:
    """Measure distances between coordinates, (rows, width), of the three tables."""
    random = np.random.default_rng(seed)
    count = min(len(training), len(holdout))
    half = training[random.permutation(len(training))[:count]]
    other = holdout[random.permutation(len(holdout))[:count]]
    drawn, fresh = (nearest_distances(rows, half, 2) for rows in (synthetic, holdout))
    return NearestRecords(
        _quantiles(drawn[:, 0]),
        _quantiles(fresh[:, 0]),
        _ratio(drawn),
        _ratio(fresh),
        _nearer(synthetic, half, other),
    )


def _nearer(synthetic: Array, first: Array, second: Array) -> Interval:
    """The share of released rows that are nearer to the first rows than to the second."""
    (a, own), (b, theirs) = (nearest(synthetic, rows) for rows in (first, second))
    near = np.where(a == b, 0.5, a < b)
    count = len(first)
    owned = [np.bincount(own, near, count), np.bincount(theirs, 1 - near, count)]
    # of the sum over a random half of the rows, drawn without replacement
    deviation = math.sqrt(count / 2 * np.concatenate(owned).var(ddof=1)) / len(synthetic)
    value, spread = float(near.mean()), normal_quantile(LEVEL) * deviation
    return Interval(value, max(value - spread, 0.0), min(value + spread, 1.0))


def _quantiles(distances: Array) -> tuple[float, float]:
    low, middle = np.quantile(distances, [0.05, 0.5])
    return float(low), float(middle)


def _ratio(distances: Array) -> float:
    first, second = distances[:, 0], distances[:, 1]
    return float(np.median(np.divide(first, second, out=np.ones_like(first), where=second > 0)))
