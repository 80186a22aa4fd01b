r"""Real columns, and the smooth increasing map u = T(v) of all columns with a density.

The density is log p(v) = log p(u) + log T'(v), with

.. math:: u = Q\left(\frac{h(g(v)) - \mathrm{shift}}{\mathrm{scale}}\right).

g is the identity, the logarithm of a positive value or the logit of a bounded value. Q is the
quantile-normal spline of the column, or the identity. So is h, except where some values lie so far
from the others that their standard deviation says nothing about the others: there, with the median
m and the spread s of the bulk of the values, h(y) = asinh((y - m) / s), which is almost linear in
the bulk and logarithmic beyond. A column of quantities of very different sizes has the m and s of a
part of them (``resolved``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.features import Feature, Value
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind
from lowerbound.data.columns.quantile_normal import LEAST_GAP, QuantileNormal

LOWEST, HIGHEST = -32.0, 32.0  # limits of continuous model units
SPLINE_GAIN = 0.05  # nats per row that a spline must gain over an affine map
FAR = 5.0  # standard deviation over the spread of the bulk, from which on the map is logarithmic
BULKS = ((0.25, 0.75), (0.1, 0.9), (0.05, 0.95))  # between these quantiles, if they differ
RESOLVED = 1.0  # nats for each value, from which on the map has the scale of a part of them
PARTS = (0.2, 0.3)  # shares of the values in a part
FEWEST_VALUES, MOST_VALUES = 50, 5_000  # different ones, that such maps are compared on
ROUNDED = 1e-7  # of a median: a spread that may be rounding
LARGEST_LOG = 700.0  # exp of larger numbers is infinite


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
