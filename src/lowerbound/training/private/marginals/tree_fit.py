"""Fit a tree of discrete variables to noisy tables (the MST pattern, McKenna et al. 2021).

1. Measure the table of the hub with each variable. The noise decides how values are grouped.
2. Choose pairs of variables by the exponential mechanism: again and again the pair whose table
   differs most from what step 1 predicts, less what its noise would be; at most a tree, and none
   once nothing exceeds the noise.
3. Measure the tables of these pairs. The table of a pair with the hub has the measured tables of
   two as its margins, and no interaction of three.

All that follows a measurement is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.training.private.marginals.estimates import (
    conditional,
    floored,
    grouped,
    merged,
    on_simplex,
    raked,
    raked_with_hub,
    shrunk,
    toward_expected,
    within,
)
from lowerbound.training.private.marginals.hub_tree import HubTree
from lowerbound.training.private.marginals.measuring import HALF_NORMAL, Measuring


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
