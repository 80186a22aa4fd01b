r"""p-values and thresholds with a guaranteed false-alarm rate, from calibration rows.

If n calibration rows and a new normal row are exchangeable, and the model was fitted on none of
them,

.. math:: p(s) = \frac{1 + \#\{i : s_i \ge s\}}{n + 1}, \qquad P(p \le \alpha) \le \alpha

for every model. Scores that are equal up to rounding count as equal, so that a row has the same
p-value on every machine. Given the calibration rows, the rate of the alarms
"p <= alpha" is Beta(k, n + 1 - k) distributed with k = floor(alpha (n + 1)), and the number of
alarms among m new rows is beta-binomial. Points of overlapping windows depend on each other. With
L points in a window, n of them vary as n / L independent ones, so both parameters are divided by L.

Sources: Vovk et al. 2005; Bates et al. 2023; Angelopoulos & Bates 2023, section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError

SAME = 1e-5  # relative difference of equal scores in float32, on two machines
ROUNDING = 1e-9  # alpha (n + 1) may be whole in theory, as .05 * 20, but not in floating point


@dataclass(frozen=True)
class ConformalCalibration:
    """Scores of normal rows that nothing was fitted on; higher is more anomalous.

    Attributes:
        scores: increasing, (rows,), float64.
        dependent: number of scores that together vary as one independent score.
    """

    scores: Array
    dependent: int = 1

    @classmethod
    def of(cls, scores: Any, dependent: int = 1) -> ConformalCalibration:
        """The calibration by scores in any order.

        Raises:
            DataError: there are none, or one is not a number.
        """
        values = np.sort(np.asarray(scores, dtype=np.float64).ravel())
        if not len(values) or np.isnan(values).any():
            raise DataError("calibration needs rows whose scores are numbers; give some more")
        return cls(values, dependent)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def independent(self) -> int:
        """As how many independent scores these vary, rounded up."""
        return math.ceil(len(self) / self.dependent)

    def p_values(self, scores: Any) -> Array:
        """The p-value of each score: the probability that a normal row scores as high, (rows,).

        Raises:
            DataError: a score is not a number.
        """
        values = np.asarray(scores, dtype=np.float64)
        if np.isnan(values).any():
            raise DataError("a score is not a number (NaN), so it has no p-value")
        below = np.searchsorted(self.scores, values - _rounding(values), side="left")
        return np.asarray((1 + len(self) - below) / (len(self) + 1))

    def threshold(self, rate: float) -> float:
        """The score above which p <= ``rate``: a normal row exceeds it with that probability.

        It is the score of a calibration row, raised by what rounding can add to it.

        Args:
            rate: alpha, the share of normal rows that may be flagged.

        Raises:
            DataError: too few rows for the rate; the message gives the required number.
            OptionError: the rate is not between 0 and 1.
        """
        return raised(float(self.scores[len(self) - self._alarms(rate)]))

    def band(
        self, rate: float, rows: int | None = None, level: float = 0.95
    ) -> tuple[float, float]:
        """The band that contains the false-alarm rate with probability ``level``: (low, high).

        Args:
            rate: alpha, as for ``threshold``.
            rows: number of normal rows that the rate is counted on; None: infinitely many.
            level: probability of the central band.

        Raises:
            DataError, OptionError: as for ``threshold``.
        """
        k = self._alarms(rate)
        above, below = k / self.dependent, (len(self) + 1 - k) / self.dependent
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        if rows is None:
            low, high = stats.beta(above, below).ppf(tails)
        else:
            low, high = stats.betabinom(rows, above, below).ppf(tails) / rows
        return float(low), float(high)

    def _alarms(self, rate: float) -> int:
        """k = floor(alpha (n + 1)), the rank of the threshold from the highest score."""
        check_rate(rate)
        if len(self) < rows_needed(rate):
            raise DataError(
                f"a false-alarm rate of {rate:g} takes at least {rows_needed(rate):,} "
                f"calibration rows, and there are {len(self):,}: give more rows, or a rate of "
                f"at least {1 / (len(self) + 1):.3g}"
            )
        return math.floor(rate * (len(self) + 1) + ROUNDING)


def raised(score: float) -> float:
    """A threshold that this score does not exceed on any machine."""
    return score + float(_rounding(np.asarray(score)))


def _rounding(scores: Array) -> Array:
    """What rounding can change; infinite scores are equal as they are."""
    return np.where(np.isfinite(scores), SAME * np.abs(scores), 0.0)


def rows_needed(rate: float) -> int:
    """The fewest calibration rows for a false-alarm rate: 1 / alpha - 1, rounded up."""
    return math.ceil(1 / rate - 1 - ROUNDING)


def check_rate(rate: float) -> None:
    """Raise an error for an invalid false-alarm rate.

    Raises:
        OptionError: it is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise OptionError(f"a false-alarm rate lies between 0 and 1, not {rate:g}")
