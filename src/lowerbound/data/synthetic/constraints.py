r"""Declared constraints of a table: ranges, inequalities between columns, fixed combinations.

Sentences such as "age >= 18", "start <= end" and "low < middle < high" are parsed. A missing cell
fulfills every constraint.

Columns of numbers that follow another column closely, or equal it in many rows.

A list price that was rarely changed equals the first price; the highest price of a day is a little
above the price at its start. The residual of a column x_j on another x_s is one of

.. math:: x_j - x_s \qquad x_j - b\, x_s \qquad \log(x_j / x_s)

A column follows another if the residual of nine tenths of the rows varies in a small part of the
range of the column itself, or in a larger part if both are dates. It has ties with it if many more
rows are equal than are 1, 2 or 3 steps of the resolution apart, since close columns also agree by
chance; rows in which both values are frequent, such as two zeros, are no evidence. Without being
close, only equal rows are of use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.lookups import Inequality
from lowerbound.errors import DataError, OptionError, unknown

DIFFERENCE, LINEAR, RATIO = "difference", "linear", "ratio"
EQUALITY = "equality"  # the difference, if it is 0
FEWEST, LEAST_SHARE = 10, 0.01  # equal rows, and their share of the rows that are evidence
NEIGHBORS = (1, 2, 3)  # steps apart
CERTAINTY = 3.0  # standard errors
FREQUENT_ROWS, FREQUENT_SHARE, LEAD = 5, 0.004, 3.0  # of a value; the last over the average value
LEAST_CORRELATION = 0.95  # of ranks; close columns have more
CLOSE = 0.05  # spread of a residual over that of the column
CLOSE_DATES = 0.25  # the same of two dates, because the time between them is a number of its own
FEWEST_PAIRS = 50  # rows that have both values
FEW_ROWS, MOST_ROWS = 500, 5_000  # that are looked at
COMPARISONS = 2**30  # of cells, which limit the rows of a table with many columns
MOST_EARLIER, MOST_LATER = 3, 2  # columns that one follows, before and after it in the table
TIES = 10.0  # so that they come first
COMPARED = 3  # times as many have their residuals compared
MOST_RELATIONS = 96  # of a table, since each makes every update slower
BLOCK = 2**22  # differences at once

Relation = tuple[str, int, int]
"""The residual, the place of a column, and that of the column that it follows."""


def found_relations(columns: Sequence[Column], values: Array) -> tuple[Relation, ...]:
    """The columns that follow another or have ties with it.

    Args:
        columns: of the table.
        values: (rows, columns) in units of the table; NaN where missing.
    """
    numeric = np.array([place for place, each in enumerate(columns) if not each.levels], dtype=int)
    if len(numeric) < 2 or not len(values):
        return ()
    most = max(FEW_ROWS, min(MOST_ROWS, COMPARISONS // len(numeric) ** 2))
    some = values[:: max(1, len(values) // most)][:, numeric]
    steps = np.array([columns[place].rules.lattice.step for place in numeric])
    dates = np.array([columns[place].rules.has_format for place in numeric])
    ties = _ties(some, steps)
    likeness = _correlation(some) + ties
    found: list[tuple[int, float, Relation]] = []
    for place in range(len(numeric)):
        sides = ((range(place), MOST_EARLIER), (range(place + 1, len(numeric)), MOST_LATER))
        for later, (side, limit) in enumerate(sides):
            near = likeness[place]
            alike = [s for s in np.argsort(-near).tolist() if s in side]
            alike = [s for s in alike if near[s] > LEAST_CORRELATION]
            rated: list[tuple[float, str, int]] = []
            for other in alike[: COMPARED * limit]:
                close = CLOSE_DATES if dates[place] and dates[other] else CLOSE
                spread, form = _rated(some[:, place], some[:, other], ties[place, other], close)
                rated.append((spread, form, other))
            kept = sorted(each for each in rated if each[1])[:limit]
            for rank, (spread, form, other) in enumerate(kept):
                relation = form, int(numeric[place]), int(numeric[other])
                found.append((2 * rank + later, spread, relation))
    best = sorted(found)[:MOST_RELATIONS]  # rows are drawn in the order of the table
    return tuple(sorted((relation for *_, relation in best), key=lambda each: each[1:]))


def _rated(own: Array, other: Array, tied: bool, close: float) -> tuple[float, str]:
    """(spread of the best residual over that of the column, less ``TIES`` if they have ties; its
    name); "" if it is not close: the spread is not below ``close``."""
    there = np.isfinite(own) & np.isfinite(other)
    own, other = own[there], other[there]
    if len(own) < FEWEST_PAIRS:
        return np.inf, ""
    spread = max(_spread(own), np.finfo(float).tiny)
    rated = [(_spread(own - other) / spread, DIFFERENCE)]
    if not tied:
        rated.append((1.1 * _spread(own - slope_of(own, other) * other) / spread, LINEAR))
    if min(own.min(), other.min()) > 0:
        # the density of x_j is that of its logarithm over x_j
        ratio = _spread(np.log(own / other)) * np.exp(np.log(own).mean())
        rated.append((1.1 * ratio / spread, RATIO))
    best, form = min(rated)
    if best >= close:
        form = EQUALITY if tied else ""
    return best - TIES * tied, form


def slope_of(own: Array, other: Array) -> float:
    """b of the residual x_j - b x_s: the covariance over the variance, of the middle rows."""
    low, high = np.quantile(other, [0.05, 0.95])
    inside = (other >= low) & (other <= high)
    a, b = own[inside] - own[inside].mean(), other[inside] - other[inside].mean()
    variance = float(b @ b)
    return float(a @ b) / variance if variance > 0 else 1.0


def _spread(values: Array) -> float:
    low, high = np.quantile(values, [0.05, 0.95])
    return float(high - low)


def _correlation(values: Array) -> Array:
    """The absolute correlation of the ranks of two columns, (columns, columns)."""
    gone = np.isnan(values)
    ranks = np.where(gone, 0.0, np.argsort(np.argsort(values, 0), 0) + 1.0)
    present = (~gone).astype(np.float64)
    count = np.maximum(present.T @ present, 1.0)
    first, second = ranks.T @ present / count, np.square(ranks).T @ present / count
    covariance = ranks.T @ ranks / count - first * first.T
    variance = np.maximum(second - np.square(first), 1e-9)
    return np.asarray(np.abs(covariance / np.sqrt(variance * variance.T)))


def _ties(values: Array, steps: Array) -> Array:
    """Whether two columns have ties, (columns, columns)."""
    usual = ~np.stack([_frequent(column) for column in values.T], 1)
    found = np.zeros((len(steps), len(steps)), dtype=bool)
    for place in range(len(steps) - 1):
        found[place, place + 1 :] = _equal(values, usual, steps, place)
    return found | found.T


def _frequent(column: Array) -> Array:
    """Whether the value of each row is frequent; missing ones are."""
    _, places, counts = np.unique(column, return_inverse=True, return_counts=True)
    there = np.isfinite(column)
    usual = LEAD * there.sum() / max(1, len(counts))
    least = max(FREQUENT_ROWS, FREQUENT_SHARE * len(column), usual)
    return np.asarray((counts >= least)[places] | ~there)


def _equal(values: Array, usual: Array, steps: Array, place: int) -> Array:
    """Whether a column has ties with each later one."""
    later = slice(place + 1, None)
    step = np.maximum(steps[place], steps[later])
    slack = 0.25 * np.minimum(steps[place], steps[later])
    size = max(1, BLOCK // max(1, values.shape[1]))
    counts = np.zeros((2 + len(NEIGHBORS), len(step)))
    for start in range(0, len(values), size):
        rows = slice(start, start + size)
        evident = usual[rows, place, None] | usual[rows, later]
        apart = np.where(evident, np.abs(values[rows, later] - values[rows, place, None]), np.nan)
        counts[0] += np.isfinite(apart).sum(0)
        counts[1] += (apart <= slack).sum(0)
        for index, number in enumerate(NEIGHBORS):
            near = np.abs(apart - number * step) <= slack
            counts[2 + index] += 0.5 * near.sum(0)
    rows_looked_at, equal = counts[:2]
    chance = np.where(slack > 0, counts[2:].max(0), 0.0)
    least = np.maximum(FEWEST, LEAST_SHARE * rows_looked_at)
    sure = equal > 2 * chance + CERTAINTY * np.sqrt(chance)
    return np.asarray((equal >= least) & sure)


_OPERATOR = re.compile(r"\s*(<=|>=|<|>)\s*")
MOST_COMBINATIONS = 50_000


@dataclass(frozen=True)
class ColumnRange:
    """A smallest or a largest value of a column, in its own units; dates are seconds since 1970."""

    column: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Combination:
    """Columns of which only the combinations of the fitted rows occur.

    Attributes:
        columns: their names.
        rows: the combinations, values or codes of levels; None is a missing cell.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]

    @property
    def values(self) -> Array:
        """(combinations, columns), NaN where missing."""
        return np.array(self.rows, dtype=np.float64).reshape(-1, len(self.columns))


