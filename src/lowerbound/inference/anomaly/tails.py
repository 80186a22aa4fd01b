r"""The rarity of a score among normal rows, in nats, which makes scores of any unit comparable.

.. math:: -\log p(s), \qquad p(s) = \frac{1 + \#\{i : s_i \ge s\}}{n + 1}

with linear interpolation between the n reference scores, and beyond the highest of them

.. math:: -\log p(s_{\max}) + \log\left(1 + \frac{s - s_{\max}}{\beta}\right)

beta is the mean excess of the highest tenth over its least score. Rows beyond all reference rows
are therefore still ranked; if most reference rows have the highest score, a higher one counts
little. The function is continuous and increasing, so rounding, which differs from batch to batch,
changes it little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array

GRID = 1e-4  # share of the spread; reference scores that are nearer are merged
UPPER = 0.1  # share of the reference rows that sets beta
FARTHEST = 1e200  # higher scores count as this one, so that every rarity is finite
RISE = 1e-3  # nats per unit of asinh below the highest, so that ties of p keep their order


@dataclass(frozen=True)
class UpperTail:
    """The upper tail of reference scores.

    Attributes:
        values: increasing, (knots,).
        surprise: -log p at each, increasing, (knots,).
        center, spread: median and interquartile range of the reference scores.
        excess: beta.
    """

    values: Array
    surprise: Array
    center: float
    spread: float
    excess: float

    @classmethod
    def of(cls, scores: Array) -> UpperTail:
        """The tail of the scores of reference rows, (rows,)."""
        ordered = np.sort(np.asarray(scores, dtype=np.float64))
        low, center, high = np.quantile(ordered, (0.25, 0.5, 0.75))
        spread = float(high - low) or float(np.ptp(ordered)) or 1.0
        grid = GRID * spread
        values = np.unique(np.rint((ordered - center) / grid)) * grid + center
        beyond = len(ordered) - np.searchsorted(ordered, values - grid / 2, side="left")
        surprise = np.log(len(ordered) + 1) - np.log1p(beyond)
        upper = ordered[np.searchsorted(ordered, np.quantile(ordered, 1 - UPPER)) :]
        excess = float((upper - upper[0]).mean()) or spread
        return cls(values, surprise, float(center), spread, excess)

    def __call__(self, scores: Array) -> Array:
        """-log p of each score in nats, continued beyond the reference rows."""
        scores = np.clip(np.asarray(scores, dtype=np.float64), -FARTHEST, FARTHEST)
        inside = np.interp(scores, self.values, self.surprise)
        further = np.log1p(np.maximum(scores - self.values[-1], 0.0) / self.excess)
        rise = RISE * np.arcsinh((scores - self.center) / self.spread)
        return np.asarray(inside + further + rise)
