"""Measurements of rows under zero-concentrated differential privacy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.training.private.marginals.hub_tree import chunks
from lowerbound.training.private.marginals.zcdp import chosen
from lowerbound.training.private.noise import SecretRandomness

HALF_NORMAL = math.sqrt(2 / math.pi)  # mean absolute value of standard normal noise


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