@dataclass(frozen=True)
class Constraints:
    """All constraints of a table."""

    ranges: tuple[ColumnRange, ...] = ()
    inequalities: tuple[Inequality, ...] = ()
    combinations: tuple[Combination, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ranges or self.inequalities or self.combinations)

    @property
    def compared(self) -> set[str]:
        """Names of the columns in inequalities and combinations."""
        pairs = {name for each in self.inequalities for name in (each.lower, each.upper)}
        return pairs.union(*(each.columns for each in self.combinations))


def sides(sentence: str) -> list[str]:
    """The columns and values that a range or an inequality compares."""
    return _OPERATOR.split(sentence.strip())[::2]


@dataclass(frozen=True, eq=False)
class ConstraintReader:
    """Reads constraints on the columns of a table.

    Args:
        columns: the modeled columns.
        values: of the fitted rows by name, codes of columns with levels, NaN where missing.
    """

    columns: Sequence[Column]
    values: Mapping[str, Array] = field(default_factory=dict)

    def read(self, sentences: Iterable[str], combinations: Iterable[Sequence[str]]) -> Constraints:
        """Parse and check constraints.

        Args:
            sentences: ranges and inequalities.
            combinations: names of the columns of each fixed combination.

        Raises:
            OptionError: a sentence cannot be parsed, a column does not exist or has no numbers, or
                no row can fulfill the constraints.
            DataError: some of the fitted rows do not fulfill a constraint.
        """
        ranges: list[ColumnRange] = []
        inequalities: list[Inequality] = []
        for sentence in sentences:
            for part in self._parts(sentence):
                (ranges if isinstance(part, ColumnRange) else inequalities).append(part)  # type: ignore[arg-type]
        fixed = tuple(self._combination(names) for names in combinations)
        _refuse_overlaps(fixed, inequalities)
        return Constraints(tuple(ranges), tuple(inequalities), fixed)

    def _parts(self, sentence: str) -> list[ColumnRange | Inequality]:
        words = _OPERATOR.split(sentence.strip())
        if len(words) < 3 or not all(words):
            raise OptionError(
                f"the constraint {sentence!r} is not understood: write 'age >= 18', "
                "'start <= end' or 'low < high'"
            )
        sides, operators = words[::2], words[1::2]
        found = [
            self._part(*(pair if sign[0] == "<" else pair[::-1]), sign, sentence)
            for pair, sign in zip(pairwise(sides), operators, strict=True)
        ]
        for part in found:
            self._check(part, sentence)
        return found

    def _part(self, lower: str, upper: str, sign: str, sentence: str) -> ColumnRange | Inequality:
        names = {column.name for column in self.columns}
        strict = len(sign) == 1
        if lower in names and upper in names:
            inequality = Inequality(lower, upper, strict)
            self._numbers(lower), self._numbers(upper)
            return inequality
        if lower not in names and upper not in names:
            raise unknown(f"column in the constraint {sentence!r}:", lower, sorted(names))
        name, bound = (upper, lower) if upper in names else (lower, upper)
        value = self._bound(name, bound)
        if strict:
            raise OptionError(
                f"the constraint {sentence!r} compares with a value: write <= or >= instead"
            )
        return ColumnRange(name, low=value) if name == upper else ColumnRange(name, high=value)

    def _column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise unknown("column", name, [column.name for column in self.columns])

    def _numbers(self, name: str) -> Column:
        column = self._column(name)
        if column.levels:
            numeric = not any(isinstance(level, str | bool) for level in column.levels)
            hint = f"{name}=real" if numeric else ""
            raise OptionError(
                f"column {name!r} has levels, and < compares numbers and dates"
                + (f"; give it another kind, such as {hint}" if hint else "")
            )
        return column

    def _bound(self, name: str, text: str) -> float:
        import pandas as pd

        column = self._numbers(name)
        try:
            value = float(column.rules.read(pd.Series([text], name=name))[0])
        except DataError:
            value = np.nan
        if np.isnan(value):
            names = [column.name for column in self.columns]
            raise OptionError(
                f"{text!r} is neither a value of column {name!r} nor the name of a column "
                f"({listed(names)})"
            )
        return value

    def _check(self, part: ColumnRange | Inequality, sentence: str) -> None:
        """Raise DataError if fitted rows do not fulfill it."""
        with np.errstate(invalid="ignore"):
            wrong = self._wrong(part)
        rows = np.flatnonzero(wrong)
        if len(rows):
            raise DataError(
                f"{len(rows):,} of the fitted rows do not fulfill {sentence!r}, the first of them "
                f"row {rows[0]}, counted from 0; correct those rows or leave the constraint out"
            )

    def _wrong(self, part: ColumnRange | Inequality) -> Array:
        if isinstance(part, Inequality):
            return part.broken(self.values[part.lower], self.values[part.upper])
        cells = self.values[part.column]
        low = -np.inf if part.low is None else part.low
        high = np.inf if part.high is None else part.high
        return np.asarray((cells < low) | (cells > high))

    def _combination(self, names: Sequence[str]) -> Combination:
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise OptionError(
                "a fixed combination needs two columns or more, each once, not "
                f"{listed(list(names)) or 'none'}"
            )
        for name in names:
            self._column(name)
        import pandas as pd

        table = pd.DataFrame({name: self.values[name] for name in names})
        rows = table.drop_duplicates().sort_values(list(names)).to_numpy()
        if len(rows) > MOST_COMBINATIONS:
            raise OptionError(
                f"columns {listed(list(names))} have {len(rows):,} combinations, more than "
                f"{MOST_COMBINATIONS:,}; leave out a column that varies freely"
            )
        kept = [tuple(None if np.isnan(v) else float(v) for v in row) for row in rows]
        return Combination(tuple(names), tuple(kept))


def _refuse_overlaps(fixed: Sequence[Combination], inequalities: Sequence[Inequality]) -> None:
    """Refuse constraints on a column that may leave it no value once other columns are drawn.

    Raises:
        OptionError: a column is in two combinations, or in one and compared with one outside.
    """
    found: dict[str, Combination] = {}
    for each in fixed:
        for name in each.columns:
            if name in found:
                raise OptionError(
                    f"column {name!r} is in two combinations: give one combination of all their "
                    "columns"
                )
            found[name] = each
    for pair in inequalities:
        if found.get(pair.lower) is not found.get(pair.upper):
            inside = pair.lower if pair.lower in found else pair.upper
            raise OptionError(
                f"column {inside!r} is in a combination and compared with a column outside: put "
                "both columns into the combination"
            )
