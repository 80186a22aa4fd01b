"""Formulas that nearly all rows fulfill: the few others have an error.

One wrong cell would hide a formula. So formulas are first found in parts of the rows, some of which
may be without errors, and the rows that break one of these are set aside if they are few.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.formula_search import found_formulas
from lowerbound.data.dependencies.formulas import Formula, numbers_of

PARTS, PART_ROWS = 6, 200  # of the rows
MOST_WRONG = 0.005  # share of the rows that may break a formula
LEAST, TIMES = 0.25, 2.0  # excess of a formula that breaks it; the second: times the largest so far


@dataclass(frozen=True)
class KnownFormula:
    """A formula with what rows without errors show of it.

    Attributes:
        formula: that they fulfill.
        spreads: standard deviations of its columns.
        limit: the ``excess`` of a row that fulfills it.
    """

    formula: Formula
    spreads: tuple[float, ...]
    limit: float

    @classmethod
    def of(cls, formula: Formula, columns: Sequence[Column], cells: Array) -> KnownFormula:
        """From the cells of these rows, (rows, columns), of all columns of a table."""
        some, places = named_columns(columns, formula.columns)
        spreads = np.nanstd(numbers_of(some, cells[:, places]), 0)
        known = cls(formula, tuple(spreads.tolist()), 0.0)
        return replace(known, limit=_limit(known.excess(columns, cells)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        return self.formula.columns

    def excess(self, columns: Sequence[Column], cells: Array) -> Array:
        """``Formula.excess`` of rows, (rows,), by all columns of a table."""
        some, places = named_columns(columns, self.columns)
        numbers = numbers_of(some, cells[:, places])
        return self.formula.excess(some, numbers, np.array(self.spreads))

    def broken(self, columns: Sequence[Column], cells: Array) -> Array:
        """Whether rows do not fulfill it, (rows,); one with a missing cell fulfills it."""
        return np.asarray(self.excess(columns, cells) > self.limit)


def formulas_beside_errors(
    columns: Sequence[Column], values: Array, taken: Collection[str] = ()
) -> tuple[Formula, ...]:
    """``found_formulas`` of the rows without errors, which nearly all are, with the number of the
    rows that break each."""

    def broken(part: Array) -> Iterable[Array]:
        for formula in found_formulas(columns, part, taken):
            yield KnownFormula.of(formula, columns, part).broken(columns, values)

    right = values[without_errors(values, broken)]
    found = found_formulas(columns, right, taken)
    return tuple(_counted(formula, columns, values, right) for formula in found)


def _counted(formula: Formula, columns: Sequence[Column], values: Array, right: Array) -> Formula:
    """A formula with the rows that break it and the limit of the right ones."""
    known = KnownFormula.of(formula, columns, right)
    some, places = named_columns(columns, formula.columns)
    excess = formula.excess(some, numbers_of(some, right[:, places]))
    errors = int(known.broken(columns, values).sum())
    return replace(formula, errors=errors, limit=_limit(excess))


def _limit(excess: Array) -> float:
    """The excess of a row that fulfills a formula, by that of rows without errors, (rows,)."""
    return max(LEAST, TIMES * float(np.nan_to_num(excess).max(initial=0.0)))


def without_errors(rows: Array, broken: Callable[[Array], Iterable[Array]]) -> Array:
    """Rows that break nothing which some rows show and nearly all fulfill, (rows,).

    Args:
        rows: cells, (rows, columns).
        broken: some of the rows -> whether all rows, (rows,), break each of what these show.
    """
    right = np.ones(len(rows), dtype=bool)
    step = max(PARTS, len(rows) // PART_ROWS)
    for part in range(PARTS):
        for wrong in broken(rows[part::step]):
            if wrong.sum() <= MOST_WRONG * len(rows):
                right &= ~wrong
    return right


def named_columns(
    columns: Sequence[Column], names: Sequence[str]
) -> tuple[list[Column], list[int]]:
    """Some of the columns by name, and their places."""
    place = {column.name: at for at, column in enumerate(columns)}
    places = [place[name] for name in names]
    return [columns[at] for at in places], places
