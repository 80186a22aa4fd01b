r"""Intervals of imputed cells, widened or narrowed until they cover hidden cells as promised.

With m the median of a hidden cell by the model and [l, h] its interval, the distance of the true
value x in units of the interval is

.. math::
    r = \frac{x - m}{h - m} \; (x \ge m), \qquad r = \frac{m - x}{m - l} \; (x < m)

The calibrated interval is [m - f (m - l), m + f (h - m)], where f is the conformal quantile of r
over hidden cells of the column (Romano et al. 2019). Columns with few hidden cells borrow from the
others: all hidden cells together count as ``BORROWED`` more cells of each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)  # between them factors are interpolated
SHARES = (0.5, *((1 - level) / 2 for level in LEVELS), *((1 + level) / 2 for level in LEVELS))
BORROWED = 30.0  # cells
NARROWEST = 1e-6  # half an interval, in ranges of the column
HALF_A_STEP = 0.5  # half an interval between neighbors of a lattice, in steps


@dataclass(frozen=True)
class IntervalCalibration:
    """Factors of the intervals of each column.

    Attributes:
        factors: f by level and column, (levels, columns); 1 for columns without an order.
        covered: share of the hidden cells that the model's own intervals covered, (levels,).
        cells: number of hidden cells.
    """

    factors: Array
    covered: Array
    cells: int

    @classmethod
    def of(
        cls, truth: Array, quantiles: Array, hidden: Array, columns: Sequence[Column]
    ) -> IntervalCalibration:
        """The calibration by hidden cells.

        Args:
            truth: true values or codes, (rows, columns).
            quantiles: by the model at ``SHARES``, (shares, rows, columns).
            hidden: mask of the hidden cells, (rows, columns).
            columns: of the schema.
        """
        half, ordered = len(LEVELS), np.array([column.rules.ordered for column in columns])
        hidden = hidden & ordered
        units = _units(columns)
        factors = np.ones((len(LEVELS), len(columns)))
        covered = np.full(len(LEVELS), np.nan)
        for place, level in enumerate(LEVELS):
            low, high = quantiles[1 + place], quantiles[1 + half + place]
            far = _distance(truth, quantiles[0], low, high, units)
            covered[place] = np.mean(((low <= truth) & (truth <= high))[hidden])
            for column in np.flatnonzero(ordered):
                own = far[hidden[:, column], column]
                factors[place, column] = _conformal(own, far[hidden], level)
        return cls(factors, covered, int(hidden.sum()))

    def interval(
        self, quantiles: Array, level: float, columns: Sequence[Column]
    ) -> tuple[Array, Array]:
        """The calibrated interval, (rows, columns) each.

        Args:
            quantiles: by the model at (1/2, (1 - level)/2, (1 + level)/2), (3, rows, columns).
            level: of the interval.
            columns: of the schema.
        """
        median, low, high = quantiles
        factor = np.array([np.interp(level, LEVELS, each) for each in self.factors.T])
        # a column that is not modeled, such as a constant, is known
        ordered = np.array([column.rules.ordered and column.modeled for column in columns])
        units = _units(columns)
        down = median - factor * np.maximum(median - low, units)
        up = median + factor * np.maximum(high - median, units)
        for place, column in enumerate(columns):
            down[:, place], up[:, place] = _valid(down[:, place], up[:, place], column)
        return np.where(ordered, down, low), np.where(ordered, up, high)


def _units(columns: Sequence[Column]) -> Array:
    """The least half of an interval, (columns,)."""
    found = []
    for column in columns:
        low, high = column.observed or (0.0, 1.0)
        step = 1.0 if column.levels else column.rules.lattice.step
        found.append(HALF_A_STEP * step if step else NARROWEST * ((high - low) or 1.0))
    return np.array(found)


def _distance(truth: Array, median: Array, low: Array, high: Array, units: Array) -> Array:
    """r of each cell."""
    above = (truth - median) / np.maximum(high - median, units)
    below = (median - truth) / np.maximum(median - low, units)
    return np.asarray(np.where(truth >= median, above, below))


def _conformal(own: Array, every: Array, level: float) -> float:
    """The quantile of the column's distances, and of all distances as ``BORROWED`` cells; the
    largest distance where the cells are too few for the level."""
    values = np.concatenate([own, every])
    weights = np.concatenate([np.ones(len(own)), np.full(len(every), BORROWED / len(every))])
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / (weights.sum() + 1)
    place = min(int(np.searchsorted(share, level)), len(values) - 1)
    return float(values[order][place])


def _valid(low: Array, high: Array, column: Column) -> tuple[Array, Array]:
    """Both ends on the column's lattice, rounded outward, and inside its bounds."""
    if column.levels:
        top = len(column.levels) - 1
        return np.floor(low + 1e-9).clip(0, top), np.ceil(high - 1e-9).clip(0, top)
    lattice = column.rules.lattice
    low, high = lattice.at_most(low), lattice.at_least(high)
    least = column.rules.least if column.low is None else column.low
    most = np.inf if column.high is None else column.high
    return low.clip(least, most), high.clip(least, most)
