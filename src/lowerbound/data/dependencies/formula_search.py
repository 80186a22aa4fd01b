r"""Find the formulas of a table: equations of columns of numbers that no row breaks.

Sources of a column are chosen one after another by least squares, as in orthogonal matching
pursuit (Pati, Rezaiifar & Krishnaprasad 1993), or are what is left after the others are dropped
from a regression on all columns. They make a formula if all rows fulfill the equation within the
rounding of their cells, and this is no chance (``formulas``). Each formula has a column that
follows from the others, and later formulas do without it.

Example: 200 orders have net, tax (7 or 19 % of net), total = net + tax and items, in cents.

1. Rounding may explain the residuals of each regression on all others: every column is a target.
2. Of net, total explains most: net = 0.889 total + c. Its residuals are more than rounding.
3. Beside total, tax explains most: net = total - tax holds in all rows. Neither can be left out.
4. The simplest numbers that hold are 1, -1 and no constant. Each member follows exactly from the
   others; total has the largest spread, so it is the one to compute: "total = net + tax".
5. net, tax and items are tried again without total, then as logarithms, then one log alone: no
   equation holds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.formulas import (
    ALLOWED,
    FEWEST_ROWS,
    TINY,
    Equation,
    Formula,
    Terms,
    least_squares,
    numbers_of,
    simplest,
    term,
)

SEARCHED, COMPARED = 400, 20_000  # rows that are searched, and in which equations are compared
MOST_SOURCES, STARTS = 5, 3  # that are chosen one after another, and tried as the first
MOST_COLUMNS = 100  # of numbers
STEPS, FINE, FINEST = 4.0, 0.02, 0.002  # half steps, and standard deviations; see ``_misfit``
MARGIN = 1.05  # of half a step, for the errors of float64
NEGLIGIBLE = 1e-4  # standard deviations that count as exact
PREFERRED = 0.5  # spread of an exactly computed column over the largest one
LARGEST = 1e150  # value of a column that is in a formula
POSITIVE = 0.5  # share of the values of a column that has logarithms


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
    cells, numbers = cells[:, numeric], [columns[place] for place in numeric]
    table = _FormulaSearch(cells[:: max(1, len(cells) // COMPARED)], numbers, taken)
    every = _FormulaSearch(cells, numbers, taken)
    formulas = [formula for formula in table.formulas() if every.fulfill(formula)]
    return tuple(reversed(formulas))


def _varies(values: Array) -> bool:
    """Whether values differ, and have squares in float64."""
    present = values[np.isfinite(values)]
    differ = len(present) > 1 and bool((present != present[0]).any())
    return differ and float(np.abs(present).max()) < LARGEST


@dataclass
class _FormulaSearch:
    """The search in the columns of numbers of a table."""

    values: Array
    columns: Sequence[Column]
    taken: Collection[str]

    def __post_init__(self) -> None:
        self.names = [column.name for column in self.columns]
        self.spreads = np.nanstd(self.values, 0)
        self.pool = [*range(len(self.columns))]  # columns that no formula gives

    def formulas(self) -> Iterator[Formula]:
        """The formulas in the order in which they are found."""
        for logs, most in (((False,), MOST_SOURCES), ((True,), MOST_SOURCES), ((False, True), 1)):
            terms = self._terms(logs)
            targets = [at for at in range(len(terms.places)) if not (most == 1 and terms.logs[at])]
            collinear = np.ones(len(terms.places), dtype=bool)
            if most > 1:
                collinear = _nearly_collinear(terms)
            for target in targets:
                equation = self._equation(terms, target, most) if collinear[target] else None
                formula = None if equation is None else self._solved(terms, equation)
                if formula is not None:
                    yield formula
                    computed = formula.columns[0]
                    self.pool = [at for at in self.pool if self.columns[at].name != computed]

    def fulfill(self, formula: Formula) -> bool:
        """Whether the rows fulfill a formula, up to rounding."""
        places = [self.names.index(name) for name in formula.columns]
        some = [self.columns[at] for at in places]
        excess = formula.excess(some, self.values[:, places], self.spreads[places])
        return not bool((excess > ALLOWED).any())

    def _terms(self, logs: Sequence[bool]) -> Terms:
        pairs = [(at, log) for log in logs for at in self.pool if not log or self._has_logs(at)]
        terms = np.array([self._term(at, log) for at, log in pairs])
        values, slack = terms.reshape(len(pairs), 2, len(self.values)).transpose(1, 2, 0)
        places, logarithmic = np.array(pairs, dtype=int).reshape(-1, 2).T
        return Terms(values, slack, logarithmic.astype(bool), places)

    def _term(self, at: int, log: bool) -> tuple[Array, Array]:
        """g of a column, NaN where it has none, and how far rounding may have moved it, (rows,)."""
        return term(self.columns[at], self.values[:, at], log, self.spreads[at])

    def _has_logs(self, at: int) -> bool:
        """Whether no value of a column is negative, and most are positive."""
        values = self.values[np.isfinite(self.values[:, at]), at]
        return bool((values >= 0).all() and (values > 0).mean() >= POSITIVE)

    def _equation(self, terms: Terms, target: int, most: int) -> Equation | None:
        if terms.places[target] not in self.pool:
            return None
        others = [
            at
            for at, place in enumerate(terms.places)
            if place in self.pool and place != terms.places[target]
        ]
        if most == 1:  # the only formulas of two kinds of columns
            others = [at for at in others if terms.logs[at]]
        rows = _evenly_spaced(np.flatnonzero(np.isfinite(terms.values[:, target])))
        some = Terms(terms.values[rows], terms.slack[rows], terms.logs, terms.places)
        sources = _forward_selection(some, target, others, most)
        if not sources and most > 1:
            sources = _backward_elimination(some, target, others)
        return simplest(terms, target, sources) if sources else None

    def _solved(self, terms: Terms, equation: Equation) -> Formula | None:
        """The formula of an equation, with the simplest numbers for the column that it computes.

        Of two columns that give each other, the one with the simpler equation is computed, but not
        the finer one of a coarse one, as a price of its tax, because that loses digits.
        """
        members = [equation.target, *equation.sources]
        first = self._formula(terms, equation)
        if first is None:
            return None
        names = [self.columns[terms.places[at]].name for at in members]
        tried = members if len(members) == 2 else [members[names.index(first.columns[0])]]
        solutions: list[tuple[bool, bool, float, int, int, Formula]] = []
        for target in tried:
            again = simplest(terms, target, [at for at in members if at != target])
            formula = None if again is None else self._formula(terms, again, target)
            if again is not None and formula is not None:
                fractions = sum(not float(number).is_integer() for number in again.coefficients)
                coarse = _misfit(terms, again, 0, 0.0) > 1.0
                order = (coarse, again.constant != 0, again.digits, fractions, len(solutions))
                solutions.append((*order, formula))
        if not solutions:
            return None if terms.logs[members].all() else first
        return min(solutions, key=lambda solution: solution[:5])[5]

    def _formula(
        self, terms: Terms, equation: Equation, computed: int | None = None
    ) -> Formula | None:
        """The formula of an equation; None: it gives no column that may be computed.

        Args:
            terms: of the equation.
            equation: that every row fulfills.
            computed: the member that is to be computed; None: the best one.
        """
        members = np.array([equation.target, *equation.sources])
        numbers = np.array([1.0, *-equation.coefficients])
        spreads = np.abs(numbers) * np.nanstd(terms.values[:, members], 0)
        misfits = np.array([_misfit(terms, equation, at) for at in range(len(members))])
        exact = misfits <= 1.0
        coarse = np.array([_misfit(terms, equation, at, 0.0) > 1.0 for at in range(len(members))])
        leveled = np.array([bool(self.columns[terms.places[at]].levels) for at in members])
        # of two columns that differ by a step at times, the difference is no rounding to lose
        solved = exact | ((misfits < np.inf) & (len(members) > 2) & ~leveled)
        names = [self.columns[terms.places[at]].name for at in members]
        free = solved & np.array([name not in self.taken for name in names])
        if not free.any():
            return None
        if computed is not None and not free[members == computed].all():
            return None
        first = exact & (spreads >= PREFERRED * spreads[free].max())
        rounded = [float(f"{spread:.1e}") for spread in spreads]
        order = sorted(
            range(len(members)),
            key=lambda at: (
                members[at] != computed,
                not free[at],
                not first[at],
                bool(coarse[at]),
                -rounded[at],
            ),
        )
        formula = Formula(
            tuple(names[at] for at in order),
            tuple(float(numbers[at]) for at in order),
            float(equation.constant),
            tuple(bool(terms.logs[members[at]]) for at in order),
            tuple(bool(solved[at]) for at in order),
            tuple(bool(exact[at]) for at in order),
        )
        return self._beside_zeros(formula, terms.places[members[order]])

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
        slack = float(np.nanmedian(self._term(place, False)[1]))
        return bool((np.abs(computed - values) > STEPS * slack).any())


def _misfit(terms: Terms, equation: Equation, at: int, negligible: float = NEGLIGIBLE) -> float:
    """How far a member is from what the others give, in parts of its rounding, or of a negligible
    part of its standard deviation if that is more.

    It is infinite if the member is not given: if it may be several steps apart that are not small
    beside its standard deviation, or more than a tiny part of that.
    """
    member = [equation.target, *equation.sources][at]
    scale = 1.0 if at == 0 else float(np.abs(equation.coefficients[at - 1]))
    error = np.abs(equation.residuals(terms)) / scale
    slack, spread = terms.slack[:, member], np.nanstd(terms.values[:, member])
    near = np.maximum(np.minimum(STEPS * slack, FINE * spread), FINEST * spread)
    known = np.isfinite(error)
    if (error > np.maximum(MARGIN * slack, near))[known].any():
        return math.inf
    allowed = np.maximum(MARGIN * slack, negligible * spread)
    return float((error / allowed)[known].max(initial=0.0))


def _evenly_spaced(rows: Array) -> Array:
    return rows[:: max(1, len(rows) // SEARCHED)][:SEARCHED]


def _nearly_collinear(terms: Terms) -> Array:
    """Whether all other columns may give a column, (columns,), where enough rows are complete."""
    rows = np.flatnonzero(np.isfinite(terms.values).all(1))
    count = terms.values.shape[1]
    if len(rows) < FEWEST_ROWS + 3 * (count + 1):
        return np.ones(count, dtype=bool)
    rows = rows[:: max(1, len(rows) // COMPARED)]
    x = terms.values[rows]
    spread = np.maximum(x.std(0), TINY)
    scaled = (x - x.mean(0)) / spread
    inverse = np.linalg.inv(scaled.T @ scaled / len(rows) + TINY * np.eye(count))
    residual = spread * np.sqrt(1 / np.maximum(np.diag(inverse), TINY))
    by_rounding = np.sqrt(np.square(terms.slack[rows]).mean(0).sum())
    return np.asarray(residual <= 1e-4 * spread + 3 * count * by_rounding)


def _forward_selection(
    terms: Terms, target: int, others: Sequence[int], most: int
) -> tuple[int, ...]:
    """Sources that fulfill an equation, chosen one after another; () if there are none.

    The first may be one of a few, because a column that is close to the target hides its sources.
    """
    for first in _by_explained_variance(terms.values, target, (), others)[:STARTS]:
        chosen = [first]
        while chosen:
            equation = least_squares(terms, target, chosen)
            if equation is None:
                break
            if equation.holds(terms):
                return _pruned(terms, equation)
            if len(chosen) == most:
                break
            remaining = [at for at in others if at not in chosen]
            best = _by_explained_variance(terms.values, target, chosen, remaining)[:1]
            chosen = chosen + best if best else []
    return ()


def _backward_elimination(terms: Terms, target: int, others: Sequence[int]) -> tuple[int, ...]:
    """Sources that are left of all columns, if all together fulfill an equation."""
    equation = least_squares(terms, target, [*others])
    if equation is None or not equation.holds(terms):
        return ()
    return _pruned(terms, equation)


def _by_explained_variance(
    x: Array, target: int, chosen: Sequence[int], candidates: Sequence[int]
) -> list[int]:
    """The columns by how much they explain beside the chosen ones, on the rows where all are
    known."""
    rows = np.isfinite(x[:, [target, *chosen]]).all(1)
    y = x[rows, target]
    if not len(candidates) or len(y) < FEWEST_ROWS:
        return []
    base = np.column_stack([np.ones(len(y)), _standardized(x[rows][:, chosen])])
    extra = _standardized(x[rows][:, candidates])
    present = np.isfinite(extra)
    extra, y = np.where(present, extra, 0.0), _standardized(y[:, None])[:, 0]
    known = present.astype(np.float64)
    count, size = len(candidates), base.shape[1]
    gram = np.empty((count, size + 1, size + 1))
    gram[:, :size, :size] = np.einsum("ri,rj,rk->jik", base, known, base)
    gram[:, size, size] = np.square(extra).sum(0)
    gram[:, :size, size] = gram[:, size, :size] = (base.T @ extra).T
    right = np.empty((count, size + 1))
    right[:, :size], right[:, size] = (base.T @ (known * y[:, None])).T, extra.T @ y
    gram += 1e-12 * len(y) * np.eye(size + 1)
    explained = np.einsum("ji,ji->j", right, np.linalg.solve(gram, right[..., None])[..., 0])
    total, rows_known = known.T @ np.square(y), known.sum(0)
    enough = rows_known >= FEWEST_ROWS + 3 * (size + 1)
    share = np.where(enough, (total - explained) / np.maximum(total, TINY), np.inf)
    return [candidates[at] for at in np.argsort(share) if np.isfinite(share[at])]


def _standardized(x: Array) -> Array:
    present = np.isfinite(x)
    count = np.maximum(present.sum(0), 1)
    centered = x - np.where(present, x, 0.0).sum(0) / count
    spread = np.sqrt(np.square(np.where(present, centered, 0.0)).sum(0) / count)
    return np.asarray(centered / np.where(spread > 0, spread, 1.0))


def _pruned(terms: Terms, equation: Equation) -> tuple[int, ...]:
    """The sources without those that the equation can do without, smallest parts first."""
    kept = [*equation.sources]
    parts = np.abs(equation.coefficients) * np.nanstd(terms.values[:, kept], 0)
    for at in [kept[place] for place in np.argsort(parts)]:
        others = [source for source in kept if source != at]
        fewer = least_squares(terms, equation.target, others) if others else None
        if fewer is not None and fewer.holds(terms):
            kept = others
    return tuple(kept)
