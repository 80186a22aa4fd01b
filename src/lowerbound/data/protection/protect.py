r"""Protect a table: no value stays in it that fewer than k entities have.

A level is frequent if at least k entities have it. Cells that identify people become ``FRESH``, and
free text is left out. Rare levels take the level of a similar row, and numbers and dates are
bounded (``numbers``). All of this happens before a model is fitted, so that neither the model nor
any way of drawing from it knows a rare value.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.columns.inference import Hint
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.data.columns.values import factorized, level_name as text_of, missing
from lowerbound.data.protection.identity import FRESH, FreshCells, Identity, identifying, pool_of
from lowerbound.data.protection.numbers import ProtectedNumbers, drawn_from, protected_numbers
from lowerbound.data.protection.record import (
    LEAST_PEOPLE,
    ColumnProtection,
    People,
    Protection,
    Role,
)
from lowerbound.data.protection.ties import SimilarRows, Ties
from lowerbound.data.synthetic.column_form import ColumnForm, in_type_or_wide
from lowerbound.data.synthetic.constraints import ConstraintReader, sides
from lowerbound.data.synthetic.form import read_for_synthesis
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.numbers import notations_of, with_numbers
from lowerbound.errors import DataError, counted

OTHER = {"other", "others", "andere", "sonstige", "sonstiges", "autre", "autres", "otro", "otros",
         "altro", "altri", "outro", "outros", "overig", "inne"}  # fmt: skip
NAMES = ("names of people", "addresses")  # of which several people may have one
FREE_TEXT = "free text"


@dataclass(frozen=True, eq=False)
class ProtectedTable:
    """A protected table.

    Attributes:
        frame: the rows; cells that identify people are ``FRESH``.
        record: what was protected.
        fresh: of the columns that identify people, by name.
        people: the entities; None: values are not protected.
        kinds: of columns, as given, without rare levels.
    """

    frame: Any
    record: Protection
    fresh: Mapping[str, FreshCells] = field(default_factory=dict)
    people: People | None = None
    kinds: Mapping[str, Hint] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProtectionOptions:
    """What is said of a table whose values are protected, for synthetic rows.

    Attributes:
        least_people: k; 1 changes nothing.
        entity: the column whose values are the entities; None: each row is one.
        kinds: of columns, if the inferred ones are wrong; a column with a given kind other than
            "identifier" identifies nobody.
        dialect: of the file of the rows, which synthetic rows are written in; None: a usual one.
        constraints: ranges and inequalities, such as "age >= 18" or "start <= end", which stay
            true.
        combinations: names of the columns of each fixed combination, such as ("city", "country"),
            of which rare ones go.
        seed: of the donors of rare cells, and of a fit.
    """

    least_people: int = LEAST_PEOPLE
    entity: str | None = None
    kinds: Mapping[str, Hint] | None = None
    dialect: Dialect | None = None
    constraints: Sequence[str] = ()
    combinations: Sequence[Sequence[str]] = ()
    seed: int = 0

    @property
    def compared(self) -> list[str]:
        """The names and numbers that the constraints compare."""
        return [side for sentence in self.constraints for side in sides(sentence)]


def protected_table(frame: Any, options: ProtectionOptions) -> ProtectedTable:
    """Protect the values of a table.

    Args:
        frame: the rows, a pandas frame.
        options: what is said of them.

    Raises:
        DataError: there are fewer than k entities, or the rows cannot be read.
        OptionError: k is below 1, there is no such column, or a constraint cannot be parsed.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    record = Protection(options.least_people, options.entity or "", 0)
    if options.least_people == 1:
        return ProtectedTable(frame, record, kinds=dict(options.kinds or {}))
    people = People.of(frame, options.entity, options.least_people)
    work = _Work(frame.reset_index(drop=True), people, options)
    work.identities()
    work.refuse_nothing_left()
    work.read(options)
    work.levels()
    work.numbers()
    work.ties_kept()
    work.replaced()
    work.refuse_constants()
    made = work.written().set_axis(frame.index, axis=0)
    order = {name: place for place, name in enumerate(frame.columns)}
    columns = tuple(sorted(work.notes, key=lambda each: order[each.name]))
    record = replace(
        record, entities=len(people), columns=columns, people_column=work.people_column
    )
    return ProtectedTable(made, record, work.fresh, people, work.known_kinds())


