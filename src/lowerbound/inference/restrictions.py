"""What a column of a row may be, given known columns: windows, combinations, lookups, formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.dependencies.formulas import Formula, cells_of, numbers_of
from lowerbound.data.dependencies.lookups import Lookup
from lowerbound.data.synthetic.column_form import ColumnForm
from lowerbound.data.synthetic.constraints import Combination
from lowerbound.data.synthetic.form import TableForm

AT_MOST, BELOW = 1, 2  # entries of the order of two columns


@dataclass(frozen=True, eq=False)
class Restrictions:
    """The ranges, inequalities and combinations of modeled columns, in original units.

    Attributes:
        columns: the modeled columns, in the order of x.
        forms: of these columns.
        low, high: range of each column, (columns,); infinite for levels.
        order: ``AT_MOST`` or ``BELOW`` where the row's column is so related to the other, 0 else,
            (columns, columns).
        combinations: each with the places of its columns.
        lookups, formulas: each with the places of its columns.
        complete: whether no drawn cell is missing.
        mapped: whether drawn values are mapped to those of the fitted rows, if the model learned
            how.
    """

    columns: tuple[Column, ...]
    forms: tuple[ColumnForm, ...]
    low: Array
    high: Array
    order: Array
    combinations: tuple[tuple[tuple[int, ...], Combination], ...]
    lookups: tuple[tuple[tuple[int, ...], Lookup], ...] = ()
    formulas: tuple[tuple[tuple[int, ...], Formula], ...] = ()
    complete: bool = False
    mapped: bool = True

    @classmethod
    def of(
        cls,
        form: TableForm,
        columns: Sequence[Column],
        complete: bool = False,
        mapped: bool = True,
    ) -> Restrictions:
        """The restrictions of a table's form."""
        place = {column.name: index for index, column in enumerate(columns)}
        by_name = {each.name: each for each in form.columns}
        forms = tuple(by_name[column.name] for column in columns)
        low = np.array([-np.inf if each.low is None else each.low for each in forms])
        high = np.array([np.inf if each.high is None else each.high for each in forms])
        for limit in form.constraints.ranges:
            index = place[limit.column]
            lattice = forms[index].lattice
            if limit.low is not None:
                low[index] = max(low[index], lattice.at_least(np.array(limit.low)))
            if limit.high is not None:
                high[index] = min(high[index], lattice.at_most(np.array(limit.high)))
        order = np.zeros((len(columns), len(columns)), dtype=np.int8)
        for each in form.inequalities:
            pair = place[each.lower], place[each.upper]
            order[pair] = max(order[pair], BELOW if each.strict else AT_MOST)
        combinations = tuple(
            (tuple(place[name] for name in each.columns), each)
            for each in form.constraints.combinations
        )
        lookups = tuple(
            (tuple(place[name] for name in each.columns), each)
            for each in form.dependencies.lookups
        )
        formulas = tuple(
            (tuple(place[name] for name in each.columns), each)
            for each in form.dependencies.formulas
        )
        limits = (low, high, order, combinations, lookups, formulas)
        return cls(tuple(columns), forms, *limits, complete, mapped)

    def check(self) -> None:
        """Check that the combinations and the levels that no row has are levels of their columns.

        Raises:
            ValueError: one is not.
        """
        codes = [(places, self.tables[each.columns]) for places, each in self.combinations]
        unused = [((at,), np.array(form.unused)) for at, form in enumerate(self.forms)]
        for places, values in [*codes, *unused]:
            for place, own in zip(places, values.reshape(-1, len(places)).T, strict=True):
                most = len(self.columns[place].levels)
                known = own[~np.isnan(own)]
                if most and not ((known >= 0) & (known < most) & (known % 1 == 0)).all():
                    raise ValueError(f"column {self.columns[place].name!r} has {most} levels")

    @property
    def constrained(self) -> bool:
        """Whether the value of a column restricts another."""
        return bool(self.order.any()) or bool(self.combinations)

    def lattice(self, place: int) -> Lattice:
        """The resolution of a column."""
        return self.forms[place].lattice

    def may_miss(self, place: int) -> bool:
        """Whether a drawn cell of a column may be missing."""
        return self.forms[place].missing > 0 and not self.complete

    def window(self, place: int, values: Array, known: Array) -> tuple[Array, Array]:
        """Smallest and largest value of a column in each row, (rows,) each.

        Every value between them leaves room for the columns that are not known yet, except for
        those that may be missing.

        Args:
            place: of the column.
            values: (rows, columns); NaN where unknown or missing.
            known: which columns are known, (rows, columns); a missing one restricts no other.
        """
        if self.columns[place].levels:
            return np.full(len(values), -np.inf), np.full(len(values), np.inf)
        return (
            self._end(place, values, known, below=False, seen=()),
            self._end(place, values, known, below=True, seen=()),
        )

    def _end(
        self, place: int, values: Array, known: Array, *, below: bool, seen: tuple[int, ...]
    ) -> Array:
        """The largest value that the columns above leave, or the smallest by those below.

        The ends of unknown columns come from the columns beyond them.
        """
        lattice, seen = self.lattice(place), (*seen, place)
        end = np.full(len(values), (self.high if below else self.low)[place])
        related = self.order[place] if below else self.order[:, place]
        for other in np.flatnonzero(related).tolist():
            if other in seen:
                continue
            beyond: Array | float = np.nan
            if not self.may_miss(other):
                beyond = self._end(other, values, known, below=below, seen=seen)
            ends = np.where(known[:, other], values[:, other], beyond)
            strictly = bool(related[other] == BELOW)
            if below:
                end = np.fmin(end, lattice.at_most(ends, strictly))
            else:
                end = np.fmax(end, lattice.at_least(ends, strictly))
        return end

    def narrows(self, place: int) -> bool:
        """Whether the window of a column may be narrower than its cells."""
        form = self.forms[place]
        inside = self.low[place] == form.low and self.high[place] == form.high
        related = self.order[place].any() or self.order[:, place].any()
        return not self.columns[place].levels and (bool(related) or not inside)

    def broken(self, values: Array, known: Array) -> list[str]:
        """Descriptions of what some rows do not fulfill, in the known columns; none if all do.

        Args:
            values: (rows, columns), NaN where unknown or missing.
            known: which columns are known, (rows, columns).
        """
        found = []
        for place, column in enumerate(self.columns):
            if column.levels:
                continue
            low, high = self.window(place, values, known)
            with np.errstate(invalid="ignore"):
                wrong = (values[:, place] < low) | (values[:, place] > high)
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                found.append(
                    f"{column.name!r} lies between {self.written(place, low[row])} and "
                    f"{self.written(place, high[row])} there, but is "
                    f"{self.written(place, values[row, place])}"
                )
        for places, each in self.combinations:
            if not self.matches(each, places, values, known).any(1).all():
                found.append(f"this combination of {listed(list(each.columns))} does not occur")
        return found

    def computed(self, values: Array, given: Array) -> tuple[Array, Array]:
        """(rows with the columns that formulas give, which rows have the lookups, formulas and
        ranges of the fitted rows). Of a row that does not, the cells are those that were drawn.

        A formula gives its first column. Where that is given, or follows from another formula, it
        gives another column, and this is done first.

        Args:
            values: complete rows, (rows, columns), NaN where missing.
            given: cells that stay, (rows, columns).
        """
        found, right = values.copy(), self._by_lookups(values, given)
        if not self.formulas:
            return found, right
        own = sorted({at for places, _ in self.formulas for at in places})
        patterns, pattern = np.unique(given[:, own], axis=0, return_inverse=True)
        for number, some in enumerate(patterns):
            rows = np.flatnonzero(pattern.ravel() == number)
            final = np.zeros(values.shape[1], dtype=bool)
            final[own] = some
            found[rows] = self._solved(found[rows], final)
        for places, formula in self.formulas:
            wrong = formula.broken([self.columns[at] for at in places], found[:, places])
            right &= ~wrong | given[:, places].all(1)
        right &= (np.isnan(found) == np.isnan(values)).all(1)
        right &= self._inside(found, given)
        return np.where(right[:, None], found, values), right

    def _solved(self, values: Array, final: Array) -> Array:
        """Rows with the columns that formulas give, (rows, columns).

        Args:
            values: complete rows, (rows, columns), NaN where missing.
            final: columns that stay, (columns,); they are more after each formula.
        """
        found, final, waiting = values.copy(), final.copy(), list(self.formulas)
        counts = np.bincount([at for places, _ in self.formulas for at in places])
        while waiting:
            forced = [each for each in waiting if final[each[0][0]]]
            places, formula = chosen = (forced or waiting)[0]
            waiting.remove(chosen)
            free = [
                at for at, place in enumerate(places) if formula.solved[at] and not final[place]
            ]
            if free:
                at = min(free, key=lambda each: (each > 0, counts[places[each]]))
                rows = np.flatnonzero(~np.isnan(values[:, places]).any(1))
                found[rows, places[at]] = self._by_formula(places, formula, at, found[rows])
            final[list(places)] = True
        return found

    def contradicted(self, values: Array, known: Array) -> list[tuple[int, str]]:
        """The formulas and lookups that given cells break on their own, each with the first row
        that does.

        Args:
            values: (rows, columns), NaN where unknown or missing.
            known: which columns are given, (rows, columns).
        """
        given, broken = np.where(known, values, np.nan), []
        for places, formula in self.formulas:
            wrong = formula.broken([self.columns[at] for at in places], given[:, places])
            broken.append((wrong, formula.summary))
        for places, lookup in self.lookups:
            broken.append((lookup.broken(given[:, places]), lookup.summary))
        return [(int(np.flatnonzero(wrong)[0]), text) for wrong, text in broken if wrong.any()]

    def _by_lookups(self, values: Array, given: Array) -> Array:
        """Whether rows break no lookup, unless two of its columns are given, (rows,)."""
        right = np.ones(len(values), dtype=bool)
        for places, lookup in self.lookups:
            drawn = given[:, places].sum(1) < 2
            right &= ~(drawn & lookup.broken(values[:, places]))
        return right

    def _by_formula(self, own: tuple[int, ...], formula: Formula, at: int, values: Array) -> Array:
        """The value of a column of a formula in each row; NaN: it is none of its levels."""
        place = own[at]
        numbers = formula.value(
            at, numbers_of([self.columns[each] for each in own], values[:, own])
        )
        found = cells_of(self.columns[place], numbers)
        return np.where(np.isnan(numbers), values[:, place], found)

    def _inside(self, values: Array, given: Array) -> Array:
        """Whether the columns of formulas that are not given lie in their windows, (rows,); all do
        beside a given cell that leaves its range."""
        with np.errstate(invalid="ignore"):
            beyond = (given & ((values < self.low) | (values > self.high))).any(1)
        known, inside = np.ones(values.shape, dtype=bool), np.ones(len(values), dtype=bool)
        for place in {at for own, _ in self.formulas for at in own}:
            low, high = self.window(place, values, known)
            with np.errstate(invalid="ignore"):
                outside = (values[:, place] < low) | (values[:, place] > high)
            inside &= ~outside | given[:, place]
        return np.asarray(inside | beyond)

    def written(self, place: int, value: float) -> str:
        """A value as the table writes it."""
        column = self.columns[place]
        if not np.isfinite(value) or column.levels:
            return str(value)
        return str(column.rules.typed(np.array([value]))[0])

    def matches(
        self, each: Combination, places: Sequence[int], values: Array, known: Array
    ) -> Array:
        """Which combinations agree with the known columns, (rows, combinations)."""
        options = self.tables[each.columns]
        agree = np.ones((len(values), len(options)), dtype=bool)
        for index, place in enumerate(places):
            cells, allowed = values[:, place, None], options[None, :, index]
            same = (cells == allowed) | (np.isnan(cells) & np.isnan(allowed))
            agree &= same | ~known[:, place, None]
        return agree

    @cached_property
    def tables(self) -> Mapping[tuple[str, ...], Array]:
        """The combinations as numbers, by their columns; complete ones only, if rows are complete
        and there are any."""
        found = {each.columns: each.values for _, each in self.combinations}
        if not self.complete:
            return found
        whole = {names: rows[~np.isnan(rows).any(1)] for names, rows in found.items()}
        return {names: rows if len(rows) else found[names] for names, rows in whole.items()}
