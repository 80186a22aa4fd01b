r"""Real columns and counts, and the smooth increasing map u = T(v) of all columns with a density.

The density is log p(v) = log p(u) + log T'(v), with

.. math:: u = Q\left(\frac{h(g(v)) - \mathrm{shift}}{\mathrm{scale}}\right).

g is the identity, the logarithm of a value with one bound or the logit of one with two. Q is the
quantile-normal spline of the column, or the identity. So is h, except where some values lie so far
from the others that their standard deviation says nothing about the others: there, with the median
m and the spread s of the bulk of the values, h(y) = asinh((y - m) / s), which is almost linear in
the bulk and logarithmic beyond. A column of quantities of very different sizes has the m and s of a
part of them (``resolved``). Counts are non-negative integers, whose model units are the values
themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, row_numbers
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS, LEAST_NOISE, ColumnKind, Feature, Value
from lowerbound.data.columns.quantile_normal import LEAST_GAP, QuantileNormal
from lowerbound.data.columns.values import finite_numbers
from lowerbound.errors import DataError

LOWEST, HIGHEST = -32.0, 32.0  # limits of continuous model units
SPLINE_GAIN = 0.05  # nats per row that a spline must gain over an affine map
FAR = 5.0  # standard deviation over the spread of the bulk, from which on the map is logarithmic
BULKS = ((0.25, 0.75), (0.1, 0.9), (0.05, 0.95))  # between these quantiles, if they differ
RESOLVED = 1.0  # nats for each value, from which on the map has the scale of a part of them
PARTS = (0.2, 0.3)  # shares of the values in a part
FEWEST_VALUES, MOST_VALUES = 50, 5_000  # different ones, that such maps are compared on
ROUNDED = 1e-7  # of a median: a spread that may be rounding
LARGEST_LOG = 700.0  # exp of larger numbers is infinite
SKEWED = 1.0  # skewness above which positive numbers are modeled on the log scale
LARGEST_EXPONENT = 60.0  # whose power float32 holds
REACH = 0.1  # largest distance of the extreme numbers from 0 and 1 for a bounded column
LEAST, MEDIAN = 1, 20  # upper limits of a count's minimum and median


class Continuous(ColumnKind):
    """A column with a density; subclasses define g, its inverse and its log-slope."""

    family = "continuous"
    metric = True

    def g(self, values: Array) -> Array:
        """g(v)."""
        return values

    def g_inverse(self, values: Array) -> Array:
        """v, from g(v)."""
        return values

    def log_g_slope(self, g: Array) -> Array:
        """log g'(v), from g(v)."""
        return np.zeros(g.shape)

    def h(self, y: Array) -> Array:
        """h(y)."""
        if self.column.bulk is None:
            return y
        middle, spread = self.column.bulk
        return np.asarray(np.arcsinh((y - middle) / spread))

    def h_inverse(self, values: Array) -> Array:
        """y, from h(y)."""
        if self.column.bulk is None:
            return values
        middle, spread = self.column.bulk
        return np.asarray(middle + spread * np.sinh(np.clip(values, -LARGEST_LOG, LARGEST_LOG)))

    def log_h_slope(self, h: Array) -> Array:
        """log h'(y) = -log(s cosh h), from h(y)."""
        if self.column.bulk is None:
            return np.zeros(h.shape)
        return np.asarray(np.log(2 / self.column.bulk[1]) - np.logaddexp(h, -h))

    def averaged(self, values: Array) -> Array:
        """h(g(v)) if some values lie far out, so that a few draws of them do not decide a mean."""
        if self.column.bulk is None:
            return values
        inner = self.g(values)  # infinite at a bound
        inner = np.where(np.isinf(inner), np.copysign(LARGEST_LOG, inner), inner)
        return self.h(inner)

    def decided(self, averaged: Array) -> Array:
        mean = averaged[:, 0]
        return mean if self.column.bulk is None else self.g_inverse(self.h_inverse(mean))

    def encode(self, values: Array) -> Array:
        units = (self.h(self.g(values)) - self.column.shift) / self.column.scale
        if self.column.spline is not None:
            units = self.column.spline(units)
        return units if self.column.affine else np.clip(units, LOWEST, HIGHEST)

    def decode(self, units: Array) -> Array:
        spline = self.column.spline
        inner = units if spline is None else spline.inverse(units)
        return self.g_inverse(self.h_inverse(inner * self.column.scale + self.column.shift))

    def log_slope(self, units: Array) -> Array:
        inner, slope = units, np.full(units.shape, -np.log(self.column.scale))
        if self.column.spline is not None:
            inner = self.column.spline.inverse(units)
            slope = slope + self.column.spline.log_slope(inner)
        h = inner * self.column.scale + self.column.shift
        return slope + self.log_h_slope(h) + self.log_g_slope(self.h_inverse(h))

    def fitted(self, series: Any, standardize: bool, normal_scores: bool) -> Column:
        values = self.read(series, fitting=True)
        return self.fitted_to(values[~np.isnan(values)], standardize, normal_scores)

    def fitted_to(self, values: Array, standardize: bool, normal_scores: bool) -> Column:
        """The column with h, shift, scale, spline and resolution fitted to the observed values."""
        units = self.unscaled(values)
        if not standardize or not len(units):
            return self.column
        if np.ptp(units) == 0:  # a date of today, in seconds, is far from what networks expect
            return replace(self.column, shift=float(units[0]))
        column = self.column
        if normal_scores:
            column = replace(column, bulk=resolved(units, bulk_of(units)))
            units = type(self)(column).h(units)
        shift, scale = moments(units)
        standardized = (units - shift) / scale
        spline = QuantileNormal.fit(standardized) if normal_scores else None
        if spline is not None and _gain(spline, standardized) < SPLINE_GAIN:
            spline = None
        distinct = np.unique(standardized)
        gaps = np.diff(distinct if spline is None else spline(distinct))
        resolution = float(np.quantile(gaps, 0.05)) if len(gaps) else 0.0
        return replace(column, shift=shift, scale=scale, spline=spline, resolution=resolution)

    def unscaled(self, values: Array) -> Array:
        """g of the values, to which shift, scale and spline are fitted."""
        units = self.g(values)
        return units if self.straight else np.clip(units, LOWEST, HIGHEST)

    def features(self) -> Sequence[Feature]:
        return (Value(),)


