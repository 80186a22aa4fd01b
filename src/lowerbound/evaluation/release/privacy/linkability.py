"""Linkability: do two parts of a person's data, held in two places, belong together?

An attacker has the columns of a person in two parts. They are linked if the same released row is
among the nearest neighbors of both parts. The control is the success rate on rows of the same
source that were not used. Source: Giomi et al. 2023 (anonymeter).
"""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.release.privacy.attack_rates import AttackRate
from lowerbound.evaluation.release.privacy.neighbors import squared_distances

NEIGHBORS = 5
SPLITS = 4


def linkability(
    training: Array, holdout: Array, synthetic: Array, owner: Array, seed: int = 0
) -> AttackRate | None:
    """Attack with four random splits of the columns into two parts, each on a quarter of the rows.

    Args:
        training, holdout, synthetic: coordinates, (rows, width).
        owner: the column of each coordinate.
        seed: of the splits.

    Returns:
        None if there are fewer than two columns.
    """
    random = np.random.default_rng(seed)
    columns = np.unique(owner)
    if len(columns) < 2:
        return None
    hits, counts = [0, 0], [0, 0]
    for split in range(SPLITS):
        chosen = random.permutation(columns)[: len(columns) // 2]
        one = np.isin(owner, chosen)
        for group, rows in enumerate((training, holdout)):
            part = rows[split::SPLITS]
            hits[group] += int(_linked(part, synthetic, one).sum())
            counts[group] += len(part)
    pairs = list(zip(hits, counts, strict=True))
    return AttackRate.of("linkability", "two halves of the columns", pairs[0], pairs[1])


def _linked(rows: Array, synthetic: Array, one: Array) -> Array:
    """Mask of the rows whose two parts have a common neighbor."""
    first, second = (_neighbors(rows[:, part], synthetic[:, part]) for part in (one, ~one))
    return np.asarray((first[:, :, None] == second[:, None, :]).any(axis=(1, 2)))


def _neighbors(rows: Array, others: Array) -> Array:
    """The nearest other rows of each row, (rows, neighbors)."""
    count = min(NEIGHBORS, len(others))
    found = np.empty((len(rows), count), dtype=np.int64)
    for part, squared in squared_distances(rows, others):
        found[part] = np.argpartition(squared, count - 1, axis=1)[:, :count]
    return found
