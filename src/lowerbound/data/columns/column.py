r"""One column of a table: what kind of values it holds, and the way into model units and back.

Continuous kinds go through a smooth increasing map T, so that log p(v) = log p(u) + log T'(v):

.. math:: u = Q\left(\frac{g(v) - \mathrm{shift}}{\mathrm{scale}}\right)

with g the identity, the logarithm of a positive value or the logit of a bounded one, and Q the
quantile-normal spline where the column has one. Discrete kinds keep probability mass: a count is
its own unit, a level its index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lowerbound.data.columns.dates import check_format
from lowerbound.data.columns.quantile_normal import QuantileNormal

Array = np.ndarray[Any, Any]
Level = bool | int | str | float
Kind = Literal[
    "real",
    "positive",
    "bounded",
    "mixed",
    "datetime",
    "count",
    "binary",
    "ordinal",
    "categorical",
    "identifier",
    "constant",
]

CONTINUOUS = ("real", "positive", "bounded", "mixed", "datetime")
LEVELED = ("binary", "ordinal", "categorical")
UNMODELED = ("identifier", "constant")

ATOM = -64.0
"""Model units of a mixed column's atom, below ``LOWEST``: no continuous value is taken for it."""

LOWEST, HIGHEST = -32.0, 32.0  # between which continuous model units are kept


@dataclass(frozen=True)
class Column:
    """One column of a table or of an array.

    Attributes:
        name: its name; ``x0, x1, ...`` where the data has none.
        kind: "real"; "positive" (above 0); "bounded" (inside low, high); "mixed" (one value, the
            atom, has mass of its own, the others are real); "datetime"; "count" (whole, not
            negative); "binary", "ordinal" (ordered) and "categorical" (levels); "identifier"
            (names a row, never modeled); "constant" (never varied in the data it was fitted on).
        shift: subtracted on the way in, after g; the value itself for a constant.
        scale: divided by on the way in; positive.
        dtype: numpy's name of the type that the person gave; "str" for text.
        spline: Q; None: the identity.
        levels: of a leveled column, in the order of their codes 0, 1, ...
        low, high: of a bounded column.
        atom: of a mixed column.
        resolution: the smallest step between two values, in model units; 0 where not known.
        format: how a datetime column writes every date, as of ``strptime``; "ISO8601" for ISO text
            of several lengths and for dates that are no text; None: schemas before there was one,
            whose text is read cell by cell.
        round_to: seconds that every date is a multiple of, 86,400 for days; 0: not known.

    Raises:
        OptionError: the format is none.
    """

    name: str
    kind: Kind = "real"
    shift: float = 0.0
    scale: float = 1.0
    dtype: str = "float64"
    spline: QuantileNormal | None = None
    levels: tuple[Level, ...] = ()
    low: float | None = None
    high: float | None = None
    atom: float | None = None
    resolution: float = 0.0
    format: str | None = None
    round_to: int = 0

    def __post_init__(self) -> None:
        if self.format is not None:
            check_format(self.format)

    @property
    def modeled(self) -> bool:
        """Whether it is part of the event."""
        return self.kind not in UNMODELED

    @property
    def continuous(self) -> bool:
        """Whether it has a density rather than a mass (a mixed column has both)."""
        return self.kind in CONTINUOUS

    @property
    def affine(self) -> bool:
        """Whether the way in is u = (v - shift) / scale and nothing else."""
        return self.kind in ("real", "datetime") and self.spline is None

    def encode(self, values: Array) -> Array:
        """Continuous values or codes, float64, in model units."""
        if not self.continuous:
            return values
        units = (self._g(values) - self.shift) / self.scale
        if self.spline is not None:
            units = self.spline(units)
        if not self.affine:
            units = np.clip(units, LOWEST, HIGHEST)
        if self.kind == "mixed":
            units[values == self.atom] = ATOM
        return units

    def decode(self, units: Array) -> Array:
        """The inverse of ``encode``; codes stay codes."""
        if not self.continuous:
            return units
        inner = units if self.spline is None else self.spline.inverse(units)
        values = self._g_inverse(inner * self.scale + self.shift)
        if self.kind == "mixed":
            values[is_atom(units)] = self.atom
        return values

    def log_slope(self, units: Array) -> Array:
        """log T'(v) in nats at each value, given in model units; 0 for mass."""
        if not self.continuous:
            return np.zeros(units.shape)
        inner, slope = units, np.full(units.shape, -np.log(self.scale))
        if self.spline is not None:
            inner = self.spline.inverse(units)
            slope = slope + self.spline.log_slope(inner)
        slope = slope + self._log_g_slope(inner * self.scale + self.shift)
        if self.kind == "mixed":
            slope[is_atom(units)] = 0.0
        return slope

    def _g(self, values: Array) -> Array:
        if self.kind == "positive":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(np.log(values))
        if self.kind == "bounded":
            from scipy.special import logit

            share = (values - self.low) / self._width
            return np.asarray(logit(share))
        return values

    def _g_inverse(self, values: Array) -> Array:
        if self.kind == "positive":
            return np.asarray(np.exp(np.minimum(values, _LARGEST_LOG)))
        if self.kind == "bounded":
            from scipy.special import expit

            assert self.low is not None
            return np.asarray(self.low + self._width * expit(values))
        return values

    def _log_g_slope(self, g: Array) -> Array:
        """log g'(v) from g(v): -log v, or log of 1 / (v (1 - v)) scaled to the bounds."""
        if self.kind == "positive":
            return -g
        if self.kind == "bounded":
            return np.asarray(np.logaddexp(0, g) + np.logaddexp(0, -g) - np.log(self._width))
        return np.zeros(g.shape)

    @property
    def _width(self) -> float:
        assert self.low is not None
        assert self.high is not None
        return self.high - self.low


def is_atom(units: Any) -> Any:
    """Whether model units of a mixed column, an array or a tensor, stand for its atom."""
    return units <= 0.5 * (ATOM + LOWEST)


_LARGEST_LOG = 700.0  # exp of more is infinite


def moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation, safe for values near the largest float."""
    values = values.astype(np.float64)
    center = values.min() / 2 + values.max() / 2
    radius = values.max() / 2 - values.min() / 2
    inside = (values - center) / radius  # in [-1, 1]
    scale = max(float(radius * inside.std()), float(np.finfo(np.float64).tiny))
    return float(center + radius * inside.mean()), scale
