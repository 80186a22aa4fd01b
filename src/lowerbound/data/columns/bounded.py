"""Columns of numbers with one or two bounds; g is the logarithm or the logit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, row_numbers
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import LARGEST_LOG, Continuous, moments
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.data.columns.values import finite_numbers
from lowerbound.errors import DataError

SKEWED = 1.0  # skewness above which positive numbers are modeled on the log scale
LARGEST_EXPONENT = 60.0  # whose power float32 holds
REACH = 0.1  # largest distance of the extreme numbers from 0 and 1 for a bounded column


class WithinBounds(Continuous):
    """A column with bounds. A value beyond them raises an error while fitting. After the fit it is
    clipped to the bound, which has a low density, and a warning names its row. g takes a value
    beyond a bound, such as the end of a window, for the bound: it is -inf or inf."""

    @property
    def bounds(self) -> tuple[float, float | None]:
        """(lower, upper), both exclusive; None: there is no upper bound."""
        return self.column.low or 0.0, self.column.high

    def outside(self, values: Array) -> Array:
        low, high = self.bounds
        below: Array = values <= low
        return below if high is None else below | (values >= high)

    def read(self, series: Any, *, fitting: bool = False) -> Array:
        if fitting:
            return super().read(series)
        values = finite_numbers(series)
        rows = np.flatnonzero(self.outside(values))
        if not len(rows):
            return values
        warnings.warn(
            f"column {self.column.name!r} held {self.supported} when the model was fitted, but not "
            f"in {row_numbers(rows.tolist())}, counted from 0: they are set to the bound",
            UserWarning,
            stacklevel=4,
        )
        return np.asarray(np.clip(values, *self.bounds))

    def rounded(self, values: Array) -> Array:
        low, high = self.bounds
        nearest = np.maximum(super().rounded(values), self.lattice.at_least(np.array(low), True))
        if high is None:
            return nearest
        return np.minimum(nearest, self.lattice.at_most(np.array(high), True))


@COLUMN_KINDS.register("positive")
class PositiveKind(WithinBounds):
    """Positive numbers with a skewed distribution; g is the logarithm."""

    rank = 80
    support = "positive numbers"
    least = 0.0

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.numeric and sample.distinct[0] > 0 and _skewness(sample.numbers) > SKEWED:
            return replace(sample.column, kind="positive")
        return None

    def g(self, values: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(values, 0.0)))

    def g_inverse(self, values: Array) -> Array:
        return np.asarray(np.exp(np.minimum(values, LARGEST_LOG)))

    def log_g_slope(self, g: Array) -> Array:
        return -g

    @property
    def bent(self) -> bool:
        return self.column.bulk is None

    def unbent(self, feature: Tensor) -> Tensor:
        return torch.exp((feature * self.column.scale).clamp_max(LARGEST_EXPONENT))


@COLUMN_KINDS.register("bounded")
class BoundedKind(WithinBounds):
    """Numbers inside (low, high); g is the logit of (v - low) / (high - low)."""

    rank = 70
    support = "numbers between {low:g} and {high:g}"

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if not sample.numeric:
            return None
        first, last = sample.distinct[0], sample.distinct[-1]
        if 0 < first < REACH and 1 - REACH < last < 1:
            return replace(sample.column, kind="bounded", low=0.0, high=1.0)
        return None

    def completed(self, series: Any) -> Column:
        if self.column.low is None or self.column.high is None:
            raise DataError(f"column {self.column.name!r} is bounded: give its low and high")
        return self.column

    def g(self, values: Array) -> Array:
        from scipy.special import logit

        shares = (values - self.bounds[0]) / self._width
        return np.asarray(logit(np.clip(shares, 0.0, 1.0)))

    def g_inverse(self, values: Array) -> Array:
        from scipy.special import expit

        return np.asarray(self.bounds[0] + self._width * expit(values))

    def log_g_slope(self, g: Array) -> Array:
        return np.asarray(np.logaddexp(0, g) + np.logaddexp(0, -g) - np.log(self._width))

    @property
    def _width(self) -> float:
        low, high = self.bounds
        assert high is not None
        return high - low


def _skewness(values: Array) -> float:
    shift, scale = moments(values)
    return float((((values - shift) / scale) ** 3).mean())
