r"""What the fit did not see: broken dependencies between columns, and new values.

Normal rows show lookups, such as a city and its country, formulas, such as total = net + tax, and
orders, such as start <= end (``data.dependencies``). A row that breaks one costs -log p, the
estimate by n normal rows of which m break one of its sort:

.. math:: p = \frac{1 + m}{1 + n}

Few fitted rows break what was found in them. So m counts held-out rows. A lookup or formula is no
chance, and m is scaled from these rows to n. An order may hold by chance; therefore orders are
also found in four fifths of the fitted rows, and the rows of the other fifth that break one count.

Normal rows may have a few errors. So lookups and formulas are first found in parts of the rows, and
rows that break one of these are set aside if they are few; they count in m.

A wrong cell may break several dependencies, so a row costs as much as the costliest of them. Rows
that break an order, or a lookup that known rows break too, may be normal: in the combined score
they count half, like new values. A formula has no exceptions but errors.

A new level, or another value in a constant column, is a cell that the model cannot score, so it
counts as missing there. Its cost is the surprise at any new value of that column, by the estimate
of Good and Turing (Good 1953): if n1 of the n normal cells have a value that no other cell has,

.. math:: -\log p = \log \frac{n + 1}{n_1 + 1} + \log(1 + d)

An ordered number lies d ranges of the fitted numbers outside of these; for other values d is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.unseen import beyond_ends
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.determined import (
    KnownFormula,
    named_columns,
    observed_cells,
    without_errors,
)
from lowerbound.data.dependencies.formula_search import found_formulas
from lowerbound.data.dependencies.formulas import Formula, cells_of, numbers_of
from lowerbound.data.dependencies.lookups import Inequality, Lookup, found_lookups, found_orders
from lowerbound.data.schema import Schema

MOST_ROWS, MOST_COLUMNS = 20_000, 300  # in which dependencies are found
FOLDS = 5  # of the fitted rows, for orders


def unseen_costs(dataset: Dataset) -> Array | None:
    """Nats of a new value in each column of the schema, (columns,), by normal rows of a table;
    None for other data."""
    columns = dataset.schema.columns
    if not columns:
        return None
    costs = np.full(len(columns), np.log(len(dataset) + 1.0))
    values, observed = dataset.x.cpu().numpy(), dataset.mask.cpu().numpy()
    modeled = [place for place, column in enumerate(columns) if column.modeled]
    for position, place in enumerate(modeled):
        if columns[place].levels:
            codes = np.rint(values[observed[:, position], position]).astype(np.int64)
            once = (np.unique(codes, return_counts=True)[1] == 1).sum()
            costs[place] = np.log((len(codes) + 1) / (once + 1))
    return costs


def unseen_nats(unseen: Array, costs: Array) -> Array:
    """Nats of the values that the fit did not see, (rows, columns).

    Args:
        unseen: as in ``Dataset``.
        costs: of a new value of each column.
    """
    return np.asarray(np.where(unseen > 0, costs + np.log(np.maximum(unseen, 1.0)), 0.0))


@dataclass(frozen=True, eq=False)
class Broken:
    """The rows that break a dependency.

    Attributes:
        dependency: with the names of its columns and a summary.
        nats: what it costs to break it.
        rows: whether each row breaks it, (rows,).
        cells: of the rows, (rows, columns of the schema), units of the table or codes of levels.
    """

    dependency: Lookup | Formula | Inequality
    nats: float
    rows: Array
    cells: Array

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        return self.dependency.columns

    def in_words(
        self, schema: Schema, row: int, texts: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The cells of a row by column, and what the others give where it is something else.

        Args:
            schema: of the rows.
            row: its number.
            texts: its cells as they stand in the file, by column; None: they are not known.
        """
        columns, places = named_columns(schema.columns, self.columns)
        own = self.cells[row, places]
        given = self._given(columns, own)
        found = {}
        for column, cell, other in zip(columns, own, given, strict=True):
            text = cell_text(column, cell)
            differs = np.isfinite(other) and cell_text(column, other) != text
            shown = text if texts is None else texts.get(column.name, text)
            found[column.name] = f"{shown}, not {cell_text(column, other)}" if differs else shown
        return found

    def _given(self, columns: Sequence[Column], cells: Array) -> Array:
        """What the others give for each cell of a row, (columns,); NaN: nothing."""
        given, cells = np.full(len(cells), np.nan), cells[None]
        if isinstance(self.dependency, Lookup):
            return np.asarray(self.dependency.listed(cells)[0])
        if isinstance(self.dependency, Formula):
            at = self.dependency.solved_for
            number, column = self.dependency.value(at, numbers_of(columns, cells)), columns[at]
            # a number may lie beyond the ends of its column, to which ``cells_of`` would set it
            found = column.rules.lattice.nearest(number)
            given[at] = cells_of(column, number)[0] if column.levels else found[0]
        return given


