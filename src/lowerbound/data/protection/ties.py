"""Columns that belong together: what protects one cell of them keeps them together.

Such are a city and its country, a start and an end, a sum and its parts. Cells are taken from rows
that are like others (a hot deck).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dependencies.determined import formulas_beside_errors
from lowerbound.data.dependencies.formulas import Formula, cells_of, numbers_of
from lowerbound.data.dependencies.lookups import Inequality, Lookup, found_lookups, found_orders
from lowerbound.data.protection.record import People
from lowerbound.data.synthetic.constraints import Constraints

MOST_DONORS = 512  # that each row is compared with
NEAREST = 5  # donors, of which one is taken by chance
AT_ONCE = 1 << 22  # comparisons
CLOSE = 10.0  # weight of columns that are tied to those that are taken


@dataclass(frozen=True, eq=False)
class SimilarRows:
    """Compares rows by all their columns.

    Attributes:
        numbers: ranks of each column of numbers between 0 and 1, NaN where missing.
        levels: codes of each column of levels, NaN where missing.
    """

    numbers: Mapping[str, Array]
    levels: Mapping[str, Array]

    @classmethod
    def of(cls, values: Mapping[str, Array], leveled: Collection[str]) -> SimilarRows:
        """Those of a table; ``leveled`` names its columns of codes."""
        numbers = {name: _ranks(each) for name, each in values.items() if name not in leveled}
        return cls(numbers, {name: each for name, each in values.items() if name in leveled})

    def donors(
        self,
        rows: Array,
        pool: Array,
        without: Collection[str],
        close: Collection[str],
        draw: np.random.Generator,
        most: Array | None = None,
    ) -> Array:
        """For each of some rows a row of the pool that is like it, (rows,).

        Args:
            rows: numbers of the rows.
            pool: numbers of possible donors.
            without: columns that are not compared.
            close: columns that are to agree first of all.
            draw: decides which donors are compared, and which of the nearest is taken.
            most: for how many rows each row of the table may be taken, as long as there are
                others, (table's rows,); None: any number.
        """
        some = draw.choice(pool, min(len(pool), MOST_DONORS), replace=False)
        left = np.full(len(some), np.inf) if most is None else most[some]
        limited = not np.isinf(left).all()
        found = np.empty(len(rows), dtype=np.int64)
        size = max(1, AT_ONCE // len(some))
        for start in range(0, len(rows), size):
            far = self._distances(rows[start : start + size], some, without, close)
            if not limited:
                found[start : start + size] = some[_near(far, draw)]
                continue
            for place in range(len(far)):
                free = np.flatnonzero(left > 0) if (left > 0).any() else np.arange(len(some))
                taken = free[_near(far[place : place + 1, free], draw)[0]]
                left[taken] -= 1
                found[start + place] = some[taken]
        return found

    def _distances(
        self, rows: Array, donors: Array, without: Collection[str], close: Collection[str]
    ) -> Array:
        far = np.zeros((len(rows), len(donors)), dtype=np.float32)
        for name, each in {**self.numbers, **self.levels}.items():
            if name in without:
                continue
            weight = CLOSE if name in close else 1.0
            own, other = each[rows].astype(np.float32), each[donors].astype(np.float32)
            if name in self.levels:
                own, other = np.nan_to_num(own, nan=-1), np.nan_to_num(other, nan=-1)
                far += weight * (own[:, None] != other)
                continue
            apart = np.abs(own[:, None] - other)
            gone = np.isnan(own)[:, None] != np.isnan(other)
            far += weight * np.where(np.isnan(apart), gone, apart)
        return far


def _near(far: Array, draw: np.random.Generator) -> Array:
    """For each row, by its distances from donors, one of the nearest: among ties, and near ones, by
    chance; never a farther one in the tied columns, (rows,)."""
    count = min(NEAREST, far.shape[1])
    nearest = np.argpartition(far, count - 1, axis=1)[:, :count]
    level = np.take_along_axis(far, nearest, 1) < far.min(1, keepdims=True) + 0.5 * CLOSE
    chance = draw.random(nearest.shape) * level
    return np.asarray(nearest[np.arange(len(far)), chance.argmax(1)])


def _ranks(values: Array) -> Array:
    """The share of values that are smaller, NaN where missing."""
    there = np.isfinite(values)
    found = np.full(len(values), np.nan)
    present = np.sort(values[there])
    found[there] = np.searchsorted(present, values[there]) / max(1, len(present))
    return found


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