class _Work:
    """The protection of one table, step by step.

    Args:
        frame: the rows.
        people: their entities.
        options: what is said of them.
    """

    def __init__(self, frame: Any, people: People, options: ProtectionOptions) -> None:
        self.frame, self.people, self.entity = frame, people, options.entity
        self.kinds = dict(options.kinds or {})
        self.draw = np.random.default_rng(options.seed)
        self.notes: list[ColumnProtection] = []
        self.fresh: dict[str, FreshCells] = {}
        self.people_column = ""
        self.hidden: set[str] = set()
        self.columns: dict[str, Column] = {}
        self.values: dict[str, Array] = {}
        self.rare: dict[str, Array] = {}
        self.frequent: dict[str, Array] = {}
        self.empty: set[str] = set()
        self.moved: dict[str, ProtectedNumbers] = {}
        self.others: dict[str, int] = {}

    # Columns that identify people

    def identities(self) -> None:
        """Replace the cells of columns that identify people, and leave out free text."""
        for name in self.frame.columns:
            known = self._identity(name)
            if known is not None:
                self._hide(name, known)

    def refuse_nothing_left(self) -> None:
        """Raise DataError if every column identifies people or is free text."""
        if self.hidden == set(self.frame.columns):
            first = self.frame.columns[0]
            raise DataError(
                f"each column identifies rows or is free text ({listed(list(self.frame.columns))}):"
                f" nothing is left to model; if one does not, name its kind, as in --kind "
                f"{first}=categorical"
            )

    def _identity(self, name: str) -> Identity | None:
        hint = self.kinds.get(name)
        kind = hint if isinstance(hint, str) or hint is None else str(hint.get("kind"))
        outside = kind is not None and kind in COLUMN_KINDS and not COLUMN_KINDS[kind].kept
        if name == self.entity or outside:
            return Identity("identifiers", "it is named so")
        return identifying(name, self.frame[name]) if kind is None else None

    def _hide(self, name: str, known: Identity) -> None:
        series = self.frame[name]
        there = ~missing(series)
        self.kinds.pop(name, None)
        codes, distinct = factorized(series.where(there))
        codes = np.where(there, codes, -1)
        if known.role == FREE_TEXT or not there.any():
            category = str(series.dtype) == "category"
            self.frame[name] = (series.astype(object) if category else series).mask(there, None)
            self.hidden.add(name)
            if there.any():
                how = "left empty, because it is free text"
                self._note(name, "free text", how, len(distinct), int(there.sum()))
            return
        enough = self.people.enough(codes[there], there, len(distinct))
        if known.what not in NAMES or self.entity is None:  # k rows may be those of one person
            enough[:] = False
        hidden = there & ~enough[codes]
        size, cells = int((~enough).sum()), int(hidden.sum())
        if not hidden.any():
            return
        present, first = _distinct(series[there])
        form = IdentifierFormat.of(present, self.people.least, self.people.of_row[there][first])
        dtype = "object" if str(series.dtype) == "category" else str(series.dtype)
        pool = pool_of(size, cells)
        self.fresh[name] = FreshCells(form, dtype, pool, len(series))
        self.frame[name] = series.astype(object).where(there, None).mask(hidden, FRESH)
        if not enough.any():
            self.hidden.add(name)
        what = f"fresh values in place of {known.what}"
        frequent = " that are rare" if enough.any() else ""
        self._note(name, "identifier", what + frequent, size, cells)
        if self.entity is None and not self.people_column and known.repeats(codes[there]):
            self.people_column = name

    # Reading

    def read(self, options: ProtectionOptions) -> None:
        """Read the columns, and what rows fulfill."""
        rest = self.frame.drop(columns=list(self.hidden))
        dataset = read_for_synthesis(rest, self.kinds, options.compared, options.dialect)
        schema = dataset.schema
        self.columns = {column.name: column for column in schema.columns}
        for name in rest.columns:
            if name not in self.columns:
                self._hide(name, Identity("identifiers", "hardly any value repeats"))
        self.read_frame = with_numbers(self.frame, notations_of(schema))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.values = {
                name: column.rules.read(self.read_frame[name])
                for name, column in self.columns.items()
            }
        modeled = [column for column in self.columns.values() if column.modeled]
        reader = ConstraintReader(modeled, self.values)
        declared = reader.read(options.constraints, options.combinations)
        self.ties = Ties.of(modeled, self.values, declared)
        self.original = {name: each.copy() for name, each in self.values.items()}
        leveled = {name for name, column in self.columns.items() if column.levels}
        self.similar = SimilarRows.of(
            {column.name: self.original[column.name] for column in modeled}, leveled
        )

    # Levels and numbers, each by itself

    def levels(self) -> None:
        """Find the cells with rare levels; empty columns without any other."""
        for name, column in self.columns.items():
            codes = self.values[name]
            there = np.isfinite(codes)
            if not column.levels:
                continue
            size = len(column.levels)
            enough = self.people.enough(codes[there], there, size)
            places = {text_of(level): code for code, level in enumerate(column.levels)}
            if FRESH in places:
                enough[places[FRESH]] = True
            self.frequent[name] = enough
            rare = there.copy()
            rare[there] = ~enough[codes[there].astype(int)]
            other = [code for text, code in places.items() if text.lower() in OTHER]
            if other and rare.any():
                self.others[name] = other[0]
            self.rare[name] = rare
            if there.any() and not enough.any() and name not in self.others:
                self._emptied(name)

    def _emptied(self, name: str) -> None:
        self.values[name] = np.full(len(self.values[name]), np.nan)
        self.rare[name] = np.zeros(len(self.values[name]), dtype=bool)
        self.empty.add(name)

    def numbers(self) -> None:
        """Bound numbers and dates, and move isolated ones."""
        for name, column in self.columns.items():
            values = self.values[name]
            if column.levels or np.isnan(values).all():
                continue
            seed = int(self.draw.integers(2**31))
            lattice = column.rules.lattice
            found = protected_numbers(values, self.people, lattice, seed)
            if found is None:
                self._emptied(name)
            else:
                self.moved[name], self.values[name] = found, found.values

    # Columns that belong together

    def ties_kept(self) -> None:
        """Give rows of tied columns, where a cell is rare or no longer fits the others, the cells
        of a similar row."""
        for group in self.ties.groups:
            names = [name for name in group if name not in self.empty]
            rare = np.any([self.rare.get(name, self._nothing) for name in names], 0)
            rare |= self.ties.rare(self.values, names, self.people)
            before = self.ties.broken(self.original, group)
            computed, torn = self.ties.computed(self.values, self.original, names)
            self.values |= computed
            torn |= self.ties.broken(self.values, group) & ~before
            self._from_donors(names, rare | torn, torn)

    @property
    def _nothing(self) -> Array:
        return np.zeros(len(self.frame), dtype=bool)

    def _from_donors(self, names: Sequence[str], wrong: Array, torn: Array) -> None:
        rows, pool = np.flatnonzero(wrong), np.flatnonzero(~wrong)
        if not len(rows) or len(names) < 2:
            return
        if not len(pool):
            for name in names:
                self._emptied(name)
            return
        rare = {name: self.rare.get(name, self._nothing)[rows] for name in names}
        hidden = [name for name in names if rare[name].any()]
        donors = self.similar.donors(rows, pool, hidden, names, self.draw, self._uses(names))
        # a rare city may have a country in which no city is frequent: then it is left empty
        unlike = self._nothing[rows]
        for name in names:
            if self.columns[name].levels and not self._combined(name):
                own, other = self.values[name][rows], self.values[name][donors]
                unlike |= ~rare[name] & ~torn[rows] & np.isfinite(own) & (own != other)
        for name in names:
            cells = self.values[name]
            kept = np.where(rare[name], np.nan, cells[rows])
            cells[rows] = np.where(unlike, kept, cells[donors])
            if name in self.rare:
                self.rare[name] = self.rare[name] & ~wrong

    def _uses(self, names: Sequence[str]) -> Array:
        """To how many rows each may give its cells: few if it has numbers of few people, which a
        histogram would draw exactly if many rows had them, (rows,)."""
        found = np.full(len(self.frame), np.inf)
        for name in names:
            values = self.values[name]
            there = np.isfinite(values)
            if not self.columns[name].levels and there.any():
                distinct, codes = np.unique(values[there], return_inverse=True)
                enough = self.people.enough(codes, there, len(distinct))[codes]
                rest = drawn_from(int(there.sum())) - 1 - np.bincount(codes)[codes]
                most = np.where(enough, np.inf, np.floor(rest / 2).clip(0))
                found[there] = np.minimum(found[there], most)
        return found

    def _combined(self, name: str) -> bool:
        return any(name in each for each in self.ties.combinations)

    # The other rare levels

    def replaced(self) -> None:
        """Give the other cells with rare levels a frequent one."""
        for name, rare in self.rare.items():
            rows, pool = (
                np.flatnonzero(rare),
                np.flatnonzero(~rare & np.isfinite(self.values[name])),
            )
            if not len(rows):
                continue
            cells, column = self.values[name], self.columns[name]
            if name in self.others and self._enough_others(name, rare):
                cells[rows] = self.others[name]
            elif not len(pool):
                self._emptied(name)
            elif column.rules.ordered and not isinstance(column.levels[0], str | bool):
                usual = np.flatnonzero(self.frequent[name])
                numbers = np.array(column.levels, dtype=np.float64)
                apart = np.abs(numbers[cells[rows].astype(int), None] - numbers[usual])
                cells[rows] = usual[apart.argmin(1)]
            else:
                donors = self.similar.donors(rows, pool, [name], (), self.draw)
                cells[rows] = cells[donors]

    def _enough_others(self, name: str, rare: Array) -> bool:
        """Whether "other" is frequent with the cells that become it."""
        others = rare | (self.values[name] == self.others[name])
        return len(np.unique(self.people.of_row[others])) >= self.people.least

    # The result

    def refuse_constants(self) -> None:
        """Raise DataError if no column keeps two values, as in a table of few rows."""
        sizes = (len(np.unique(values)) for values in self.values.values())  # NaN is one
        if max(sizes, default=0) < 2:
            raise DataError(
                f"in {counted(len(self.frame), 'row')}, no column has two values that "
                f"{self.people.least} people have: take more rows, or a smaller --least-people (in "
                "Python, least_people)"
            )

    def written(self) -> Any:
        """The frame with the new values, and notes on what changed."""
        made = self.frame.copy()
        for name, column in self.columns.items():
            new, old = self.values[name], self.original[name]
            changed = ~((new == old) | (np.isnan(new) & np.isnan(old)))
            if changed.any():
                made[name] = self._cells(name, column, changed)
            made[name] = self._without_rare_categories(name, made[name])
            self._note_of(name, column, changed)
        return made

    def known_kinds(self) -> dict[str, Hint]:
        """The given kinds, without rare levels and those of columns that are empty or fresh."""
        found: dict[str, Hint] = {}
        for name, hint in self.kinds.items():
            if name in self.empty:
                continue
            if not isinstance(hint, str) and hint.get("levels") and name in self.frequent:
                levels = self.columns[name].levels
                enough = zip(levels, self.frequent[name], strict=True)
                hint = {**hint, "levels": [level for level, usual in enough if usual]}
            found[name] = hint
        return found

    def _cells(self, name: str, column: Column, changed: Array) -> Any:
        import pandas as pd

        series, new = self.frame[name], self.values[name]
        read, old = self.read_frame[name], self.original[name]
        if name in self.fresh or np.isnan(new).all():
            return series.mask(changed)
        form = ColumnForm.of(read, column, old)
        cells = form.series(column, new, 0).set_axis(series.index)
        if series.dtype.kind == "O" or pd.api.types.is_string_dtype(series.dtype):
            cells = in_type_or_wide(cells, str(series.dtype))
        alike = cells.dtype == series.dtype and (
            series.dtype.kind != "O" or {*map(type, cells)} <= {*map(type, series)}
        )
        return series.mask(changed, cells) if alike else cells

    def _without_rare_categories(self, name: str, series: Any) -> Any:
        import pandas as pd

        if not isinstance(series.dtype, pd.CategoricalDtype):
            return series
        used = set(series.dropna().unique())
        kept = [each for each in series.dtype.categories if each in used]
        return series.cat.set_categories(kept)

    def _note_of(self, name: str, column: Column, changed: Array) -> None:
        if name in self.fresh:
            return
        old, cells = self.original[name], int(changed.sum())
        values = len(np.unique(old[changed & np.isfinite(old)]))
        if not cells:
            return
        if name in self.empty:
            how = f"left empty, because no value is of {self.people.least} or more"
            role: Role = "level" if column.levels else role_of(column)
            self._note(name, role, how, len(np.unique(old[np.isfinite(old)])), cells)
        elif column.levels:
            how = "frequent levels of similar rows in place of rare ones"
            if name in self.others and (self.values[name][changed] == self.others[name]).any():
                how = f"{column.levels[self.others[name]]!r} in place of rare levels"
            elif column.rules.ordered and not isinstance(column.levels[0], str | bool):
                how = "the nearest frequent level in place of rare ones"
            gone = int(np.isnan(self.values[name][changed]).sum())
            how += f", and {counted(gone, 'empty cell')} where none fits" if gone else ""
            self._note(name, "level", how, values, cells)
        else:
            self._note(name, role_of(column), self._range(name, column), values, cells)

    def _range(self, name: str, column: Column) -> str:
        found = self.moved[name]
        low, high = (end_as_text(column, end) for end in (found.low, found.high))
        isolated = f", {counted(found.isolated, 'isolated cell')} moved" if found.isolated else ""
        return f"between {low} and {high}{isolated}"

    def _note(self, name: str, role: Role, how: str, values: int, cells: int) -> None:
        self.notes.append(ColumnProtection(name, role, how, values, cells))


def role_of(column: Column) -> Role:
    """Of a column of numbers or dates."""
    return "date" if column.rules.has_format else "number"


def end_as_text(column: Column, value: float) -> str:
    """A number, a duration or a date as text."""
    import pandas as pd

    if column.notation is not None and column.notation.clock:
        return str(column.notation.in_frame(pd.Series([value])).iloc[0])
    if not column.rules.has_format:
        return f"{value:,.10g}"
    return str(np.datetime64(int(value), "s")).replace("T", " ").removesuffix(" 00:00:00")


def _distinct(series: Any) -> tuple[Array, Array]:
    """The distinct identifiers, whole numbers or text, and the first row of each."""
    import pandas as pd

    if pd.api.types.is_float_dtype(series.dtype):
        series = series.astype("int64")
    if pd.api.types.is_integer_dtype(series.dtype):
        whole = "uint64" if pd.api.types.is_unsigned_integer_dtype(series.dtype) else "int64"
        values = series.to_numpy(dtype=whole)
    else:
        values = np.array([str(value).strip() for value in series], dtype=str)
    return np.unique(values, return_index=True)
