"""Columns that belong together, as a city and its country, a start and an end, a sum and its parts:
what protects one cell of them keeps them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.errors import formulas_beside_errors
from lowerbound.data.dependencies.formulas import Formula, cells_of, numbers_of
from lowerbound.data.dependencies.lookups import Lookup, found_lookups
from lowerbound.data.dependencies.orders import Inequality, found_orders
from lowerbound.data.protection.people import People
from lowerbound.data.synthetic.constraints import Constraints


@dataclass(frozen=True, eq=False)
class Ties:
    """What the rows of a table fulfill.

    Attributes:
        columns: of the table, by name.
        lookups, formulas, orders: as found and declared.
        combinations: names of the columns of each declared combination.
    """

    columns: Mapping[str, Column]
    lookups: tuple[Lookup, ...]
    formulas: tuple[Formula, ...]
    orders: tuple[Inequality, ...]
    combinations: tuple[tuple[str, ...], ...]

    @classmethod
    def of(
        cls, columns: Sequence[Column], values: Mapping[str, Array], declared: Constraints
    ) -> Ties:
        """Those of the modeled columns, found as for the form of the table."""
        matrix = np.stack([values[column.name] for column in columns], 1)
        lookups = found_lookups(columns, matrix, declared.compared)
        alike = [each.columns for each in lookups]
        return cls(
            {column.name: column for column in columns},
            lookups,
            formulas_beside_errors(columns, matrix, declared.compared.union(*alike)),
            (*declared.inequalities, *found_orders(columns, matrix, declared.compared, alike)),
            tuple(each.columns for each in declared.combinations),
        )

    @property
    def groups(self) -> list[list[str]]:
        """The columns that are tied to each other, directly or by others."""
        sets: list[set[str]] = []
        for names in self._each():
            joined = set(names).union(*(each for each in sets if not each.isdisjoint(names)))
            sets = [each for each in sets if each.isdisjoint(names)] + [joined]
        return [[name for name in self.columns if name in each] for each in sets]

    def _each(self) -> Iterable[Sequence[str]]:
        yield from (each.columns for each in self.lookups)
        yield from (each.columns for each in self.formulas)
        yield from (each.columns for each in self.orders)
        yield from self.combinations

    def broken(self, values: Mapping[str, Array], group: Sequence[str]) -> Array:
        """Which rows break a lookup, a formula or an order of a group, (rows,)."""
        found = np.zeros(len(next(iter(values.values()))), dtype=bool)
        for lookup in self.lookups:
            if lookup.columns[0] in group:
                found |= lookup.broken(np.stack([values[name] for name in lookup.columns], 1))
        for formula in self.formulas:
            if formula.columns[0] in group:
                some = [self.columns[name] for name in formula.columns]
                cells = np.stack([values[name] for name in formula.columns], 1)
                found |= _broken(formula, some, cells)
        for order in self.orders:
            if order.lower in group:
                found |= order.broken(values[order.lower], values[order.upper])
        return found

    def computed(
        self, values: Mapping[str, Array], original: Mapping[str, Array], group: Sequence[str]
    ) -> tuple[dict[str, Array], Array]:
        """(the values of a group, in which rows that fulfilled a formula before some cells were
        moved fulfill it again; which rows could not, (rows,)).

        In each row a column is computed from the others that was not moved itself.
        """
        found = {name: values[name].copy() for name in group}
        torn = np.zeros(len(next(iter(values.values()))), dtype=bool)
        for formula in self.formulas:
            if not set(formula.columns) <= set(group):
                continue
            some = [self.columns[name] for name in formula.columns]
            before = np.stack([original[name] for name in formula.columns], 1)
            cells = np.stack([found[name] for name in formula.columns], 1)
            moved = (cells != before) & np.isfinite(before)
            left = moved.any(1) & np.isfinite(cells).all(1) & ~_broken(formula, some, before)
            for at in np.flatnonzero(formula.solved).tolist():
                rows = np.flatnonzero(left & ~moved[:, at])
                if some[at].levels or not len(rows):
                    continue
                name = formula.columns[at]
                made = cells_of(some[at], formula.value(at, numbers_of(some, cells[rows])))
                inside = (made >= np.nanmin(values[name])) & (made <= np.nanmax(values[name]))
                after = cells[rows].copy()
                after[:, at] = made
                inside &= _is_exact(formula, some, after)
                found[name][rows[inside]] = made[inside]
                left[rows[inside]] = False
            torn |= left
        return found, torn

    def rare(self, values: Mapping[str, Array], group: Sequence[str], people: People) -> Array:
        """Which rows have a combination of a group that too few people have, (rows,)."""
        found = np.zeros(len(people.of_row), dtype=bool)
        for names in self.combinations:
            if names[0] in group:
                cells = np.nan_to_num(np.stack([values[name] for name in names], 1), nan=np.inf)
                codes = np.unique(cells, axis=0, return_inverse=True)[1].ravel()
                every = np.ones(len(codes), dtype=bool)
                found |= ~people.enough(codes, every, int(codes.max()) + 1)[codes]
        return found


def _is_exact(formula: Formula, columns: Sequence[Column], cells: Array) -> Array:
    """Whether rows give each column that the formula gives exactly, (rows,)."""
    right = np.ones(len(cells), dtype=bool)
    for at in np.flatnonzero(formula.exact).tolist():
        made = cells_of(columns[at], formula.value(at, numbers_of(columns, cells)))
        own = cells[:, at]
        right &= np.abs(made - own) <= np.maximum(columns[at].rules.lattice.step, 1e-9 * abs(own))
    return right


def _broken(formula: Formula, columns: Sequence[Column], cells: Array) -> Array:
    return np.nan_to_num(formula.broken(columns, cells)).astype(bool)
