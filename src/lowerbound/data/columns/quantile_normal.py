r"""A smooth map of a column to normal scores, with an inverse in closed form.

The map is a monotone rational-quadratic spline (Gregory & Delbourgo 1982) through knots (a_k, b_k),
with straight lines beyond its ends. a_k is the quantile of the standardized values at the level
Phi(b_k). On the segment k, with t = (a - a_k) / h, h = a_{k+1} - a_k, secant s and slopes d_k,
d_{k+1},

.. math::
    b = b_k + \frac{(b_{k+1} - b_k) (s t^2 + d_k t (1 - t))}
                   {s + (d_{k+1} + d_k - 2 s) t (1 - t)}

The map is increasing and once differentiable. Its inverse is the root of a quadratic (Durkan et al.
2019), so the density in original units is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowerbound.data.arrays import Array

MOST_KNOTS = 16
ROWS_PER_KNOT = 20
ROWS_BEYOND = 5  # rows beyond the outermost knot on each side
LEAST_GAP = 1e-3  # smallest distance of two knots, in standard deviations
GENTLEST, STEEPEST = 1e-2, 1e2  # limits of the slope; repeated values would make it infinite


@dataclass(frozen=True)
class QuantileNormal:
    """The map from standardized values to normal scores.

    Attributes:
        values: a_k, increasing.
        scores: b_k, increasing.
    """

    values: tuple[float, ...]
    scores: tuple[float, ...]

    @classmethod
    def fit(cls, standardized: Array) -> QuantileNormal | None:
        """Fit the map of a column; None if it has too few distinct values for a spline.

        Args:
            standardized: (rows,), finite.
        """
        from scipy.special import ndtr, ndtri

        knots = min(MOST_KNOTS, len(standardized) // ROWS_PER_KNOT)
        if knots < 4:
            return None
        outermost = ndtri(1 - ROWS_BEYOND / len(standardized))
        scores = np.linspace(-outermost, outermost, knots)
        # the mean score of the knots that share a value, so that ties do not bias the map
        values, inverse = np.unique(np.quantile(standardized, ndtr(scores)), return_inverse=True)
        scores = np.bincount(inverse, scores) / np.bincount(inverse)
        # remove knots that are too near the previous knot
        kept = [0]
        for i in range(1, len(values)):
            if values[i] - values[kept[-1]] >= LEAST_GAP:
                kept.append(i)
        values, scores = values[kept], scores[kept]
        return cls(tuple(values.tolist()), tuple(scores.tolist())) if len(values) > 3 else None

    def __call__(self, a: Array) -> Array:
        """Map standardized values to normal scores."""
        x, y, s, d = self._segments(a, self._a)
        t = np.clip((a - x[0]) / (x[1] - x[0]), 0.0, 1.0)
        between = t * (1 - t)
        share = (s * t * t + d[0] * between) / (s + (d[0] + d[1] - 2 * s) * between)
        inside = y[0] + (y[1] - y[0]) * share
        return self._with_ends(a, self._a, self._b, self.slopes, inside)

    def inverse(self, b: Array) -> Array:
        """Map normal scores to standardized values."""
        x, y, s, d = self._segments(b, self._b)
        t = _root(b, y, s, d)
        inside = x[0] + t * (x[1] - x[0])
        return self._with_ends(b, self._b, self._a, 1 / self.slopes, inside)

    def log_slope(self, a: Array) -> Array:
        """log of the derivative of the scores at standardized values."""
        x, _, s, d = self._segments(a, self._a)
        t = np.clip((a - x[0]) / (x[1] - x[0]), 0.0, 1.0)
        between = t * (1 - t)
        above = s * s * (d[1] * t * t + 2 * s * between + d[0] * (1 - t) ** 2)
        inside = above / (s + (d[0] + d[1] - 2 * s) * between) ** 2
        slope = np.where(a < self._a[0], self.slopes[0], inside)
        answer: Array = np.log(np.where(a > self._a[-1], self.slopes[-1], slope))
        return answer

    @cached_property
    def _a(self) -> Array:
        return np.array(self.values)

    @cached_property
    def _b(self) -> Array:
        return np.array(self.scores)

    @cached_property
    def slopes(self) -> Array:
        """d_k, weighted harmonic means of adjacent secants (Fritsch & Butland)."""
        widths, secants = np.diff(self._a), np.diff(self._b) / np.diff(self._a)
        left, right = 2 * widths[1:] + widths[:-1], widths[1:] + 2 * widths[:-1]
        inner = (left + right) / (left / secants[:-1] + right / secants[1:])
        slopes: Array = np.concatenate([secants[:1], inner, secants[-1:]])
        return slopes.clip(GENTLEST, STEEPEST)

    def _segments(
        self, at: Array, knots: Array
    ) -> tuple[tuple[Array, Array], tuple[Array, Array], Array, tuple[Array, Array]]:
        """(a's, b's, secant, slopes) of the segment of each value."""
        k = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
        a, b, d = self._a, self._b, self.slopes
        secant = (b[k + 1] - b[k]) / (a[k + 1] - a[k])
        return (a[k], a[k + 1]), (b[k], b[k + 1]), secant, (d[k], d[k + 1])

    @staticmethod
    def _with_ends(at: Array, knots: Array, images: Array, slopes: Array, inside: Array) -> Array:
        """Extend the map linearly beyond the outermost knots."""
        below = images[0] + (at - knots[0]) * slopes[0]
        above = images[-1] + (at - knots[-1]) * slopes[-1]
        answer: Array = np.where(at < knots[0], below, np.where(at > knots[-1], above, inside))
        return answer


def _root(b: Array, ends: tuple[Array, Array], s: Array, d: tuple[Array, Array]) -> Array:
    """t in [0, 1] at which the segment has the value b."""
    height = ends[1] - ends[0]
    rise = np.clip(b - ends[0], 0.0, height)
    curvature = d[0] + d[1] - 2 * s
    p = height * (s - d[0]) + rise * curvature
    q = height * d[0] - rise * curvature
    c = -s * rise
    root = np.sqrt(np.maximum(q * q - 4 * p * c, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        t = -2 * c / (q + root)
    return np.where(rise <= 0, 0.0, np.clip(t, 0.0, 1.0))
