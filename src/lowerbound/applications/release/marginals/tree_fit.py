"""Fit a tree of discrete variables to noisy tables (the MST pattern, McKenna et al. 2021).

1. Measure the table of the hub with each variable. The noise decides how values are grouped.
2. Choose pairs of variables by the exponential mechanism: again and again the pair whose table
   differs most from what step 1 predicts, less what its noise would be; at most a tree, and none
   once nothing exceeds the noise.
3. Measure the tables of these pairs. The table of a pair with the hub has the measured tables of
   two as its margins, and no interaction of three.

All that follows a measurement is post-processing, such as probabilities from noisy counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.applications.release.marginals.hub_tree import HALF_NORMAL, HubTree, Measuring
from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError

ROUNDS = 30  # of fitting a table to its margins
LEAST = 1e-12  # count that is not empty
LEAST_COUNT = 1.0  # for a share of it
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
    rank = np.argsort(-mass, kind="stable")
    alone = [int(v) for v in rank[: most - 1] if mass[v] >= least]
    group = np.full(len(mass), len(alone))
    group[alone] = np.arange(len(alone))
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


@dataclass(frozen=True)
class TreeOptions:
    """How the privacy is divided, and how coarse the tables of pairs are.

    Attributes:
        tree: whether pairs are measured; without them the model is naive Bayes.
        single: share of rho for the tables of single variables with the hub.
        selection: share of rho for the choice of pairs.
        most_groups: largest number of groups of a variable.
        noise_in_group: least count of a group, in deviations of the noise of a pair's cell.
        spread: how much the shares of the hub differ between values that clearly differ; noise
            above it is shrunk.

    Raises:
        OptionError: the shares leave nothing for the pairs.
    """

    tree: bool = True
    single: float = 0.8
    selection: float = 0.05
    most_groups: int = 24
    noise_in_group: float = 8.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        if self.single <= 0 or self.selection <= 0 or self.single + self.selection >= 1:
            raise OptionError("single and selection are positive shares with a sum below 1")


class TreeFit:
    """One fit.

    Args:
        measuring: the rows; column 0 is the hub.
        sizes: number of values of each variable, the hub first.
        ordered: whether the values of each variable have an order, the hub left out.
        rho: of everything together.
        options: how rho is divided.
    """

    def __init__(
        self,
        measuring: Measuring,
        sizes: Sequence[int],
        ordered: Sequence[bool],
        rho: float,
        options: TreeOptions,
    ) -> None:
        self.measuring, self.sizes, self.options = measuring, tuple(sizes), options
        self.variables = len(sizes) - 1
        self.pairs = options.tree and self.variables > 1
        self.single_rho = rho * options.single if self.pairs else rho
        self.selection_rho = rho * options.selection
        self.pair_rho = rho - self.single_rho - self.selection_rho
        self._measure_singles(ordered)

    def tree(self) -> HubTree:
        """Choose and measure the pairs, and make the model."""
        parents = [-1] * self.variables
        transitions = [floored(conditional(one))[:, None] for one in self.coarse]
        edges = self._edges() if self.pairs else []
        deviation = math.sqrt(max(len(edges), 1) / (2 * self.pair_rho)) if edges else 0.0
        for child, parent in directed(edges, self.variables):
            parents[child] = parent
            transitions[child] = self._transition(parent, child, deviation)
        return HubTree(
            self.hub / self.hub.sum(),
            tuple(parents),
            tuple(self.groups),
            tuple(transitions),
            tuple(within(one, group) for one, group in self._singles()),
        )

    def _measure_singles(self, ordered: Sequence[bool]) -> None:
        """The tables of the hub with each variable, their groups and the hub's counts."""
        deviation = math.sqrt(self.variables / (2 * self.single_rho))
        noisy = [
            self.measuring.noisy((0, i), (self.sizes[0], self.sizes[i]), deviation)
            for i in range(1, self.variables + 1)
        ]
        self.hub = hub_counts(noisy)
        of_pair = deviation
        if self.pairs:
            of_pair = math.sqrt((self.variables - 1) / (2 * self.pair_rho))
        least, most = self.options.noise_in_group * of_pair, self.options.most_groups
        self.groups = [
            merged(on_simplex(one.sum(0), self.hub.sum()), least, most, order)
            for one, order in zip(noisy, ordered, strict=True)
        ]
        self.singles = [
            shrunk(one, self.hub, group, deviation, self.options.spread)
            for one, group in zip(noisy, self.groups, strict=True)
        ]
        self.coarse = [grouped(one, group) for one, group in self._singles()]

    def _singles(self) -> list[tuple[Array, Array]]:
        return list(zip(self.singles, self.groups, strict=True))

    def _edges(self) -> list[tuple[int, int]]:
        """Pairs that form no cycle, chosen one by one; a score of zero stops the choice."""
        deviation = math.sqrt((self.variables - 1) / (2 * self.pair_rho))
        epsilon_0 = math.sqrt(8 * self.selection_rho / (self.variables - 1))
        pairs = [(i, j) for i in range(self.variables) for j in range(i)]
        scores = np.array([self._score(i, j, deviation) for i, j in pairs])
        part = np.arange(self.variables)
        edges: list[tuple[int, int]] = []
        for _ in range(self.variables - 1):
            free = [k for k, (i, j) in enumerate(pairs) if part[i] != part[j]]
            best = self.measuring.choose(np.append(scores[free], 0.0), epsilon_0)
            if best == len(free):
                break
            i, j = pairs[free[best]]
            edges.append((i, j))
            part[part == part[i]] = part[j]
        return edges

    def _score(self, i: int, j: int, deviation: float) -> float:
        """The distance of a pair's table from independence given the hub, less its noise."""
        expected = np.einsum("hi,hj,h->ij", self.coarse[i], self.coarse[j], 1 / self.hub)
        groups = (self.groups[i], self.groups[j])
        distance = self.measuring.distance((1 + i, 1 + j), expected.shape, expected, groups)
        return float(distance - deviation * HALF_NORMAL * expected.size)

    def _transition(self, parent: int, child: int, deviation: float) -> Array:
        """p(child | hub, parent), (hub, parent's groups, child's groups)."""
        above, below = self.coarse[parent], self.coarse[child]
        shape = (above.shape[1], below.shape[1])
        groups = (self.groups[parent], self.groups[child])
        noisy = self.measuring.noisy((1 + parent, 1 + child), shape, deviation, groups)
        noisy = toward_expected(
            noisy, np.einsum("hi,hj,h->ij", above, below, 1 / self.hub), deviation
        )
        pair = raked(on_simplex(noisy, float(above.sum())), above.sum(0), below.sum(0))
        return floored(conditional(raked_with_hub(pair, above, below)))


def hub_counts(tables: Sequence[Array]) -> Array:
    """The hub's counts by all tables (hub, values) together, (hub,).

    A sum over m cells has m times the variance of one, so a table of m values counts 1 / m.
    """
    weights = np.array([1 / one.shape[1] for one in tables])
    sums = np.stack([one.sum(1) for one in tables])
    return np.asarray(np.maximum(weights @ sums / weights.sum(), 1.0))


def directed(edges: Sequence[tuple[int, int]], variables: int) -> list[tuple[int, int]]:
    """(child, parent) of each edge of a forest, seen from the variables with most edges."""
    degree = np.bincount(np.array(edges, dtype=np.int64).ravel(), minlength=variables)
    reached: set[int] = set()
    found: list[tuple[int, int]] = []
    for root in np.argsort(-degree, kind="stable").tolist():
        waiting = [] if root in reached else [root]
        reached.add(root)
        while waiting:
            parent = waiting.pop()
            near = [b if a == parent else a for a, b in edges if parent in (a, b)]
            new = [child for child in near if child not in reached]
            found += [(child, parent) for child in new]
            reached.update(new)
            waiting += new
    return found