@COLUMN_KINDS.register("real")
class RealKind(Continuous):
    """Real numbers: the kind of numeric columns that no other kind recognizes."""

    rank = 100
    straight = True
    any_number = True

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        return sample.column if sample.numeric else None

    @property
    def bent(self) -> bool:
        return self.column.spline is not None and self.column.bulk is None


def moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation, safe for values near the largest float."""
    values = values.astype(np.float64)
    center = values.min() / 2 + values.max() / 2
    radius = values.max() / 2 - values.min() / 2
    inside = (values - center) / radius  # in [-1, 1]
    scale = max(float(radius * inside.std()), float(np.finfo(np.float64).tiny))
    return float(center + radius * inside.mean()), scale


def bulk_of(
    values: Array, between: Sequence[tuple[float, float]] = BULKS
) -> tuple[float, float] | None:
    """Median and spread of the bulk of the values: the standard deviation of a normal distribution
    with its quantiles; None if the values have no larger standard deviation by far, or if the
    quantiles are equal.

    Args:
        values: at least one.
        between: shares below the quantiles; of the first pair that differs.
    """
    from scipy.special import ndtri

    for low, high in between:
        first, middle, last = np.quantile(values, (low, 0.5, high))
        spread = (last / 2 - first / 2) / ndtri(high)
        if spread > 0:
            return (float(middle), float(spread)) if moments(values)[1] / FAR > spread else None
    return None


def resolved(values: Array, bulk: tuple[float, float] | None) -> tuple[float, float] | None:
    """The bulk, or that of a part of the values if asinh((y - m) / s) describes them far better.

    A column of several quantities, such as millions of people and percent, has values that are
    equal beside the spread of all: a spline cannot resolve them. With m and s by a part of them,
    numbers of every size differ. Better means by ``RESOLVED`` nats for each distinct value, by
    normal densities of asinh.

    Args:
        values: at least one.
        bulk: ``bulk_of`` the values.
    """
    from scipy.special import ndtri

    some = np.unique(values[:: max(1, len(values) // MOST_VALUES)])  # repeated ones have no spread
    if len(some) < FEWEST_VALUES:
        return bulk
    least = max(_log_density(some, each) for each in {bulk, None}) + RESOLVED
    finest = LEAST_GAP * (moments(values)[1] if bulk is None else bulk[1])
    best = bulk
    for share in PARTS:
        lows = np.arange(0.05, 0.95 - share, 0.05)
        first, middle, last = (np.quantile(some, lows + part * share) for part in (0, 0.5, 1))
        with np.errstate(over="ignore"):
            spreads = (last / 2 - first / 2) / ndtri(0.5 + share / 2)
        for found in zip(middle.tolist(), spreads.tolist(), strict=True):
            usable = ROUNDED * abs(found[0]) < found[1] < finest
            own = _log_density(some, found) if usable else -np.inf
            if own > least:
                best, least = found, own
    return best


def _log_density(values: Array, bulk: tuple[float, float] | None) -> float:
    """Mean log density of values of which asinh((y - m) / s) is normal, with its own mean and
    variance; without a bulk the values themselves are normal. Nats, up to a constant."""
    if bulk is None:
        return -float(np.log(moments(values)[1]))
    with np.errstate(over="ignore"):
        z = (values - bulk[0]) / bulk[1]
    if not np.isfinite(z).all():
        return -np.inf
    log_slope = -np.log(bulk[1]) - np.log(np.hypot(1.0, z))
    return float(log_slope.mean() - np.log(moments(np.arcsinh(z))[1]))


def _gain(spline: QuantileNormal, standardized: Array) -> float:
    """Nats per row that a normal density gains with the spline, less a penalty per knot."""
    bent = spline.log_slope(standardized) - 0.5 * spline(standardized) ** 2
    return float((bent + 0.5 * standardized**2).mean()) - len(spline.values) / len(standardized)


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


@dataclass(frozen=True)
class LogCount(Feature):
    """log(1 + n); the decoder returns the log-mean."""

    stage = 1
    least_noise: float = LEAST_NOISE

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        return torch.log1p(x)


@COLUMN_KINDS.register("count")
class CountKind(ColumnKind):
    """Counts, recognized as integers that begin at 0 or 1 and are mostly small; codes such as 07
    are levels."""

    rank = 60
    family = "count"
    always_whole = True
    support = "counts"
    least = 0.0

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.padded or not sample.whole or not 0 <= sample.distinct[0] <= LEAST:
            return None
        small = np.median(sample.numbers) <= MEDIAN
        return replace(sample.column, kind="count") if small else None

    def fitted(self, series: Any, standardize: bool, normal_scores: bool) -> Column:
        self.read(series)
        return self.column

    def outside(self, values: Array) -> Array:
        return np.asarray((values < 0) | (values != np.rint(values)) & ~np.isnan(values))

    @property
    def bent(self) -> bool:
        return True

    def unbent(self, feature: Tensor) -> Tensor:
        return torch.expm1(feature)

    def features(self) -> Sequence[Feature]:
        return (LogCount(),)
