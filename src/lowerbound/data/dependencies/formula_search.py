r"""Find the formulas of a table: equations of columns of numbers that no row breaks.

Sources of a column are chosen one after another by least squares, as in orthogonal matching
pursuit, or are what is left after the others are dropped from a regression on all columns. They
make a formula if all rows fulfill it within the rounding of their cells, and this is no chance:
without any one of its sources, an interval as wide as the residuals would hold a small share of the
rows. Coefficients are the simplest numbers that all rows allow.

Each formula has a column that follows from the others, and later formulas do without it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.dependencies.formulas import Formula, g, numbers_of, numbers_of_levels

SEARCHED, COMPARED = 400, 20_000  # rows that are searched, and in which equations are compared
FEWEST_ROWS = 20  # beyond three for each number that is fitted
MOST_SOURCES, STARTS = 5, 3  # that are chosen one after another, and tried as the first
MOST_COLUMNS = 100  # of numbers
FLOAT32 = 1e-6  # relative error of numbers without a step
ALLOWED = 1.25  # residuals, in parts of the rounding of the cells
WORSE, EXACT = 1.5, 0.05  # such parts of simple numbers, over those of fitted ones; and never more
CERTAIN = -30.0, -15.0  # log of the probability by chance: in all, and for each source
SHARE, ODD_SHARE = 0.3, 0.01  # of the rows by chance; the second if numbers are not simple
ODD_SOURCES = 2  # most of them with such numbers
STEPS, FINE, FINEST = 4.0, 0.02, 0.002  # half steps, and standard deviations; see ``_apart``
MARGIN = 1.05  # of half a step, for the errors of float64
WIDTH = 2.5  # a normal density at its middle is 1 over so many standard deviations
NEGLIGIBLE = 1e-4  # standard deviations that count as exact
PREFERRED = 0.5  # spread of an exactly computed column over the largest one
POSITIVE = 0.5  # share of the values of a column that has logarithms
DENOMINATORS, ROOTS = 12, 3  # of simple coefficients, and of simple powers
POWER = 4  # largest power, and largest root
DIGITS, SIMPLE = (0, 1, 2, 3, 4, 5, 6, 8, 10), 3  # of coefficients, and most of simple ones
TINY = 1e-9


def found_formulas(
    columns: Sequence[Column], values: Array, taken: Collection[str] = ()
) -> tuple[Formula, ...]:
    """The formulas of columns of numbers and dates, in the order in which they are computed.

    Args:
        columns: of the table.
        values: (rows, columns) in units of the table or codes of levels; NaN where missing.
        taken: names of columns that no formula computes.
    """
    cells = numbers_of(columns, values)
    numeric = [place for place in range(len(columns)) if _varies(cells[:, place])]
    if not 2 <= len(numeric) <= MOST_COLUMNS:
        return ()
    cells, some = cells[:, numeric], [columns[place] for place in numeric]
    table = _Numbers(cells[:: max(1, len(cells) // COMPARED)], some, taken)
    every = _Numbers(cells, some, taken)
    found = [formula for formula in table.formulas() if every.fulfill(formula)]
    return tuple(reversed(found))


def _varies(values: Array) -> bool:
    present = values[np.isfinite(values)]
    return len(present) > 1 and bool((present != present[0]).any())


@dataclass(frozen=True)
class _Sheet:
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
class _Equation:
    """x_t = constant + sum_k coefficients_k x_k in a sheet, and the digits of the coefficients."""

    target: int
    sources: tuple[int, ...]
    coefficients: Array
    constant: float
    digits: float = math.inf

    def residuals(self, sheet: _Sheet) -> Array:
        """x_t less what the sources give, (rows,); NaN where one is missing."""
        given = sheet.values[:, self.sources] @ self.coefficients + self.constant
        return np.asarray(sheet.values[:, self.target] - given)

    def slack(self, sheet: _Sheet) -> Array:
        """The size of a residual that rounding explains, (rows,)."""
        by_sources = sheet.slack[:, self.sources] @ np.abs(self.coefficients)
        return np.asarray(sheet.slack[:, self.target] + by_sources)

    def excess(self, sheet: _Sheet) -> float:
        """The largest residual, in parts of what rounding explains."""
        parts = np.abs(self.residuals(sheet)) / np.maximum(self.slack(sheet), np.finfo(float).tiny)
        return float(np.max(parts, initial=0.0, where=np.isfinite(parts)))

    def holds(self, sheet: _Sheet) -> bool:
        """Whether rounding explains every residual."""
        return self.excess(sheet) <= ALLOWED


@dataclass
class _Numbers:
    """The search in the columns of numbers of a table."""

    values: Array
    columns: Sequence[Column]
    taken: Collection[str]

    def __post_init__(self) -> None:
        self.pool = [*range(len(self.columns))]  # columns that no formula gives

    def formulas(self) -> Iterator[Formula]:
        """The formulas in the order in which they are found."""
        for logs, most in (((False,), MOST_SOURCES), ((True,), MOST_SOURCES), ((False, True), 1)):
            sheet = self._sheet(logs)
            own = [at for at in range(len(sheet.places)) if not (most == 1 and sheet.logs[at])]
            hopeful = _hopeful(sheet) if most > 1 else np.ones(len(sheet.places), dtype=bool)
            for target in own:
                equation = self._equation(sheet, target, most) if hopeful[target] else None
                formula = None if equation is None else self._solved(sheet, equation)
                if formula is not None:
                    yield formula
                    computed = formula.columns[0]
                    self.pool = [at for at in self.pool if self.columns[at].name != computed]

    def fulfill(self, formula: Formula) -> bool:
        """Whether the rows fulfill a formula, up to rounding."""
        names = [column.name for column in self.columns]
        residual, slack = np.full(len(self.values), -formula.constant), np.zeros(len(self.values))
        for name, coefficient, log in zip(
            formula.columns, formula.coefficients, formula.logs, strict=True
        ):
            values, own = self._term(names.index(name), log)
            residual = residual + coefficient * values
            slack = slack + abs(coefficient) * own
        with np.errstate(invalid="ignore"):
            return not bool((np.abs(residual) > ALLOWED * slack).any())

    def _sheet(self, logs: Sequence[bool]) -> _Sheet:
        each = [(at, log) for log in logs for at in self.pool if not log or self._has_logs(at)]
        terms = np.array([self._term(at, log) for at, log in each])
        values, slack = terms.reshape(len(each), 2, len(self.values)).transpose(1, 2, 0)
        places, own = np.array(each, dtype=int).reshape(-1, 2).T
        return _Sheet(values, slack, own.astype(bool), places)

    def _term(self, at: int, log: bool) -> tuple[Array, Array]:
        """g of a column, NaN where it has none, and how far rounding may have moved it, (rows,)."""
        values, slack = self.values[:, at], self._slack(at)
        if not log:
            return values, slack
        values = np.where(values > 0, values, np.nan)
        return g(values, log), slack / values

    def _has_logs(self, at: int) -> bool:
        """Whether no value of a column is negative, and most are positive."""
        values = self.values[np.isfinite(self.values[:, at]), at]
        return bool((values >= 0).all() and (values > 0).mean() >= POSITIVE)

    def _slack(self, at: int) -> Array:
        """How far each value of a column may be from the one before rounding."""
        column = self.columns[at]
        size, lattice = np.abs(self.values[:, at]), column.rules.lattice
        if column.levels:
            lattice = Lattice.of(numbers_of_levels(column))
        if lattice.step:
            return np.asarray(np.maximum(0.5 * 10.0**-lattice.decimals, FLOAT32 / 10 * size))
        error = FLOAT32 * np.maximum(size, np.nanstd(self.values[:, at]))
        if not lattice.digits:
            return np.asarray(error)
        with np.errstate(divide="ignore"):
            last = np.floor(np.log10(size)) - lattice.digits + 1
        return np.asarray(np.maximum(0.5 * 10.0**last, error))

    def _equation(self, sheet: _Sheet, target: int, most: int) -> _Equation | None:
        if sheet.places[target] not in self.pool:
            return None
        others = [
            at
            for at, place in enumerate(sheet.places)
            if place in self.pool and place != sheet.places[target]
        ]
        if most == 1:  # the only formulas of two kinds of columns
            others = [at for at in others if sheet.logs[at]]
        rows = _spread(np.flatnonzero(np.isfinite(sheet.values[:, target])))
        some = _Sheet(sheet.values[rows], sheet.slack[rows], sheet.logs, sheet.places)
        sources = _added(some, target, others, most)
        if not sources and most > 1:
            sources = _left(some, target, others)
        return _simplest(sheet, target, sources) if sources else None

    def _solved(self, sheet: _Sheet, equation: _Equation) -> Formula | None:
        """The formula of an equation, with the simplest numbers for the column that it computes.

        Of two columns that give each other, the one with the simpler equation is computed.
        """
        members = [equation.target, *equation.sources]
        first = self._formula(sheet, equation)
        if first is None:
            return None
        names = [self.columns[sheet.places[at]].name for at in members]
        tried = members if len(members) == 2 else [members[names.index(first.columns[0])]]
        found: list[tuple[bool, float, int, int, Formula]] = []
        for target in tried:
            again = _simplest(sheet, target, [at for at in members if at != target])
            formula = None if again is None else self._formula(sheet, again, target)
            if again is not None and formula is not None:
                odd = sum(not float(each).is_integer() for each in again.coefficients)
                found.append((again.constant != 0, again.digits, odd, len(found), formula))
        if not found:
            return None if sheet.logs[members].all() else first
        return min(found, key=lambda each: each[:4])[4]

    def _formula(
        self, sheet: _Sheet, equation: _Equation, computed: int | None = None
    ) -> Formula | None:
        """The formula of an equation; None: it gives no column that may be computed.

        Args:
            sheet: of the equation.
            equation: that every row fulfills.
            computed: the member that is to be computed; None: the best one.
        """
        members = np.array([equation.target, *equation.sources])
        numbers = np.array([1.0, *-equation.coefficients])
        spreads = np.abs(numbers) * np.nanstd(sheet.values[:, members], 0)
        apart = np.array([_apart(sheet, equation, at) for at in range(len(members))])
        exact = apart <= 1.0
        leveled = np.array([bool(self.columns[sheet.places[at]].levels) for at in members])
        # of two columns that differ by a step at times, the difference is no rounding to lose
        solved = exact | ((apart < np.inf) & (len(members) > 2) & ~leveled)
        names = [self.columns[sheet.places[at]].name for at in members]
        free = solved & np.array([name not in self.taken for name in names])
        if not free.any():
            return None
        if computed is not None and not (free & exact)[members == computed].all():
            return None
        first = exact & (spreads >= PREFERRED * spreads[free].max())
        rounded = [float(f"{spread:.1e}") for spread in spreads]
        order = sorted(
            range(len(members)),
            key=lambda at: (members[at] != computed, not free[at], not first[at], -rounded[at]),
        )
        formula = Formula(
            tuple(names[at] for at in order),
            tuple(float(numbers[at]) for at in order),
            float(equation.constant),
            tuple(bool(sheet.logs[members[at]]) for at in order),
            tuple(bool(solved[at]) for at in order),
            tuple(bool(exact[at]) for at in order),
        )
        return self._beside_zeros(formula, sheet.places[members[order]])

    def _beside_zeros(self, formula: Formula, places: Array) -> Formula | None:
        """The formula without the columns that it does not give where a value is 0, which has no
        logarithm; None: it does not give the first one."""
        cells = self.values[:, places]
        cells = cells[np.isfinite(cells).all(1) & (cells == 0)[:, np.array(formula.logs)].any(1)]
        if not len(cells):
            return formula
        solved = [
            solves and not self._differs(places[at], formula.value(at, cells), cells[:, at])
            for at, solves in enumerate(formula.solved)
        ]
        exact = tuple(map(min, solved, formula.exact))
        return replace(formula, solved=tuple(solved), exact=exact) if solved[0] else None

    def _differs(self, place: int, computed: Array, values: Array) -> bool:
        slack = float(np.nanmedian(self._slack(place)))
        return bool((np.abs(computed - values) > STEPS * slack).any())


def _apart(sheet: _Sheet, equation: _Equation, at: int) -> float:
    """How far a member is from what the others give, in parts of its rounding.

    It is infinite if the member is not given: if it may be several steps apart that are not small
    beside its standard deviation, or more than a tiny part of that.
    """
    member = [equation.target, *equation.sources][at]
    scale = 1.0 if at == 0 else float(np.abs(equation.coefficients[at - 1]))
    apart = np.abs(equation.residuals(sheet)) / scale
    slack, spread = sheet.slack[:, member], np.nanstd(sheet.values[:, member])
    near = np.maximum(np.minimum(STEPS * slack, FINE * spread), FINEST * spread)
    known = np.isfinite(apart)
    if (apart > np.maximum(MARGIN * slack, near))[known].any():
        return math.inf
    own = np.maximum(MARGIN * slack, NEGLIGIBLE * spread)
    return float((apart / own)[known].max(initial=0.0))


def _spread(rows: Array) -> Array:
    return rows[:: max(1, len(rows) // SEARCHED)][:SEARCHED]


def _hopeful(sheet: _Sheet) -> Array:
    """Whether all other columns may give a column, (columns,), where enough rows are complete."""
    rows = np.flatnonzero(np.isfinite(sheet.values).all(1))
    count = sheet.values.shape[1]
    if len(rows) < FEWEST_ROWS + 3 * (count + 1):
        return np.ones(count, dtype=bool)
    rows = rows[:: max(1, len(rows) // COMPARED)]
    x = sheet.values[rows]
    spread = np.maximum(x.std(0), TINY)
    scaled = (x - x.mean(0)) / spread
    inverse = np.linalg.inv(scaled.T @ scaled / len(rows) + TINY * np.eye(count))
    residual = spread * np.sqrt(1 / np.maximum(np.diag(inverse), TINY))
    by_rounding = np.sqrt(np.square(sheet.slack[rows]).mean(0).sum())
    return np.asarray(residual <= 1e-4 * spread + 3 * count * by_rounding)


def _added(sheet: _Sheet, target: int, others: Sequence[int], most: int) -> tuple[int, ...]:
    """Sources that fulfill an equation, chosen one after another; () if there are none.

    The first may be one of a few, because a column that is close to the target hides its sources.
    """
    for first in _next(sheet.values, target, (), others)[:STARTS]:
        chosen = [first]
        while chosen:
            equation = _least_squares(sheet, target, chosen)
            if equation is None:
                break
            if equation.holds(sheet):
                return _pruned(sheet, equation)
            left = [at for at in others if at not in chosen]
            best = _next(sheet.values, target, chosen, left)[:1] if len(chosen) < most else []
            chosen = chosen + best if best else []
    return ()


def _left(sheet: _Sheet, target: int, others: Sequence[int]) -> tuple[int, ...]:
    """Sources that are left of all columns, if all together fulfill an equation."""
    equation = _least_squares(sheet, target, [*others])
    if equation is None or not equation.holds(sheet):
        return ()
    return _pruned(sheet, equation)


def _next(x: Array, target: int, chosen: Sequence[int], left: Sequence[int]) -> list[int]:
    """The columns by how much they explain beside the chosen ones, on the rows where all are
    known."""
    rows = np.isfinite(x[:, [target, *chosen]]).all(1)
    y = x[rows, target]
    if not len(left) or len(y) < FEWEST_ROWS:
        return []
    base = np.column_stack([np.ones(len(y)), _scaled(x[rows][:, chosen])])
    more = _scaled(x[rows][:, left])
    there = np.isfinite(more)
    more, y = np.where(there, more, 0.0), _scaled(y[:, None])[:, 0]
    known = there.astype(np.float64)
    count, size = len(left), base.shape[1]
    gram = np.empty((count, size + 1, size + 1))
    gram[:, :size, :size] = np.einsum("ri,rj,rk->jik", base, known, base)
    gram[:, size, size] = np.square(more).sum(0)
    gram[:, :size, size] = gram[:, size, :size] = (base.T @ more).T
    right = np.empty((count, size + 1))
    right[:, :size], right[:, size] = (base.T @ (known * y[:, None])).T, more.T @ y
    gram += 1e-12 * len(y) * np.eye(size + 1)
    explained = np.einsum("ji,ji->j", right, np.linalg.solve(gram, right[..., None])[..., 0])
    total, rows_known = known.T @ np.square(y), known.sum(0)
    enough = rows_known >= FEWEST_ROWS + 3 * (size + 1)
    share = np.where(enough, (total - explained) / np.maximum(total, TINY), np.inf)
    return [left[at] for at in np.argsort(share) if np.isfinite(share[at])]


def _scaled(x: Array) -> Array:
    there = np.isfinite(x)
    count = np.maximum(there.sum(0), 1)
    apart = x - np.where(there, x, 0.0).sum(0) / count
    spread = np.sqrt(np.square(np.where(there, apart, 0.0)).sum(0) / count)
    return np.asarray(apart / np.where(spread > 0, spread, 1.0))


def _least_squares(sheet: _Sheet, target: int, sources: Sequence[int]) -> _Equation | None:
    """The equation with the smallest residuals; None: too few rows know all columns."""
    x = sheet.values[:, [target, *sources]]
    x = x[np.isfinite(x).all(1)]
    if len(x) < FEWEST_ROWS + 3 * (len(sources) + 1):
        return None
    middle, spread = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1.0)
    scaled = (x - middle) / spread
    found, *_ = np.linalg.lstsq(scaled[:, 1:], scaled[:, 0], rcond=1e-10)
    coefficients = found * spread[0] / spread[1:]
    constant = float(middle[0] - middle[1:] @ coefficients)
    return _Equation(target, tuple(sources), coefficients, constant)


def _pruned(sheet: _Sheet, equation: _Equation) -> tuple[int, ...]:
    """The sources without those that the equation can do without, smallest parts first."""
    kept = [*equation.sources]
    parts = np.abs(equation.coefficients) * np.nanstd(sheet.values[:, kept], 0)
    for at in [kept[place] for place in np.argsort(parts)]:
        rest = [each for each in kept if each != at]
        fewer = _least_squares(sheet, equation.target, rest) if rest else None
        if fewer is not None and fewer.holds(sheet):
            kept = rest
    return tuple(kept)


def _simplest(sheet: _Sheet, target: int, sources: Sequence[int]) -> _Equation | None:
    """The equation with the simplest numbers that all rows allow; None: it is chance, or broken."""
    fitted = _least_squares(sheet, target, sources)
    if fitted is None:
        return None
    powers = bool(sheet.logs[[target, *sources]].all())
    excess = fitted.excess(sheet)
    limit = min(ALLOWED, max(WORSE * excess, EXACT))
    for found in _candidates(sheet, fitted, powers):
        if found.excess(sheet) <= limit:
            return found if _is_no_chance(sheet, found) else None
    return fitted if excess <= ALLOWED and _is_no_chance(sheet, fitted) else None


def _candidates(sheet: _Sheet, fitted: _Equation, powers: bool) -> Iterator[_Equation]:
    """Equations with rounded numbers, the simplest first; with fitted coefficients last."""
    target, sources = fitted.target, fitted.sources
    rounded = [
        np.array([_simple(each, digits, powers) for each in fitted.coefficients])
        for digits in DIGITS
    ]
    for digits, numbers in zip((*DIGITS, math.inf), (*rounded, fitted.coefficients), strict=True):
        if not numbers.all():
            continue
        apart = sheet.values[:, target] - sheet.values[:, list(sources)] @ numbers
        middle = float(np.nanmedian(apart))
        for constant in (0.0, *(_constant(middle, each, powers) for each in DIGITS), middle):
            yield _Equation(target, sources, numbers, constant, digits)


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


def _is_no_chance(sheet: _Sheet, equation: _Equation) -> bool:
    """Whether each source is needed: without it, few rows would have residuals as small."""
    members = [equation.target, *equation.sources]
    rows = np.isfinite(sheet.values[:, members]).all(1)
    own = sheet.values[rows][:, members]
    distinct = len(np.unique(own, axis=0))
    slack = sheet.slack[rows, equation.target]
    width = 2 * max(float(np.abs(equation.residuals(sheet)[rows]).max()), float(np.median(slack)))
    weakest = 0.0
    for at in equation.sources:
        rest = [each for each in equation.sources if each != at]
        fewer = _least_squares(sheet, equation.target, rest)
        if fewer is None:
            return False
        spread = float(np.std(fewer.residuals(sheet)[rows]))
        weakest = max(weakest, width / max(WIDTH * spread, TINY * width))
    simple, logs = equation.digits <= SIMPLE, sheet.logs[members]
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