@dataclass(frozen=True)
class NormalDependencies:
    """The dependencies of normal rows.

    Attributes:
        lookups, formulas, orders: that they fulfill.
        costs: nats of a row that breaks a lookup, a formula, or an order.
        certain: whether no known row breaks each of the lookups.
    """

    lookups: tuple[Lookup, ...] = ()
    formulas: tuple[KnownFormula, ...] = ()
    orders: tuple[Inequality, ...] = ()
    costs: tuple[float, float, float] = (0.0, 0.0, 0.0)
    certain: tuple[bool, ...] = ()

    @classmethod
    def of(cls, seen: Dataset, fresh: Dataset | None = None) -> NormalDependencies | None:
        """Those of the rows of a table; None: there are none, or many columns.

        Args:
            seen: normal rows, in which they are found.
            fresh: other normal rows.
        """
        schema = seen.schema
        if not schema.columns or not schema.data_kind.matrix:
            return None
        if len(schema.modeled) > MOST_COLUMNS:
            return None
        cells = _cells(seen.thinned(MOST_ROWS))
        others = cells[:0] if fresh is None else _cells(fresh.thinned(MOST_ROWS))
        found = cls._of_cells(schema, cells[_right(schema, cells)])
        alike = [each.columns for each in found.lookups]
        columns, values = _modeled(schema, cells)
        found = replace(found, orders=found_orders(columns, values, (), alike))
        if found == cls():
            return None
        by_chance = _breaking_orders(columns, values, alike) if found.orders else 0
        return found._counted(schema, cells, others, by_chance)

    @classmethod
    def _of_cells(cls, schema: Schema, cells: Array) -> NormalDependencies:
        """The lookups and formulas that all rows fulfill; cells: (rows, columns of the schema)."""
        columns, values = _modeled(schema, cells)
        formulas: dict[frozenset[str], Formula] = {}
        for places in _near(schema, columns):
            for formula in found_formulas([columns[at] for at in places], values[:, places]):
                formulas.setdefault(frozenset(formula.columns), formula)
        return cls(
            found_lookups(columns, values),
            tuple(KnownFormula.of(each, columns, values) for each in formulas.values()),
        )

    def _counted(
        self, schema: Schema, cells: Array, others: Array, by_chance: int
    ) -> NormalDependencies:
        """These with ``costs`` and ``certain``.

        Args:
            schema: of the rows.
            cells, others: of the fitted and the held-out rows, (rows, columns of the schema).
            by_chance: fitted rows that break orders which others of them show.
        """
        sorts = self._by_sort(schema, np.concatenate([cells, others]))
        every, fitted = len(cells) + len(others), len(cells)
        nothing = np.zeros(every, dtype=bool)
        broken = np.stack([np.any([nothing, *(one.rows for one in sort)], 0) for sort in sorts])
        held_out = broken[:, fitted:].sum(1)
        counts = np.maximum(broken.sum(1), every / max(len(others), 1) * held_out)
        counts[2] = by_chance + held_out[2]
        first, second, third = np.log((1 + every) / (1 + counts)).tolist()
        certain = tuple(not each.rows.any() for each in sorts[0])
        return replace(self, costs=(first, second, third), certain=certain)

    def broken(self, rows: Dataset) -> list[Broken]:
        """The rows that break each dependency."""
        return [each for sort in self._by_sort(rows.schema, _cells(rows)) for each in sort]

    def nats(self, rows: Dataset) -> Array:
        """What it costs to break certain lookups and formulas, and to break other lookups and
        orders, (rows, 2)."""
        certain = (*self.certain, *(True for _ in self.formulas), *(False for _ in self.orders))
        found = np.zeros((len(rows), 2))
        for each, sure in zip(self.broken(rows), certain, strict=True):
            side = 0 if sure else 1
            found[:, side] = np.maximum(found[:, side], each.nats * each.rows)
        return found

    def nats_of_columns(self, rows: Dataset) -> Array:
        """``nats``, in equal shares of the columns of the costliest dependency, (rows, columns of
        the schema)."""
        nats = np.zeros((len(rows), len(rows.schema.columns)))
        for each in self.broken(rows):
            _, places = named_columns(rows.schema.columns, each.columns)
            more = each.rows & (nats.sum(1) < each.nats)
            nats[more] = 0.0
            nats[np.ix_(more, places)] = each.nats / len(places)
        return nats

    def _by_sort(
        self, schema: Schema, cells: Array
    ) -> tuple[list[Broken], list[Broken], list[Broken]]:
        of_lookup, of_formula, of_order = self.costs

        def own(names: Sequence[str]) -> Array:
            return cells[:, named_columns(schema.columns, names)[1]]

        return (
            [
                Broken(each, of_lookup, each.broken(own(each.columns)), cells)
                for each in self.lookups
            ],
            [
                Broken(each.formula, of_formula, each.broken(schema.columns, cells), cells)
                for each in self.formulas
            ],
            [
                Broken(each, of_order, each.broken(*own(each.columns).T), cells)
                for each in self.orders
            ],
        )


