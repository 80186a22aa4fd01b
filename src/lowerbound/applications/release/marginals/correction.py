r"""A tree whose hub, given all other variables, has a distribution of its own, fitted privately.

.. math:: p(h, x) = p_t(x) \, p(h \mid x), \quad
    p(h \mid x) \propto p_t(h \mid x) \exp\Bigl(b_h + \sum_i w_{i h}(\mathrm{group}(x_i))\Bigr)

:math:`p_t` is the tree, whose log-odds a logistic model corrects. Log p of a row and draws are
exact, with one exception: if the hub is known and other variables are not, these have no closed
form. Then draws of the tree given the known cells are weighted by
:math:`p(h \mid x) / p_t(h \mid x)` (importance resampling, Rubin 1987).

The weights are fitted to noisy gradients of the rows.

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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.applications.release.marginals.hub_tree import (
    UNKNOWN,
    HubTree,
    Measuring,
    chunks,
    draw,
)
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError

CANDIDATES = 64  # draws of the tree for a row with a known hub and unknown other variables
CANDIDATE_SEED = 0  # of the candidates of log p
MOST_DRAWN = 50_000
SEED = 0  # of the drawn rows


@dataclass(frozen=True, eq=False)
class CorrectedTree:
    """The distribution; arguments of its methods are those of ``HubTree``.

    Attributes:
        tree: p_t.
        intercept: b, (H,).
        weights: w of each variable, (groups, H).
    """

    tree: HubTree
    intercept: Array
    weights: tuple[Array, ...]

    def hub_log_prob(self, codes: Array) -> Array:
        """log p(h | x), (rows, H); every x is known, and the hub counts as unknown."""
        return normalized(joint_of(self.tree, codes) + self.correction(codes))

    def correction(self, codes: Array) -> Array:
        """What is added to the log-odds of the tree, (rows, H)."""
        found = np.repeat(self.intercept[None], len(codes), 0)
        for i, (group, weight) in enumerate(zip(self.tree.groups, self.weights, strict=True)):
            found += weight[group[codes[:, 1 + i]]]
        return found

    def log_prob(self, codes: Array) -> Array:
        """log p of the known cells in nats, (rows,)."""
        found = self.tree.log_prob(codes)
        known, whole = codes[:, 0] != UNKNOWN, (codes[:, 1:] != UNKNOWN).all(1)
        exact, estimated = known & whole, known & ~whole
        found[exact] += self._log_ratio(codes[exact])
        random = np.random.default_rng(CANDIDATE_SEED)
        for row in np.flatnonzero(estimated):
            _, ratio = self._candidates(codes[[row]], random)
            found[row] += np.log(ratio.mean())
        return found

    def sample(self, codes: Array, uniform: Array, random: np.random.Generator) -> Array:
        """The rows with their unknown cells drawn, (rows, 1 + variables).

        Args:
            codes, uniform: see ``HubTree.sample``.
            random: for the hub, and for candidates.
        """
        drawn = self.tree.sample(codes, uniform)
        given, whole = codes[:, 0] != UNKNOWN, (codes[:, 1:] != UNKNOWN).all(1)
        parts = [np.exp(self.hub_log_prob(part)) for part in chunks(drawn)]
        if parts:
            own = draw(np.concatenate(parts), random.random(len(codes)))
            drawn[:, 0] = np.where(given, codes[:, 0], own)
        for row in np.flatnonzero(given & ~whole):
            found, ratio = self._candidates(codes[[row]], random)
            drawn[row] = found[draw(ratio[None], random.random(1))[0]]
        return drawn

    def _candidates(self, row: Array, random: np.random.Generator) -> tuple[Array, Array]:
        """Draws of the tree given a row, and p(h | x) / p_t(h | x) of each."""
        uniform = random.random((CANDIDATES, 2 * row.shape[1] - 1))
        found = self.tree.sample(np.repeat(row, CANDIDATES, 0), uniform)
        return found, np.exp(self._log_ratio(found))

    def _log_ratio(self, codes: Array) -> Array:
        """log of p(h | x) / p_t(h | x) of whole rows, (rows,)."""
        ratio = self.hub_log_prob(codes) - normalized(joint_of(self.tree, codes))
        return np.asarray(ratio[np.arange(len(codes)), codes[:, 0]])

    def to_mapping(self) -> dict[str, Any]:
        """JSON values of the correction."""
        weights = [weight.tolist() for weight in self.weights]
        return {"intercept": self.intercept.tolist(), "weights": weights}

    @classmethod
    def from_mapping(cls, tree: HubTree, mapping: Mapping[str, Any]) -> CorrectedTree:
        """Read the values of ``to_mapping``.

        Raises:
            DataError: its sizes are not those of the tree.
        """
        weights = tuple(np.array(weight, dtype=float) for weight in mapping["weights"])
        intercept = np.array(mapping["intercept"], dtype=float)
        sizes = [(1 + int(group.max()), len(tree.hub)) for group in tree.groups]
        if intercept.shape != tree.hub.shape or [weight.shape for weight in weights] != sizes:
            raise DataError("its correction does not have the sizes of its tables")
        return cls(tree, intercept, weights)


def joint_of(tree: HubTree, codes: Array) -> Array:
    """log p(h, x) of each value of the hub, (rows, H)."""
    unknown = np.full((len(codes), 1), UNKNOWN)
    return tree.joint_log_prob(np.concatenate((unknown, codes[:, 1:]), axis=1))


def normalized(joint: Array) -> Array:
    """Less the logarithm of the sum of the exponentials of each row."""
    return np.asarray(joint - np.logaddexp.reduce(joint, axis=1)[:, None])


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
