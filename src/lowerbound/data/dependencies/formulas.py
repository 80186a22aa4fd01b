r"""Columns that others give by arithmetic: a total and its parts, a price and a rate, a unit.

.. math:: \sum_k c_k\, g_k(x_k) = c_0

where each g is the identity or the logarithm. So a sum has coefficients c and no logarithm, a
product and a ratio have logarithms only, and ``lwage = log(wage)`` has one of both.

The coefficients are the simplest numbers that the rows allow. An equation counts if rounding
explains every residual, and if this is no chance: without any one of its sources, an interval as
wide as the residuals would hold a small share of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.errors import OptionError

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
FLOAT32 = 1e-6  # relative error of numbers without a step
ROUNDED = 1.01  # half steps from a level to a number that is rounded to it
SHORT = 6  # digits of a number in a sentence


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


@dataclass(frozen=True)
class Formula:
    """An equation that the cells of every row fulfill, up to the rounding of their columns.

    Attributes:
        columns: names, at least two; the first is the one that is computed from the others, if
            nothing else is known.
        coefficients: c_k of each.
        constant: c_0.
        logs: whether g_k is the logarithm.
        solved: whether the equation gives the column from the others about as exactly as it is
            rounded.
        exact: whether it gives the rounded value itself.
        errors: rows in which it was found that break it.
        limit: the ``excess`` of rows that fulfill it, each number rounded by itself.

    Raises:
        OptionError: the sizes differ, or a number is not finite or 0.
    """

    columns: tuple[str, ...]
    coefficients: tuple[float, ...]
    constant: float
    logs: tuple[bool, ...]
    solved: tuple[bool, ...]
    exact: tuple[bool, ...]
    errors: int = 0
    limit: float = ALLOWED

    def __post_init__(self) -> None:
        each = (self.columns, self.coefficients, self.logs, self.solved, self.exact)
        sizes = {len(numbers) for numbers in each}
        numbers = np.array([*self.coefficients, self.constant])
        if len(sizes) != 1 or len(self.columns) < 2 or not np.isfinite(numbers).all():
            raise OptionError("a formula needs two columns or more, and a finite number for each")
        if not all(self.coefficients):
            raise OptionError("a coefficient of a formula is 0")

    def value(self, at: int, cells: Array) -> Array:
        """The value of a column that the others give, (rows,); NaN where one is missing, or where
        nothing follows, as from 0 times an unknown number.

        Args:
            at: place of the column in ``columns``.
            cells: (rows, columns), units of the table, NaN where missing.
        """
        total = np.full(len(cells), self.constant)
        with np.errstate(invalid="ignore", over="ignore"):
            for place, own in enumerate(zip(self.coefficients, self.logs, strict=True)):
                if place != at:
                    total = total - own[0] * g(cells[:, place], own[1])
            units = total / self.coefficients[at]
            found = np.exp(units) if self.logs[at] else units
        return np.where(np.isfinite(found), found, np.nan)

    def excess(
        self, columns: Sequence[Column], cells: Array, spreads: Array | None = None
    ) -> Array:
        """How far rows are from the equation, in parts of what rounding explains, (rows,); NaN
        where a number is missing, or has no logarithm.

        Args:
            columns: of the formula.
            cells: (rows, columns), numbers in units of the table, NaN where missing.
            spreads: standard deviations of the columns, in which float32 rounds; None: each number
                is rounded by itself.
        """
        spreads = np.zeros(len(columns)) if spreads is None else spreads
        residual, slack = np.full(len(cells), -self.constant), np.zeros(len(cells))
        for at, column in enumerate(columns):
            values, own = term(column, cells[:, at], self.logs[at], spreads[at])
            residual = residual + self.coefficients[at] * values
            slack = slack + abs(self.coefficients[at]) * own
        return np.asarray(np.abs(residual) / np.maximum(slack, np.finfo(np.float64).tiny))

    def broken(self, columns: Sequence[Column], cells: Array) -> Array:
        """Whether rows do not fulfill it, (rows,); one with a missing cell fulfills it. Arguments
        as for ``excess``, but the cells are units of the table or codes of levels."""
        return np.asarray(self.excess(columns, numbers_of(columns, cells)) > self.limit)

    @property
    def solved_for(self) -> int:
        """The place of the column that ``summary`` is solved for: the total of a sum without a
        constant, else the first."""
        positive = [place for place, c in enumerate(self.coefficients) if c > 0]
        negative = [place for place, c in enumerate(self.coefficients) if c < 0]
        fewer, more = sorted((positive, negative), key=len)
        is_sum = len(fewer) == 1 < len(more) and not any(self.logs) and not self.constant
        return fewer[0] if is_sum else 0

    @property
    def summary(self) -> str:
        """The equation, solved for one column, such as "total = first + second"."""
        at = self.solved_for
        own, scale = self.logs[at], self.coefficients[at]
        each = zip(self.columns, self.coefficients, self.logs, strict=True)
        others = [
            (name, -coefficient / scale, log)
            for place, (name, coefficient, log) in enumerate(each)
            if place != at
        ]
        constant = self.constant / scale
        if own and all(self.logs):
            right = _product(others, float(np.exp(constant)))
        else:
            right = _sum(others, constant)
            right = f"exp({right})" if own else right
        return f"{self.columns[at]} = {right}"

    @property
    def summary_with_errors(self) -> str:
        """``summary``, and how many rows break it."""
        if not self.errors:
            return self.summary
        rows = "1 row breaks it" if self.errors == 1 else f"{self.errors:,} rows break it"
        return f"{self.summary} ({rows})"


def g(values: Array, log: bool) -> Array:
    """The values, or their logarithm: -inf of 0, NaN of negative ones."""
    if not log:
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.log(values))


def term(column: Column, numbers: Array, log: bool, spread: float) -> tuple[Array, Array]:
    """g of the numbers of a column, NaN where it has none, and how far rounding may have moved it,
    (rows,) each.

    Args:
        column: of the numbers.
        numbers: (rows,), units of the table.
        log: whether g is the logarithm.
        spread: standard deviation of the column.
    """
    slack = _rounding(column, numbers, spread)
    if not log:
        return numbers, slack
    positive = np.where(numbers > 0, numbers, np.nan)
    return g(positive, log), slack / positive


def _rounding(column: Column, numbers: Array, spread: float) -> Array:
    """How far each number of a column may be from the one before rounding."""
    size, lattice = np.abs(numbers), column.rules.lattice
    if column.levels:
        lattice = Lattice.of(numbers_of_levels(column))
    if lattice.step:
        return np.asarray(np.maximum(0.5 * 10.0**-lattice.decimals, FLOAT32 / 10 * size))
    error = FLOAT32 * np.maximum(size, spread)
    if not lattice.digits:
        return np.asarray(error)
    with np.errstate(divide="ignore"):
        last = np.floor(np.log10(size)) - lattice.digits + 1
    return np.asarray(np.maximum(0.5 * 10.0**last, error))


def numbers_of(columns: Sequence[Column], cells: Array) -> Array:
    """Cells as numbers: levels that are numbers have these, and others are missing.

    Args:
        columns: of the cells.
        cells: (rows, columns), units of the table or codes of levels; NaN where missing.
    """
    found = cells.copy()
    for place, column in enumerate(columns):
        if column.levels:
            there = np.isfinite(cells[:, place])
            levels = numbers_of_levels(column)
            found[there, place] = levels[cells[there, place].astype(np.int64)]
    return found


def cells_of(column: Column, numbers: Array) -> Array:
    """Computed numbers as cells of a column, rounded as it is; NaN: they are none of its levels."""
    known = np.isfinite(numbers)
    found = np.full(len(numbers), np.nan)
    if not column.levels:
        found[known] = column.rules.rounded(numbers[known])
        return found
    levels = numbers_of_levels(column)
    apart = np.abs(numbers[known, None] - levels)
    nearest = np.argmin(np.where(np.isnan(apart), np.inf, apart), 1)
    half = 0.5 * np.diff(np.unique(levels[np.isfinite(levels)])).min(initial=np.inf)
    near = apart[np.arange(len(nearest)), nearest] <= ROUNDED * half
    found[known] = np.where(near, nearest, np.nan)
    return found


def numbers_of_levels(column: Column) -> Array:
    """The levels that are numbers, (levels,); NaN for others."""
    return np.array(
        [
            np.nan if isinstance(level, str | bool | np.bool_) else float(level)
            for level in column.levels
        ]
    )


def _number(value: float) -> str:
    return f"{value:.{SHORT}g}"


def _sum(terms: Sequence[tuple[str, float, bool]], constant: float) -> str:
    size = _number(abs(constant))
    first = constant > 0 and all(coefficient < 0 for _, coefficient, _ in terms)
    written = size if first else ""
    for name, coefficient, log in sorted(terms, key=lambda term: term[1] < 0):
        times, term = _number(abs(coefficient)), f"log({name})" if log else name
        term = term if times == "1" else f"{times} {term}"
        sign = "-" if coefficient < 0 else "+"
        written += f" {sign} {term}" if written else f"{'-' * (coefficient < 0)}{term}"
    if first or size == "0":
        return written
    return f"{written} {'-' if constant < 0 else '+'} {size}"


def _product(terms: Sequence[tuple[str, float, bool]], factor: float) -> str:
    above = [_power(name, power) for name, power, _ in terms if power > 0]
    below = [_power(name, -power) for name, power, _ in terms if power < 0]
    size = _number(factor)
    above = above if size == "1" and above else [size, *above]
    return " / ".join([" * ".join(above), *below])


def _power(name: str, power: float) -> str:
    size = _number(power)
    return name if size == "1" else f"{name}^{size}"
