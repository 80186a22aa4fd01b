r"""A tree of discrete variables, all of which also depend on one further variable, the hub.

.. math:: p(h, x) = p(h) \prod_i p(x_i \mid h, x_{\pi(i)}), \quad
    p(y_i \mid h, x_i) \text{ where } x_i = \mathrm{group}(y_i)

The tree is over groups of values (x), so that its tables are small. Values (y) within a group
depend on the hub alone. Without a tree this is naive Bayes; with one it is the tree-augmented
classifier of Friedman, Geiger & Goldszmidt 1997. A table without a target has a hub of one value.

Everything is exact: log p of any cells, and draws of the other cells given these, by messages from
the leaves to the root for each value of the hub (Pearl 1988).

Its rows are measured under zero-concentrated differential privacy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np

from lowerbound.applications.release.marginals.charged_schema import chosen
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError
from lowerbound.training.private.engine import SecretRandomness

UNKNOWN = -1
ROWS_AT_ONCE = 8_192
ROUNDING = 1e-6  # by which sums of probabilities differ from one
TABLES = ("groups", "transitions", "values")  # of a stored tree
HALF_NORMAL = math.sqrt(2 / math.pi)  # mean absolute value of standard normal noise


@dataclass(frozen=True, eq=False)
class HubTree:
    """The distribution.

    Attributes:
        hub: p(h), (H,).
        parents: parent of each variable; -1: the hub alone. A parent may stand after its children.
        groups: of each variable, the group of each value, (values,).
        transitions: of each variable p(x_i | h, x_parent), (H, groups of the parent, groups); of a
            variable without a parent (H, 1, groups).
        values: of each variable p(y_i | h, x_i), (H, values): it sums to one over each group.

    Methods take ``codes``, (rows, 1 + variables), the hub first; ``UNKNOWN`` marks unknown cells.
    """

    hub: Array
    parents: tuple[int, ...]
    groups: tuple[Array, ...]
    transitions: tuple[Array, ...]
    values: tuple[Array, ...]

    def to_mapping(self) -> dict[str, Any]:
        """JSON values."""
        tables = {name: [table.tolist() for table in getattr(self, name)] for name in TABLES}
        return {"hub": self.hub.tolist(), "parents": list(self.parents), **tables}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> HubTree:
        """Read the values of ``to_mapping``.

        Raises:
            DataError: shapes do not fit each other, or numbers are no probabilities.
        """
        groups = tuple(_codes(found) for found in mapping["groups"])
        transitions, values = (
            tuple(np.array(table, dtype=float) for table in mapping[name]) for name in TABLES[1:]
        )
        parents = tuple(int(parent) for parent in mapping["parents"])
        found = cls(np.array(mapping["hub"], dtype=float), parents, groups, transitions, values)
        found._check()
        return found

    def _check(self) -> None:
        if self.hub.ndim != 1 or any(not -1 <= place < len(self.parents) for place in self.parents):
            raise DataError("the target is no list of probabilities, or a parent does not exist")
        counts = [int(group.max(initial=-1)) + 1 for group in self.groups]
        totals = [self.hub.sum()]
        each = zip(self.parents, self.groups, self.transitions, self.values, counts, strict=True)
        for parent, group, transition, value, size in each:
            above = 1 if parent < 0 else counts[parent]
            sizes = (transition.shape, value.shape)
            if sizes != ((len(self.hub), above, size), (len(self.hub), len(group))):
                raise DataError("a table does not have the sizes of its variables")
            totals += [transition.sum(-1), value @ np.eye(size)[group]]
        negative = any((table < 0).any() for table in (self.hub, *self.transitions, *self.values))
        if negative or not all(np.allclose(total, 1.0, atol=ROUNDING) for total in totals):
            raise DataError("its probabilities are negative, or do not sum to one")
        _ = self.order

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The variables, each after its parent.

        Raises:
            DataError: the parents form a cycle.
        """
        found: list[int] = []
        while len(found) < len(self.parents):
            ready = [
                i
                for i, parent in enumerate(self.parents)
                if i not in found and (parent < 0 or parent in found)
            ]
            if not ready:
                raise DataError("the parents of the variables form a cycle")
            found += ready
        return tuple(found)

    def log_prob(self, codes: Array) -> Array:
        """Exact log p of the known cells in nats, (rows,)."""
        parts = [_log(self._messages(part)[1].sum(1)) for part in chunks(codes)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def joint_log_prob(self, codes: Array) -> Array:
        """Exact log p of the known cells together with each value of the hub, (rows, H)."""
        parts = [_log(self._messages(part)[1]) for part in chunks(codes)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.hub)))

    def sample(self, codes: Array, uniform: Array) -> Array:
        """The rows with their unknown cells drawn given the known ones, (rows, 1 + variables).

        Args:
            codes: all ``UNKNOWN`` for draws from the model itself.
            uniform: draws from [0, 1), (rows, 1 + 2 variables); they alone decide the row.

        Raises:
            DataError: the known cells of a row have no probability.
        """
        parts = [
            self._sample(part, noise)
            for part, noise in zip(chunks(codes), chunks(uniform), strict=True)
        ]
        return np.concatenate(parts) if parts else codes.copy()

    def _messages(self, codes: Array) -> tuple[list[Array], Array]:
        """(evidence about each group with its descendants, (rows, H, groups); about the hub)."""
        below = [self._evidence(i, codes[:, 1 + i]) for i in range(len(self.parents))]
        code = codes[:, 0]
        known = np.vstack((np.diag(self.hub), self.hub))
        hub = np.asarray(known[code])
        for i in reversed(self.order):
            upward = np.einsum("hpg,rhg->rhp", self.transitions[i], below[i])
            if self.parents[i] < 0:
                hub = hub * upward[:, :, 0]
            else:
                below[self.parents[i]] = below[self.parents[i]] * upward
        return below, hub

    def _evidence(self, variable: int, code: Array) -> Array:
        """p(known value | h, group), (rows, H, groups); one if it is unknown."""
        group, value = self.groups[variable], self.values[variable]
        count = int(group.max()) + 1
        per_value = np.zeros((len(group) + 1, len(self.hub), count))
        per_value[np.arange(len(group)), :, group] = value.T
        per_value[UNKNOWN] = 1.0
        return np.asarray(per_value[code])

    def _sample(self, codes: Array, uniform: Array) -> Array:
        below, hub = self._messages(codes)
        if not (hub.sum(1) > 0).all():
            row = int(np.flatnonzero(~(hub.sum(1) > 0))[0])
            raise DataError(f"the known cells of row {row}, counted from 0, cannot occur together")
        drawn = codes.copy()
        drawn[:, 0] = h = draw(hub, uniform[:, 0])
        group = np.zeros((len(codes), len(self.parents)), dtype=np.int64)
        rows = np.arange(len(codes))
        for i in self.order:
            parent = self.parents[i]
            above = group[:, parent] if parent >= 0 else np.zeros(len(codes), dtype=np.int64)
            weights = self.transitions[i][h, above] * below[i][rows, h]
            group[:, i] = draw(weights, uniform[:, 1 + 2 * i])
            inside = self.values[i][h] * (self.groups[i] == group[:, i, None])
            value = draw(inside, uniform[:, 2 + 2 * i])
            drawn[:, 1 + i] = np.where(codes[:, 1 + i] < 0, value, codes[:, 1 + i])
        return drawn


