r"""Intervals of imputed cells that cover hidden cells as promised; means near the observed range.

An interval reaches from the median m of a cell's draws to their quantiles at s and 1 - s, times f:

.. math::
    [m - f\,(m - q_s),\; m + f\,(q_{1-s} - m)]

Hidden cells, whose true values x are known, decide s and f of each column and level:

- If values of the column seldom repeat, s is (1 - level) / 2, and f is the conformal quantile of
  the distances of x from m in units of that interval (Romano et al. 2019).
- Else, an interval ends at a value that has a mass of its own. Then f is 1, and s is the conformal
  quantile of the smaller tail, min(P(draw <= x), P(draw >= x)) (Chernozhukov et al. 2021). So an
  interval may be a single value. If x is often outside all draws, s is 0 and f is as above.

Columns with few hidden cells borrow from the others: all hidden cells together count as
``BORROWED`` more cells of each column.

An imputed mean may lie a little outside the observed range of its column, where the observed cells
of its row do. A mean far outside comes from a column with a long tail, which a few draws of the
model stretch far beyond the data.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.determined import determined

MARGIN = 0.5  # on each side, of the range
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)  # between them factors and shares are interpolated


def within_observed(mean: Array, rows: Dataset) -> Array:
    """Imputed means with those far outside the fitted range of their column at its end.

    Args:
        mean: in the data's units, (rows, columns); other shapes are returned unchanged.
        rows: of these means, with the mask of the observed cells.

    Warns:
        UserWarning: a mean was far outside; the message names the columns.
    """
    moved = MovedMeans()
    inside = moved.within(mean, rows)
    moved.warn()
    return inside


class MovedMeans:
    """Imputed means far outside the fitted range of their column, counted over parts of a table."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def within(self, mean: Array, rows: Dataset) -> Array:
        """The means of some rows, as ``within_observed`` returns them."""
        schema = rows.schema
        ranges = [column.observed for column in schema.columns]
        if mean.shape[1:] != (len(ranges),):
            return mean
        low = np.array([-np.inf if each is None else each[0] for each in ranges])
        high = np.array([np.inf if each is None else each[1] for each in ranges])
        hidden = schema.data_kind.laid_out(schema, ~rows.mask.cpu().numpy())
        room = MARGIN * np.where(np.isfinite(high - low), high - low, 0.0)
        outside = hidden & ((mean < low - room) | (mean > high + room))
        certain = determined(rows) if outside.any() else None
        if certain is not None:
            outside &= np.isnan(certain)
        for place in np.flatnonzero(outside.any(0)):
            name = schema.columns[place].name
            self._counts[name] = self._counts.get(name, 0) + int(outside[:, place].sum())
        return np.asarray(np.where(outside, mean.clip(low, high), mean))

    def warn(self) -> None:
        """Warn of the means that were moved; the message names their columns."""
        if self._counts:
            warnings.warn(
                f"{sum(self._counts.values()):,} imputed means were far outside the observed range "
                f"of a column ({listed([repr(name) for name in self._counts])}) and are at its end "
                "now: for long tails the strategy 'median' is safer",
                UserWarning,
                stacklevel=4,
            )


TAILS = tuple((1 - level) / 2 for level in LEVELS)
HALF = 0.5
SHARES = (HALF, 0.0, 1.0, *TAILS, *(1 - tail for tail in TAILS))
BORROWED = 30.0  # cells
NARROWEST = 1e-6  # half an interval, in ranges of the column
HALF_A_STEP = 0.5  # half an interval between neighbors of a lattice, in steps
EQUAL = 0.01  # of that half: the distance of values that count as equal
REPEATED = 0.05  # mean share of draws that equal x, from which ends of intervals have a mass
EXACT = 1e-9  # by which s is lower, so that rounding leaves its quantile inside


