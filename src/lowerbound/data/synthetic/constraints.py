"""Declared constraints of a table: ranges, inequalities between columns, fixed combinations.

Sentences such as "age >= 18", "start <= end" and "low < middle < high" are parsed. A missing cell
fulfills every constraint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.orders import Inequality
from lowerbound.errors import DataError, OptionError, unknown

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
