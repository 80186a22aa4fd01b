"""Probabilities from noisy counts."""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array

ROUNDS = 30
LEAST = 1e-12
LEAST_COUNT = 1.0
CLEAR = 3.0  # deviations of noise that a count hardly reaches by noise alone
CLEAR_VALUE = 2.5  # the same for the difference of a value from its group
LEAST_SHARE = 0.15  # of the share in the group
FLOOR = 1e-4
"""Share of a conditional table that is even, so that every value remains possible."""


def on_simplex(counts: Array, total: float = 1.0) -> Array:
    """The nearest table (least squares) without negative cells and with this total.

    Small cells, which are mostly noise, become zero (Duchi et al. 2008).
    """
    flat = np.sort(counts.ravel())[::-1]
    excess = (flat.cumsum() - total) / np.arange(1, len(flat) + 1)
    threshold = excess[np.flatnonzero(flat > excess)[-1]]
    return np.asarray(np.maximum(counts - threshold, 0.0))


def raked(table: Array, rows: Array, columns: Array) -> Array:
    """The table (rows, columns) scaled to have these margins, which have one total.

    Iterative proportional fitting (Deming & Stephan 1940). A row or column of zeros with a margin
    gets the product of the margins.
    """
    total = max(float(rows.sum()), LEAST)
    apart = np.outer(rows, columns) / total
    empty = (table.sum(1) <= LEAST)[:, None] | (table.sum(0) <= LEAST)[None]
    found = np.where(empty, apart, table) + 1e-6 * apart
    for _ in range(ROUNDS):
        found = found * (rows / np.maximum(found.sum(1), LEAST))[:, None]
        found = found * (columns / np.maximum(found.sum(0), LEAST))
    return np.asarray(found)


def conditional(table: Array) -> Array:
    """The table divided by its sums over the last axis; uniform where a sum is zero."""
    total = table.sum(-1, keepdims=True)
    uniform = np.full_like(table, 1.0 / table.shape[-1])
    return np.where(total > LEAST, table / np.maximum(total, LEAST), uniform)


def merged(mass: Array, least: float, most: int, ordered: bool) -> Array:
    """Groups of values, (values,), of at least this mass each where possible, at most ``most``.

    Ordered values are joined with their neighbors; of others, the rare ones are joined.
    """
    least = max(least, float(mass.sum()) / most if ordered else 0.0)
    if ordered:
        return _neighbors(mass, least)
    rank = np.argsort(-mass, kind="stable")
    alone = [int(v) for v in rank[: most - 1] if mass[v] >= least]
    group = np.full(len(mass), len(alone))
    group[alone] = np.arange(len(alone))
    return _dense(group)


def _neighbors(mass: Array, least: float) -> Array:
    group, current, number = np.zeros(len(mass), dtype=np.int64), 0.0, 0
    for value, share in enumerate(mass):
        # a frequent value is not mixed with the rare ones before it
        if current >= least or (share >= least and current >= least / 3):
            number, current = number + 1, 0.0
        group[value] = number
        current += share
    if current < least / 2 and number:
        group[group == number] = number - 1
    return _dense(group)


def _dense(group: Array) -> Array:
    return np.asarray(np.unique(group, return_inverse=True)[1])


def grouped(single: Array, group: Array) -> Array:
    """(hub, groups) from (hub, values): sums over the values of each group."""
    found = np.zeros((len(single), int(group.max()) + 1))
    np.add.at(found.T, group, single.T)
    return found


def within(single: Array, group: Array) -> Array:
    """p(value | hub, group), (hub, values), from counts; every value has some."""
    total = grouped(single, group)[:, group]
    even = 1.0 / np.bincount(group)[group]
    share = np.where(total > LEAST, single / np.maximum(total, LEAST), even)
    return np.asarray((1 - FLOOR) * share + FLOOR * even)


def floored(table: Array) -> Array:
    """Conditional tables in which every value has some probability."""
    return np.asarray((1 - FLOOR) * table + FLOOR / table.shape[-1])


def shrunk(noisy: Array, hub: Array, group: Array, deviation: float, spread: float) -> Array:
    """The table (hub, values) without negative cells and with the margin ``hub``.

    The totals of values have the least noise. The shares of the hub within a value are drawn to
    those of its group, and these to those of all rows, the more the noise exceeds their spread.
    """
    total = on_simplex(noisy.sum(0), float(hub.sum()))
    size = np.bincount(group)
    everywhere = np.repeat((hub / hub.sum())[:, None], len(size), 1)
    counts, noise = np.bincount(group, total), deviation * np.sqrt(size)
    of_group = _drawn_to(everywhere, grouped(noisy, group), counts, noise, spread)
    share = _drawn_to(of_group[:, group], noisy, total, np.full(len(total), deviation), spread)
    return raked(share * total, hub, total)


def _drawn_to(above: Array, noisy: Array, total: Array, noise: Array, spread: float) -> Array:
    """Shares of the hub, (hub, values): means of a normal posterior with the prior mean ``above``.

    A value whose counts clearly differ from ``above`` has the prior deviation ``spread``. The
    others have one that is estimated from them, because a few values of a column may differ much
    while most do not. No share is below a part of ``above``: a share of zero would be certainty,
    which noisy counts cannot give.
    """
    known = np.maximum(total, LEAST_COUNT)
    score = (noisy - above * known) / noise
    clear = (np.abs(score) > CLEAR_VALUE).any(0)
    deviation = np.where(clear, spread, _spread(score[:, ~clear], (known / noise)[~clear]))
    weight = deviation**2 / (deviation**2 + (noise / known) ** 2)
    share = np.maximum(weight * noisy / known + (1 - weight) * above, LEAST_SHARE * above)
    return np.asarray(share / np.maximum(share.sum(0), LEAST))


def _spread(score: Array, precision: Array) -> float:
    """The deviation of shares beyond their noise, by moments (DerSimonian & Laird 1986)."""
    excess = np.maximum((score**2 - 1).mean(0).sum(), 0.0) if score.size else 0.0
    return float(np.sqrt(excess / max(float((precision**2).sum()), LEAST)))


def raked_with_hub(pair: Array, above: Array, below: Array) -> Array:
    """The table (hub, parent, child) with the margins ``pair``, (hub, parent) and (hub, child).

    It has no interaction of three variables: its logarithm is a sum of terms of two.
    """
    hub = np.maximum(above.sum(1), LEAST)
    found = above[:, :, None] * below[:, None] / hub[:, None, None] + 1e-9
    for _ in range(2 * ROUNDS):
        found = found * (pair / np.maximum(found.sum(0), LEAST))
        found = found * (above / np.maximum(found.sum(2), LEAST))[:, :, None]
        found = found * (below / np.maximum(found.sum(1), LEAST))[:, None]
    return np.asarray(found)


def toward_expected(noisy: Array, expected: Array, deviation: float) -> Array:
    """Counts drawn to their expectation where this is below the noise.

    The mean of a normal posterior whose prior has the mean and the deviation ``expected``; counts
    that exceed it by three deviations of the noise are kept.
    """
    weight = expected**2 / (expected**2 + deviation**2)
    weight = np.where(noisy > expected + CLEAR * deviation, 1.0, weight)
    return np.asarray(weight * noisy + (1 - weight) * expected)
