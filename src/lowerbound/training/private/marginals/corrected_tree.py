r"""A tree whose hub, given all other variables, has a distribution of its own.

.. math:: p(h, x) = p_t(x) \, p(h \mid x), \quad
    p(h \mid x) \propto p_t(h \mid x) \exp\Bigl(b_h + \sum_i w_{i h}(\mathrm{group}(x_i))\Bigr)

:math:`p_t` is the tree, whose log-odds a logistic model corrects.

Log p of a row and draws are exact, with one exception: if the hub is known and other variables are
not, these have no closed form. Then draws of the tree given the known cells are weighted by
:math:`p(h \mid x) / p_t(h \mid x)` (importance resampling, Rubin 1987).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.training.private.marginals.hub_tree import UNKNOWN, HubTree, chunks, draw

CANDIDATES = 64  # draws of the tree for a row with a known hub and unknown other variables
SEED = 0  # of the candidates of log p


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
        random = np.random.default_rng(SEED)
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
