"""How well a score separates two groups of rows: AUROC, and true positives at few false ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import Interval, clopper_pearson


@dataclass(frozen=True)
class AtFalsePositives:
    """True positives where few false positives are allowed.

    Attributes:
        allowed: the largest rate of false positives.
        reached: the rate of false positives at the threshold, at most ``allowed``, with the exact
            95 % interval of what it would be in a control group without end.
        true_positives: the rate of true positives there, with its exact 95 % interval.
    """

    allowed: float
    reached: Interval
    true_positives: Interval


Clusters = tuple[Array, Array]
"""The person, or row, that each score of the two groups belongs to: whole numbers from 0."""


def area(positive: Array, negative: Array, clusters: Clusters | None = None) -> tuple[float, float]:
    """(AUROC, its standard error by DeLong et al. 1988); equal scores count half.

    Args:
        positive: scores of the group that should have higher ones, (rows,).
        negative: scores of the other group, (rows,).
        clusters: if scores of the same row may be alike, the row of each score of both groups; the
            error is then that of Obuchowski 1997.
    """
    above, below = _placements(positive, negative)
    value = float(above.mean())
    if clusters is None:
        parts = [p.var(ddof=1) / len(p) if len(p) > 1 else 0.25 for p in (above, below)]
        return value, math.sqrt(sum(parts))
    count = 1 + max(int(rows.max()) for rows in clusters)
    sums = sum(
        np.bincount(rows, (placed - value) / len(placed), count)
        for rows, placed in zip(clusters, (above, below), strict=True)
    )
    return value, math.sqrt(count / max(count - 1, 1) * float(np.square(sums).sum()))


def area_interval(positive: Array, negative: Array, clusters: Clusters | None = None) -> Interval:
    """AUROC with its 95 % interval; without any spread, the ends are those of exact pairs.

    There is no spread if the groups do not overlap, or all scores are equal.
    """
    value, error = area(positive, negative, clusters)
    if not error:
        pairs = min(len(positive), len(negative))
        exact = clopper_pearson(round(value * pairs), pairs)
        return Interval(value, exact.low, exact.high)
    half = 1.959964 * error
    return Interval(value, max(value - half, 0.0), min(value + half, 1.0))


def at_false_positives(positive: Array, negative: Array, allowed: float) -> AtFalsePositives | None:
    """The rate of true positives above the lowest threshold that ``allowed`` permits.

    The interval is that of the rate at this threshold.

    Returns:
        None if there are fewer than 1 / ``allowed`` negative rows.
    """
    if len(negative) * allowed < 1:
        return None
    order = np.sort(negative)[::-1]
    threshold = order[math.floor(allowed * len(negative))]
    alarms, hits = int((negative > threshold).sum()), int((positive > threshold).sum())
    return AtFalsePositives(
        allowed, clopper_pearson(alarms, len(negative)), clopper_pearson(hits, len(positive))
    )


def _placements(positive: Array, negative: Array) -> tuple[Array, Array]:
    """Of each positive row, the share of negative rows below it; of each negative, above it."""
    from scipy.stats import rankdata

    n, m = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:n] - rankdata(positive)) / m
    below = 1 - (ranks[n:] - rankdata(negative)) / n
    return above, below
