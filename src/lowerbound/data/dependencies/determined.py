"""Missing cells that follow from the others of their row, by lookups and formulas.

Formulas that nearly all rows fulfill count too: the few others have an error. One wrong cell would
hide a formula. So formulas are first found in parts of the rows, some of which may be without
errors, and the rows that break one of these are set aside if they are few.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowerbound import untrusted
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.formula_search import found_formulas
from lowerbound.data.dependencies.formulas import Formula, cells_of, numbers_of
from lowerbound.data.dependencies.lookups import Lookup, found_lookups
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError

PARTS, PART_ROWS = 6, 200  # of the rows
MOST_WRONG = 0.005  # share of the rows that may break a formula
LEAST, TIMES = 0.25, 2.0  # excess of a formula that breaks it; the second: times the largest so far
DETAIL = "dependencies"  # key in the details of a schema
ROUNDS = 3  # in which a cell that follows may give another; first those that follow exactly


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


@dataclass(frozen=True)
class Dependencies:
    """What the columns of a table have to do with each other.

    Attributes:
        lookups: columns that another determines.
        formulas: columns that others give by arithmetic.
    """

    lookups: tuple[Lookup, ...] = ()
    formulas: tuple[Formula, ...] = ()

    @classmethod
    def of(cls, schema: Schema) -> Dependencies:
        """Those of a schema's details; none if it has none.

        Raises:
            OptionError: they are not of its columns.
        """
        if DETAIL not in schema.details:
            return cls()
        with untrusted.guarded("what is stored of the columns' dependencies", OptionError):
            found = from_mapping(cls, schema.details[DETAIL])
            found.check(schema.columns)
        return found

    def check(self, columns: Sequence[Column]) -> None:
        """Check that lookups and formulas are of different columns of a table, and that the
        values of lookups are codes in columns of levels.

        Raises:
            OptionError: one is not.
        """
        levels = {column.name: len(column.levels) for column in columns}
        every = (
            *(each.columns for each in self.lookups),
            *(each.columns for each in self.formulas),
        )
        for names in every:
            if not levels.keys() >= set(names) or len(set(names)) < len(names):
                raise OptionError(f"a dependency needs different columns of the table, not {names}")
        for lookup in self.lookups:
            for name, own in zip(lookup.columns, lookup.values.T, strict=True):
                known, most = own[~np.isnan(own)], levels[name]
                if most and not ((known >= 0) & (known < most) & (known % 1 == 0)).all():
                    raise OptionError(f"a lookup has other values than the {most} of {name!r}")

    @property
    def summaries(self) -> tuple[str, ...]:
        """A sentence or an equation for each."""
        sentences = (each.summary for each in self.lookups)
        return (*sentences, *(each.summary_with_errors for each in self.formulas))

    @property
    def without_shared_columns(self) -> Dependencies:
        """Without the formulas of columns that are in a lookup: a computed cell could break it."""
        taken = {name for each in self.lookups for name in each.columns}
        free = tuple(each for each in self.formulas if taken.isdisjoint(each.columns))
        return replace(self, formulas=free)


def with_dependencies(dataset: Dataset) -> Dataset:
    """The rows with a schema that has the lookups and formulas of their observed cells in its
    details."""
    schema = dataset.schema
    if not schema.columns or not schema.data_kind.matrix:
        return dataset
    modeled = [place for place, each in enumerate(schema.columns) if each.modeled]
    columns, cells = [schema.columns[place] for place in modeled], observed_cells(dataset)
    found = Dependencies(
        found_lookups(columns, cells[:, modeled]),
        formulas_beside_errors(columns, cells[:, modeled]),
    )
    details = {name: own for name, own in schema.details.items() if name != DETAIL}
    if found != Dependencies():
        details[DETAIL] = to_mapping(found)
    return replace(dataset, schema=replace(schema, details=details))


def determined(dataset: Dataset) -> Array | None:
    """The value of each missing cell, (rows, columns), that follows from the others of its row by
    the dependencies of the schema, NaN elsewhere; None without dependencies. Units of the table or
    codes of levels."""
    found = Dependencies.of(dataset.schema)
    if found == Dependencies():
        return None
    columns = dataset.schema.columns
    place = {column.name: index for index, column in enumerate(columns)}
    given = observed_cells(dataset)
    cells = given.copy()
    for round in range(2 * ROUNDS):
        missing, only_exact = np.isnan(cells), round < ROUNDS
        for lookup in found.lookups:
            own = [place[name] for name in lookup.columns]
            cells[:, own] = _filled(cells[:, own], lookup.determined(cells[:, own]))
        for formula in found.formulas:
            own = [place[name] for name in formula.columns]
            some = [columns[at] for at in own]
            solved = formula.exact if only_exact else formula.solved
            cells[:, own] = _computed(formula, solved, some, cells[:, own])
        if not only_exact and np.array_equal(missing, np.isnan(cells)):
            break
    return np.where(np.isnan(given), cells, np.nan)


def in_agreement(schema: Schema, cells: Array, filled: Array, rounded: bool) -> Array:
    """Filled rows in which the filled cells of each formula agree with its other cells.

    Of the filled cells of a formula, one is computed from all others: the first, whose spread is
    large, so that the errors of the others are small beside it. Cells stay where the computed value
    lies outside the observed range of its column.

    Args:
        schema: with the dependencies.
        cells: rows without missing cells, (rows, columns), units of the table or codes of levels.
        filled: mask of the cells that were filled and may change, (rows, columns).
        rounded: whether they are values of their columns. If not, they are means, which do not
            agree in a formula with logarithms: the mean of a logarithm is not that of a mean.
    """
    place = {column.name: index for index, column in enumerate(schema.columns)}
    cells, free = cells.copy(), filled.copy()
    for formula in Dependencies.of(schema).formulas:
        if any(formula.logs) and not rounded:
            continue
        own = [place[name] for name in formula.columns]
        waiting = np.asarray(free[:, own].any(1))
        for at, (target, solved) in enumerate(zip(own, formula.solved, strict=True)):
            rows = np.flatnonzero(waiting & free[:, target])
            if solved and len(rows):
                columns = [schema.columns[each] for each in own]
                numbers = formula.value(at, numbers_of(columns, cells[rows][:, own]))
                cells[rows, target] = _inside(columns[at], numbers, cells[rows, target], rounded)
                waiting[rows] = False
        free[:, own] = False
    return cells


def _inside(column: Column, computed: Array, cells: Array, rounded: bool) -> Array:
    """Computed numbers as cells of a column; the present ones where they are no value of it, or
    outside its observed range."""
    found = cells_of(column, computed) if rounded or column.levels else computed
    if not column.levels and column.observed is not None:
        low, high = column.observed
        found = np.where((found >= low) & (found <= high), found, np.nan)
    return np.where(np.isfinite(found), found, cells)


def observed_cells(dataset: Dataset) -> Array:
    """Values in units of the table or codes of levels, NaN where they are not observed."""
    schema = dataset.schema
    values = schema.decode(schema.units(dataset.x.cpu())).astype(np.float64)
    if dataset.observed is None:
        return values
    seen = schema.data_kind.laid_out(schema, dataset.observed.cpu().numpy())
    return np.where(seen, values, np.nan)


def _filled(cells: Array, found: Array) -> Array:
    return np.where(np.isnan(cells), found, cells)


def _computed(
    formula: Formula, solved: Sequence[bool], columns: Sequence[Column], cells: Array
) -> Array:
    """The cells of a formula's columns, of which single missing ones are computed."""
    alone = np.isnan(cells).sum(1) == 1
    numbers = numbers_of(columns, cells)
    filled = cells.copy()
    for at, column in enumerate(columns):
        if solved[at]:
            rows = alone & np.isnan(cells[:, at])
            filled[rows, at] = cells_of(column, formula.value(at, numbers[rows]))
    return filled
