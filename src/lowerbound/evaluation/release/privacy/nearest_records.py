"""Distances of released rows to the nearest training row: a smoke test, not evidence of privacy.

A table can pass it and still reveal training rows (Yao et al. 2025, arXiv 2505.01524). It finds
plain copies only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import Interval, wilson
from lowerbound.evaluation.release.privacy.neighbors import nearest_distances


@dataclass(frozen=True)
class NearestRecords:
    """Distances to the closest record (DCR) and their ratio to the second closest (NNDR).

    Attributes:
        released: 5 % quantile and median of the distance of released rows to training rows.
        holdout: the same of holdout rows.
        released_ratio: median of nearest over second nearest distance, of released rows.
        holdout_ratio: the same of holdout rows.
        nearer: share of released rows that are nearer to a training row than to a holdout row, of
            as many of each; 0.5 without memorization.
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
    a, b = (nearest_distances(synthetic, rows)[:, 0] for rows in (half, other))
    near = (a < b) | ((a == b) & (random.random(len(a)) < 0.5))
    drawn, fresh = (nearest_distances(rows, half, 2) for rows in (synthetic, holdout))
    return NearestRecords(
        _quantiles(drawn[:, 0]),
        _quantiles(fresh[:, 0]),
        _ratio(drawn),
        _ratio(fresh),
        wilson(int(near.sum()), len(near)),
    )


def _quantiles(distances: Array) -> tuple[float, float]:
    low, middle = np.quantile(distances, [0.05, 0.5])
    return float(low), float(middle)


def _ratio(distances: Array) -> float:
    first, second = distances[:, 0], distances[:, 1]
    return float(np.median(np.divide(first, second, out=np.ones_like(first), where=second > 0)))
