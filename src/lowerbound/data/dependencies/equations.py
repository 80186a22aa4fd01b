r"""Equations of the columns of a table, with the simplest numbers that its rows allow.

An equation counts if rounding explains every residual, and if this is no chance: without any one of
its sources, an interval as wide as the residuals would hold a small share of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lowerbound.data.arrays import Array

FEWEST_ROWS = 20  # beyond three for each number that is fitted
ALLOWED = 1.25  # residuals, in parts of the rounding of the cells
WORSE, EXACT = 1.5, 0.05  # such parts of simple numbers, over those of fitted ones; and never more
CERTAIN = -30.0, -15.0  # log of the probability by chance: in all, and for each source
SHARE, ODD_SHARE = 0.3, 0.01  # of the rows by chance; the second if numbers are not simple
ODD_SOURCES = 2  # most of them with such numbers
WIDTH = 2.5  # a normal density at its middle is 1 over so many standard deviations
DENOMINATORS, ROOTS = 12, 3  # of simple coefficients, and of simple powers
POWER = 4  # largest power, and largest root
DIGITS, SIMPLE = (0, 1, 2, 3, 4, 5, 6, 8, 10), 3  # of coefficients, and most of simple ones
TINY = 1e-9


@dataclass(frozen=True)
class Terms:
    """Columns as one family of formulas sees them.

    Attributes:
        values: g(x), (rows, columns); NaN where missing.
        slack: how far each may be from its value before rounding, (rows, columns).
        logs: whether g is the logarithm, (columns,).
        places: of the columns in the table.
    """

    values: Array
    slack: Array
    logs: Array
    places: Array


@dataclass(frozen=True)
class Equation:
    """g(x_t) = constant + sum_k coefficients_k g(x_k), and the digits of the coefficients.

    Target and sources are places in ``Terms``.
    """

    target: int
    sources: tuple[int, ...]
    coefficients: Array
    constant: float
    digits: float = math.inf

    def residuals(self, terms: Terms) -> Array:
        """x_t less what the sources give, (rows,); NaN where one is missing."""
        given = terms.values[:, self.sources] @ self.coefficients + self.constant
        return np.asarray(terms.values[:, self.target] - given)

    def slack(self, terms: Terms) -> Array:
        """The size of a residual that rounding explains, (rows,)."""
        by_sources = terms.slack[:, self.sources] @ np.abs(self.coefficients)
        return np.asarray(terms.slack[:, self.target] + by_sources)

    def excess(self, terms: Terms) -> float:
        """The largest residual, in parts of what rounding explains."""
        parts = np.abs(self.residuals(terms)) / np.maximum(self.slack(terms), np.finfo(float).tiny)
        return float(np.max(parts, initial=0.0, where=np.isfinite(parts)))

    def holds(self, terms: Terms) -> bool:
        """Whether rounding explains every residual."""
        return self.excess(terms) <= ALLOWED


def least_squares(terms: Terms, target: int, sources: Sequence[int]) -> Equation | None:
    """The equation with the smallest residuals; None: too few rows know all columns."""
    x = terms.values[:, [target, *sources]]
    x = x[np.isfinite(x).all(1)]
    if len(x) < FEWEST_ROWS + 3 * (len(sources) + 1):
        return None
    middle, spread = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1.0)
    scaled = (x - middle) / spread
    found, *_ = np.linalg.lstsq(scaled[:, 1:], scaled[:, 0], rcond=1e-10)
    coefficients = found * spread[0] / spread[1:]
    constant = float(middle[0] - middle[1:] @ coefficients)
    return Equation(target, tuple(sources), coefficients, constant)


def simplest(terms: Terms, target: int, sources: Sequence[int]) -> Equation | None:
    """The equation with the simplest numbers that all rows allow; None: it is chance, or broken."""
    fitted = least_squares(terms, target, sources)
    if fitted is None:
        return None
    powers = bool(terms.logs[[target, *sources]].all())
    excess = fitted.excess(terms)
    limit = min(ALLOWED, max(WORSE * excess, EXACT))
    for found in _candidates(terms, fitted, powers):
        if found.excess(terms) <= limit:
            return found if _is_no_chance(terms, found) else None
    return fitted if excess <= ALLOWED and _is_no_chance(terms, fitted) else None


def _candidates(terms: Terms, fitted: Equation, powers: bool) -> Iterator[Equation]:
    """Equations with rounded numbers, the simplest first; with fitted coefficients last."""
    target, sources = fitted.target, fitted.sources
    rounded = [
        np.array([_simple(each, digits, powers) for each in fitted.coefficients])
        for digits in DIGITS
    ]
    for digits, numbers in zip((*DIGITS, math.inf), (*rounded, fitted.coefficients), strict=True):
        if not numbers.all():
            continue
        apart = terms.values[:, target] - terms.values[:, list(sources)] @ numbers
        middle = float(np.nanmedian(apart))
        for constant in (0.0, *(_constant(middle, each, powers) for each in DIGITS), middle):
            yield Equation(target, sources, numbers, constant, digits)


def _simple(value: float, digits: int, power: bool = False) -> float:
    """The nearest number of so many digits; with 0 digits the nearest fraction, or power of 10."""
    if digits:
        return float(f"{value:.{digits - 1}e}")
    if power:
        return float(Fraction(value).limit_denominator(ROOTS))
    scale = 1.0 if 0.05 <= abs(value) <= 100 else 10.0 ** round(math.log10(abs(value) or 1.0))
    return scale * float(Fraction(value / scale).limit_denominator(DENOMINATORS))


def _constant(middle: float, digits: int, power: bool) -> float:
    """The nearest simple constant; of powers, the logarithm of the nearest simple factor."""
    if not power:
        return _simple(middle, digits)
    if abs(middle) > 300:
        return middle
    factor = _simple(math.exp(middle), digits)
    return math.log(factor) if factor > 0 else middle


def _is_no_chance(terms: Terms, equation: Equation) -> bool:
    """Whether each source is needed: without it, few rows would have residuals as small."""
    members = [equation.target, *equation.sources]
    rows = np.isfinite(terms.values[:, members]).all(1)
    own = terms.values[rows][:, members]
    parts = np.abs([1.0, *equation.coefficients]) * own.std(0)
    if parts.min() <= TINY * parts.max():  # it only says in which rows the others are enough
        return False
    distinct = len(np.unique(own, axis=0))
    slack = terms.slack[rows, equation.target]
    width = 2 * max(float(np.abs(equation.residuals(terms)[rows]).max()), float(np.median(slack)))
    weakest = 0.0
    for at in equation.sources:
        rest = [each for each in equation.sources if each != at]
        fewer = least_squares(terms, equation.target, rest)
        if fewer is None:
            return False
        spread = float(np.std(fewer.residuals(terms)[rows]))
        weakest = max(weakest, width / max(WIDTH * spread, TINY * width))
    simple, logs = equation.digits <= SIMPLE, terms.logs[members]
    if logs.all():
        sizes = np.abs(equation.coefficients)
        if equation.digits or sizes.max() > POWER or sizes.min() < 1 / POWER:
            return False
    elif not simple and len(equation.sources) > ODD_SOURCES:
        return False
    limit = SHARE if simple and logs.all() == logs.any() else ODD_SHARE
    total, each = CERTAIN
    certain = distinct * math.log(min(weakest, 1.0)) <= total + each * len(equation.sources)
    return weakest <= limit and certain