def _near(schema: Schema, columns: Sequence[Column]) -> list[list[int]]:
    """Places of columns between which formulas are searched: all, or those of neighboring times.

    In windows of a series all columns of all times would be many, and far ones have no formulas.
    """
    every = list(range(len(columns)))
    if schema.windows is None or schema.windows.length <= 2:
        return [every]
    times = [int(column.name.rpartition("@")[2]) for column in columns]
    return [
        [at for at in every if times[at] in (time, time + 1)]
        for time in range(schema.windows.length - 1)
    ]


def _right(schema: Schema, cells: Array) -> Array:
    """Rows that break no lookup or formula which some rows show and nearly all fulfill, (rows,)."""

    def broken(part: Array) -> Iterator[Array]:
        for sort in NormalDependencies._of_cells(schema, part)._by_sort(schema, cells):
            yield from (each.rows for each in sort)

    return without_errors(cells, broken)


def _breaking_orders(
    columns: Sequence[Column], values: Array, alike: Sequence[Sequence[str]]
) -> int:
    """Rows of each fold that break an order which the others show, in all."""
    place = {column.name: at for at, column in enumerate(columns)}
    fold, breaking = np.arange(len(values)) % FOLDS, 0
    for apart in range(FOLDS):
        rows = values[fold == apart]
        broken = np.zeros(len(rows), dtype=bool)
        for order in found_orders(columns, values[fold != apart], (), alike):
            broken |= order.broken(rows[:, place[order.lower]], rows[:, place[order.upper]])
        breaking += int(broken.sum())
    return breaking


def cell_text(column: Column, cell: float) -> str:
    """A cell in units of the table, or a code of a level, as text."""
    import pandas as pd

    return "missing" if np.isnan(cell) else str(pd.Series(column.rules.typed(np.array([cell])))[0])


def _modeled(schema: Schema, cells: Array) -> tuple[list[Column], Array]:
    """The modeled columns, and their cells."""
    places = [place for place, column in enumerate(schema.columns) if column.modeled]
    return [schema.columns[place] for place in places], cells[:, places]


def _cells(rows: Dataset) -> Array:
    """``observed_cells``, with the numbers beyond the ends of model units as the table has them;
    NaN where these are not known."""
    cells = observed_cells(rows)
    units = rows.x.cpu().numpy()
    modeled = [place for place, column in enumerate(rows.schema.columns) if column.modeled]
    for position, place in enumerate(modeled):
        cells[beyond_ends(rows.schema.columns[place], units[:, position]), place] = np.nan
    if rows.beyond is None:
        return cells
    beyond = rows.beyond.cpu().numpy()
    return np.where(np.isnan(beyond), cells, beyond)
