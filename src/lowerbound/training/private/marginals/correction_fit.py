r"""Fit the correction of a tree to noisy gradients of the rows.

The loss of a row is :math:`-\log p(h \mid x)`; its gradient is the features of x times the
probabilities less the indicator of h. All rows take part in each update, so an update is the
Gaussian mechanism and its privacy adds to that of the tables in rho.

Each update combines all noisy gradients so far by recursive least squares: near the weights W the
gradient is :math:`A (W^* - W)` plus noise of deviation s, and weights have a normal prior of
deviation t, so after k gradients

.. math:: W \leftarrow W + (k A^2 + (s / t)^2 I)^{-1} A g

The curvature A comes from rows that the tree draws, which costs no privacy. For each value of the
hub it is the diagonal block :math:`2 p (1 - p)`, which bounds the curvature of the softmax and is
that of the logistic model for two values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.training.private.marginals.corrected_tree import CorrectedTree, joint_of, normalized
from lowerbound.training.private.marginals.hub_tree import UNKNOWN, HubTree
from lowerbound.training.private.marginals.measuring import Measuring

MOST_DRAWN = 50_000
SEED = 0  # of the drawn rows


@dataclass(frozen=True)
class CorrectionOptions:
    """How the correction is fitted.

    Attributes:
        share: of rho, for the gradients; the tables have the rest.
        updates: number of gradients.
        clip: largest norm of a row's gradient; features have norm one, and no gradient exceeds
            sqrt(2).
        spread: deviation of a weight under the prior, in nats.

    Raises:
        OptionError: a value is out of range.
    """

    share: float = 0.5
    updates: int = 6
    clip: float = 0.4
    spread: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise OptionError(f"the share of gradients is between 0 and 1, not {self.share!r}")
        if self.updates < 1 or not (self.clip > 0 and self.spread > 0):
            raise OptionError("updates, clip and spread must be positive")


class CorrectionFit:
    """One fit.

    Args:
        measuring: the rows; column 0 is the hub.
        tree: fitted to noisy tables.
        rho: of all gradients together.
        options: of the fit.
    """

    def __init__(
        self, measuring: Measuring, tree: HubTree, rho: float, options: CorrectionOptions
    ) -> None:
        self.measuring, self.tree, self.options = measuring, tree, options
        self.multiplier = noise_multiplier(rho, options.updates)

    def corrected(self, rows: int) -> CorrectedTree:
        """Make all updates; ``rows`` is the number of rows of the table, which is public."""
        count = min(rows, MOST_DRAWN)
        drawn = self._drawn(count)
        a, base = features(self.tree, drawn), joint_of(self.tree, drawn)
        weights = np.zeros((a.shape[1], len(self.tree.hub)))
        for update in range(1, self.options.updates + 1):
            gradient = self._gradient(weights)
            p = np.exp(normalized(base + a @ weights))
            for h, curve in enumerate((2 * p * (1 - p) * rows / count).T):
                curvature = (a * curve[:, None]).T @ a
                weights[:, h] += self._step(curvature, gradient[:, h], update)
        return corrected_tree(self.tree, weights)

    def _drawn(self, count: int) -> Array:
        width = 1 + len(self.tree.parents)
        uniform = np.random.default_rng(SEED).random((count, 2 * width - 1))
        return self.tree.sample(np.full((count, width), UNKNOWN), uniform)

    def _gradient(self, weights: Array) -> Array:
        """The noisy gradient of log p, (features, H), without the part common to all h."""
        model = corrected_tree(self.tree, weights)

        def factors(codes: Array) -> tuple[Array, Array]:
            observed = np.eye(len(self.tree.hub))[codes[:, 0]]
            return features(self.tree, codes), observed - np.exp(model.hub_log_prob(codes))

        found = self.measuring.noisy_gradient(factors, self.options.clip, self.multiplier)
        return np.asarray(found - found.mean(1, keepdims=True))

    def _step(self, curvature: Array, gradient: Array, update: int) -> Array:
        deviation = self.multiplier * self.options.clip
        spread = self.options.spread * math.sqrt(1 + len(self.tree.parents))
        precision = update * curvature @ curvature + np.eye(len(curvature)) * (
            (deviation / spread) ** 2
        )
        return np.linalg.solve(precision, curvature @ gradient)


def noise_multiplier(rho: float, updates: int) -> float:
    """The sigma of updates that satisfy rho together: each satisfies 1 / (2 sigma^2)."""
    return math.sqrt(updates / (2 * rho))


def features(tree: HubTree, codes: Array) -> Array:
    """One and the indicators of each variable's groups, (rows, features), scaled to norm one."""
    parts = [np.ones((len(codes), 1))]
    for i, group in enumerate(tree.groups):
        parts.append(np.eye(int(group.max()) + 1)[group[codes[:, 1 + i]]])
    return np.concatenate(parts, axis=1) / math.sqrt(len(parts))


def corrected_tree(tree: HubTree, weights: Array) -> CorrectedTree:
    """The tree with weights of ``features``, (features, H)."""
    ends = np.cumsum([1, *(int(group.max()) + 1 for group in tree.groups)])
    first, *others = np.split(weights / math.sqrt(len(ends)), ends[:-1])
    return CorrectedTree(tree, first[0], tuple(others))