@dataclass(frozen=True)
class IntervalCalibration:
    """Factors and shares of the intervals of each column.

    Attributes:
        factors: f by level and column, (levels, columns); 1 for columns without an order.
        shares: s by level and column, (levels, columns), at most 1/2.
        covered: share of the hidden cells that the model's own intervals covered, (levels,).
        cells: number of hidden cells.
    """

    factors: Array
    shares: Array
    covered: Array
    cells: int

    @classmethod
    def of(
        cls, truth: Array, quantiles: Array, tails: Array, hidden: Array, columns: Sequence[Column]
    ) -> IntervalCalibration:
        """The calibration by hidden cells.

        Args:
            truth: true values or codes, (rows, columns).
            quantiles: by the model at ``SHARES``, (shares, rows, columns).
            tails: shares of draws at most and at least the true value, (2, rows, columns).
            hidden: mask of the hidden cells, (rows, columns).
            columns: of the schema.
        """
        ordered = np.array([column.rules.ordered for column in columns])
        hidden, units = hidden & ordered, _units(columns)
        (median, least, most), half = quantiles[:3], len(LEVELS)
        equal = np.where(hidden, tails.sum(0) - 1, 0.0).sum(0)
        repeated = np.asarray(equal >= REPEATED * np.maximum(hidden.sum(0), 1))
        outside = _distance(truth, median, least, most, units)
        tail = np.where(tails.min(0) > 0, -tails.min(0), outside)
        factors, covered = np.ones((half, len(columns))), np.full(half, np.nan)
        shares = even_shares(len(columns))
        for place, level in enumerate(LEVELS):
            low, high = quantiles[3 + place], quantiles[3 + half + place]
            far = _distance(truth, median, low, high, units)
            covered[place] = np.mean(((low <= truth) & (truth <= high))[hidden])
            for column in np.flatnonzero(ordered):
                scores = tail if repeated[column] else far
                own = scores[hidden[:, column], column]
                found = _conformal(own, scores[hidden], level)
                if repeated[column]:
                    shares[place, column] = min(max(-found, 0.0), HALF)
                    found = max(found, 1.0)
                factors[place, column] = found
        return cls(factors, shares, covered, int(hidden.sum()))

    def asked(self, level: float) -> Array:
        """The shares of the quantiles that ``interval`` needs, (3, columns)."""
        share = _at(level, self.shares) * (1 - EXACT)
        return np.stack([np.full_like(share, HALF), share, 1 - share])

    def interval(
        self,
        quantiles: Array,
        level: float,
        columns: Sequence[Column],
        determined: Array | None = None,
    ) -> tuple[Array, Array]:
        """The calibrated interval, (rows, columns) each.

        Args:
            quantiles: by the model at ``asked(level)``, (3, rows, columns).
            level: of the interval.
            columns: of the schema.
            determined: values of cells that other columns determine, (rows, columns), NaN
                elsewhere; such an interval is the value. None: there are none.
        """
        median, low, high = quantiles
        factor = _at(level, self.factors)
        # a column that is not modeled, such as a constant, is known
        ordered = np.array([column.rules.ordered and column.modeled for column in columns])
        units = np.where(factor == 1, 0.0, _units(columns))  # such an interval may be one value
        down = median - factor * np.maximum(median - low, units)
        up = median + factor * np.maximum(high - median, units)
        for place, column in enumerate(columns):
            down[:, place], up[:, place] = _valid(down[:, place], up[:, place], column)
        open_ = ordered if determined is None else ordered & np.isnan(determined)
        return np.where(open_, down, low), np.where(open_, up, high)


def even_shares(columns: int) -> Array:
    """(1 - level) / 2 by level and column, (levels, columns)."""
    return np.tile(np.array(TAILS)[:, None], (1, columns))


def tails(draws: Array, values: Array, columns: Sequence[Column]) -> Array:
    """Shares of draws (draws, rows, columns) at most and at least the values (rows, columns)."""
    slack = EQUAL * _units(columns)
    return np.stack([(draws <= values + slack).mean(0), (draws >= values - slack).mean(0)])


def _at(level: float, by_level: Array) -> Array:
    """The numbers of a level, (columns,), between those of ``LEVELS``."""
    return np.array([np.interp(level, LEVELS, each) for each in by_level.T])


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
    """The quantile of the column's distances, and of all distances as ``BORROWED`` cells.

    Between two distances it is interpolated, so that a new cell of the column is covered with
    probability ``level``, and not with more; beyond the last it is the largest distance.
    """
    values = np.concatenate([own, every])
    weights = np.concatenate([np.ones(len(own)), np.full(len(every), BORROWED / len(every))])
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / (weights.sum() + 1)
    return float(np.interp(level, share, values[order]))


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