def _codes(found: Any) -> Array:
    """Codes from JSON values, (values,).

    Raises:
        DataError: one is negative, or no whole number.
    """
    numbers = np.array(found)
    if numbers.ndim != 1 or numbers.dtype.kind != "i" or numbers.min(initial=0) < 0:
        raise DataError("groups of values are not numbered from 0")
    return numbers


def _log(probability: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probability))


def draw(weights: Array, uniform: Array) -> Array:
    """One index of each row, with probability proportional to its weight."""
    total = weights.cumsum(1)
    # below the total, so that rounding never chooses an index after the last weight
    threshold = (uniform * total[:, -1])[:, None]
    return np.asarray((total <= threshold).sum(1).clip(max=weights.shape[1] - 1))


def chunks(rows: Array) -> Sequence[Array]:
    return [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]


class Measuring:
    """Measures count tables of rows, and adds up what that costs.

    Neighboring tables differ in one row, which changes one cell of each count table by one.

    Args:
        codes: (rows, variables), whole numbers from 0.
        randomness: secret.

    Attributes:
        rho: what the measurements so far satisfy together.
        made: how many tables were measured.
        updates: how many sums of gradients were measured.
    """

    def __init__(self, codes: Array, randomness: SecretRandomness) -> None:
        self.rho = 0.0
        self.made = 0
        self.updates = 0
        self._codes = codes
        self._randomness = randomness
        self._draws = count()

    def noisy(
        self,
        columns: Sequence[int],
        sizes: Sequence[int],
        deviation: float,
        groups: Sequence[Array] | None = None,
    ) -> Array:
        """The counts of these columns, (*sizes), with Gaussian noise.

        Args:
            columns: numbers of variables.
            sizes: number of values, or of groups, of each.
            deviation: of the noise.
            groups: the group of each value of each column; None: the values themselves.
        """
        exact = self._table(columns, sizes, groups)
        noise = self._randomness.normal(next(self._draws), exact.size).double().numpy()
        self.rho += 1 / (2 * deviation**2)
        self.made += 1
        return exact + deviation * noise.reshape(exact.shape)

    def noisy_gradient(
        self, factors: Callable[[Array], tuple[Array, Array]], clip: float, multiplier: float
    ) -> Array:
        r"""The sum of clipped gradients of rows with Gaussian noise, (features, values).

        .. math:: \sum_i g_i \min(1, C / \|g_i\|) + \sigma C \, N(0, I), \quad g_i = a_i b_i^T

        The norm of g is that of a times that of b. A row whose gradient is not finite counts as
        zero.

        Args:
            factors: a, (rows, features), and b, (rows, values), of rows of codes.
            clip: C.
            multiplier: sigma.

        Raises:
            OptionError: C or sigma is not positive, so that no guarantee holds.
        """
        if not (multiplier > 0 and clip > 0):
            raise OptionError(
                f"a noise multiplier of {multiplier:g} with gradients clipped at {clip:g} gives no "
                "guarantee: both must be positive"
            )
        total = sum(clipped_sum(*factors(part), clip) for part in chunks(self._codes))
        exact = np.asarray(total)
        noise = self._randomness.normal(next(self._draws), exact.size).double().numpy()
        self.rho += 1 / (2 * multiplier**2)
        self.updates += 1
        return np.asarray(exact + multiplier * clip * noise.reshape(exact.shape))

    def distance(
        self,
        columns: Sequence[int],
        sizes: Sequence[int],
        expected: Array,
        groups: Sequence[Array] | None = None,
    ) -> float:
        """The absolute distance of the counts from ``expected``, which is secret.

        One row more or less changes it by at most one. Only ``choose`` may use it.
        """
        return float(np.abs(self._table(columns, sizes, groups) - expected).sum())

    def choose(self, scores: Array, epsilon_0: float) -> int:
        """The index of a large score, by the exponential mechanism; scores have sensitivity one."""
        self.rho += epsilon_0**2 / 8
        uniform = float(self._randomness.uniform(next(self._draws), 1)[0])
        return chosen(scores, epsilon_0, uniform)

    def _table(
        self, columns: Sequence[int], sizes: Sequence[int], groups: Sequence[Array] | None
    ) -> Array:
        own = [self._codes[:, column] for column in columns]
        if groups is not None:
            own = [group[codes] for codes, group in zip(own, groups, strict=True)]
        flat = np.ravel_multi_index(tuple(own), tuple(sizes))
        counts = np.bincount(flat, minlength=math.prod(sizes)).reshape(sizes)
        return np.asarray(counts, dtype=np.float64)


def clipped_sum(a: Array, b: Array, clip: float) -> Array:
    """The sum of the outer products of rows of a and b, each of a norm of at most ``clip``."""
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    finite = np.isfinite(norm)
    share = np.where(finite, np.minimum(1.0, clip / np.maximum(norm, 1e-30)), 0.0)
    a, b = (np.where(finite[:, None], part, 0.0) for part in (a, b))
    return np.asarray(a.T @ (b * share[:, None]))
