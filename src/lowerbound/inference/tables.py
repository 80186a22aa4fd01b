"""Synthetic tables of a fitted model, as frames with the form of the fitted table.

If some columns are given, the others are drawn from the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.identifiers import ApartIdentifiers
from lowerbound.data.columns.values import (
    CellError,
    distinct_values,
    level_name as level_name,
    missing,
    refuse,
)
from lowerbound.data.dependencies.formulas import Formula
from lowerbound.data.dependencies.lookups import Lookup
from lowerbound.data.loading import load
from lowerbound.data.protection.identity import FRESH
from lowerbound.data.protection.record import Protection
from lowerbound.data.synthetic.column_form import in_type_or_wide
from lowerbound.data.synthetic.form import TableForm
from lowerbound.data.tables.numbers import notations_of, with_numbers
from lowerbound.errors import DataError, ModelFolderError, OptionError, UnsupportedError, unknown
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.prior_draws import whole_count
from lowerbound.inference.restrictions import Restrictions
from lowerbound.inference.table_draws import BLOCK, GivenCells, completed_block, new_block

FAR = 0.5  # of the width of a range, beyond which a given number has a warning


@dataclass(frozen=True, eq=False)
class TableSource:
    """Draws frames from a model of a table.

    Args:
        fitted: a model of a table.
        beyond_range: whether numbers and dates may leave the range of the fitted rows.
        complete: whether no drawn cell is missing.
        mapped: whether drawn values are mapped to those of the fitted rows, if the model learned
            how; mapped numbers never leave the range.
        orders: whether rows fulfill inequalities that were not declared, but that no fitted row
            breaks.

    Raises:
        UnsupportedError: the model is not of a table.
    """

    fitted: Fitted
    beyond_range: bool = False
    complete: bool = False
    mapped: bool = True
    orders: bool = True

    def __post_init__(self) -> None:
        schema = self.fitted.schema
        if not (schema.columns and schema.data_kind.named_columns) or schema.windows is not None:
            raise UnsupportedError(
                "synthetic rows are drawn from models of tables, and this one is of "
                f"{schema.summary}: use lowerbound sample"
            )
        with untrusted.guarded("the form of the table in the model folder", ModelFolderError):
            self._check()

    def _check(self) -> None:
        """Write a row of each column's first value and a missing one, and look up constraints.

        A form from a stranger's folder may name columns that there are not, or types that no level
        has.
        """
        self.restrictions.check()
        schema = self.fitted.schema
        for cells in ({}, {column.name: np.full(1, np.nan) for column in schema.modeled}):
            self.form.frame(schema, cells, 1)

    @cached_property
    def form(self) -> TableForm:
        """The form of the table."""
        form = TableForm.of(self.fitted.schema)
        if not self.orders:
            form = replace(form, orders=())
        return form.without_ranges if self.beyond_range else form

    @cached_property
    def protection(self) -> Protection | None:
        """What was protected in the fitted rows; None: nothing."""
        found = Protection.of(self.fitted.schema.details)
        return found if found is not None and found.least_people > 1 else None

    @cached_property
    def allowed(self) -> Restrictions:
        """The restrictions of given cells; numbers may lie beyond the bounds of protected ones."""
        if self.protection is None:
            return self.restrictions
        form = self.form.without_ranges
        return Restrictions.of(form, self.fitted.schema.modeled, self.complete, self.mapped)

    @cached_property
    def restrictions(self) -> Restrictions:
        """The ranges and constraints of the modeled columns."""
        return Restrictions.of(self.form, self.fitted.schema.modeled, self.complete, self.mapped)

    def blocks(self, count: int, seed: int = 0) -> Iterator[Any]:
        """New rows, block by block.

        Args:
            count: number of rows in all blocks; 0 gives one block without rows.
            seed: of the draws; row i depends on the seed and i only.

        Raises:
            OptionError: the count is negative.
        """
        return TableDraws(self, seed).frames(count)

    def completed(self, frame: Any, count: int | None = None, seed: int = 0) -> Iterator[Any]:
        """Rows with given cells, block by block; their other cells are drawn.

        Args:
            frame: as for ``with_cells``.
            count: number of rows in all blocks; None: those of ``frame``.
            seed: of the draws.

        Raises:
            OptionError, DataError, UnsupportedError: as for ``with_cells``.
            OptionError: the count is negative.
        """
        return self.with_cells(frame, seed).frames(len(frame) if count is None else count)

    def with_cells(self, frame: Any, seed: int = 0) -> TableDraws:
        """Draws of rows with given cells; their other cells are drawn.

        Args:
            frame: given rows; a missing cell, or a column that is not there, is drawn. Row i of the
                result has the given cells of row i modulo their number.
            seed: of the draws.

        Raises:
            OptionError: a column or a level does not exist, or the given cells of a row cannot
                occur together.
            DataError: the table has no rows, or a cell is not a value of its column.
            UnsupportedError: the model was fitted to complete rows, or has no exact density.
        """
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        frame = with_numbers(frame.reset_index(drop=True), notations_of(self.fitted.schema))
        if not len(frame):
            raise DataError("the table of given cells has no rows")
        # the given rows with identifiers that are whole numbers or text, as the fitted ones
        read = {
            form.name: _names(frame[form.name], form.fresh_format.dtype != "str")
            for form in self.form.columns
            if form.fresh_format is not None and form.name in frame.columns
        }
        names = frame.assign(**read)
        given = self._given(self._without_rare(frame))
        source = self._fulfilled_by(given)
        self._warn_beyond(given)
        for row, text in self.restrictions.contradicted(given.values, given.known):
            warnings.warn(
                f"{given.named(row)} break {text}, which no fitted row without an error "
                "does; they stay",
                stacklevel=2,
            )
        return TableDraws(source, seed, names, given)

    def with_given(self, conditions: Mapping[str, Any], seed: int = 0) -> TableDraws:
        """``with_cells``, the given ones of all rows.

        Args:
            conditions: values by column, in the units of the table.
            seed: of the draws.

        Raises:
            OptionError, DataError, UnsupportedError: as for ``given`` and ``with_cells``.
        """
        try:
            return self.with_cells(self.given(conditions), seed)
        except CellError as error:  # the user gave no row
            raise DataError(f"--given (in Python, given=): {error.reason}") from error

    def given(self, conditions: Mapping[str, Any]) -> Any:
        """A frame of one row with the conditions.

        Raises:
            OptionError: there is no condition, or one without a value.
        """
        import pandas as pd

        if not conditions:
            raise OptionError("no column is given: name one, such as sex=Female")
        row = pd.DataFrame({str(name): [value] for name, value in conditions.items()})
        levels = {each.name: [*map(level_name, each.levels)] for each in self.fitted.schema.columns}
        for name in row.columns:
            is_level = level_name(row[name][0]) in levels.get(name, ())  # "none" may be one
            if missing(row[name]).any() and not is_level:
                raise OptionError(
                    f"column {name!r} is given without a value: leave it out, and it is drawn"
                )
        for column in self.fitted.schema.columns:
            if column.name in row.columns:
                row[column.name] = column.rules.localized(row[column.name])
        return row

    # given cells ----------------------------------------------------------------------------------

    def _given(self, frame: Any) -> GivenCells:
        schema = self.fitted.schema
        if not schema.missing:
            raise UnsupportedError(
                "this model was fitted to complete rows, so columns cannot be given: fit one with "
                "lowerbound synthesizer, or with lowerbound fit --missing model"
            )
        columns = self.restrictions.columns
        names = [form.name for form in self.form.columns]
        for name in frame.columns:
            if name not in names:
                raise unknown("column", name, names)
        twice = sorted({name for name in frame.columns if list(frame.columns).count(name) > 1})
        if twice:
            raise DataError(f"column {twice[0]!r} is given twice")
        values = np.full((len(frame), len(columns)), np.nan)
        for place, column in enumerate(columns):
            if column.name in frame.columns:
                values[:, place] = self._read(place, frame[column.name])
        return GivenCells(self._dataset(frame), values, ~np.isnan(values))

    def _without_rare(self, frame: Any) -> Any:
        """The given rows without names of people and levels that few people have: the model does
        not know them, and they stay as they are."""
        kept = {}
        for column in self.restrictions.columns:
            if column.name not in self.rare_cells or column.name not in frame.columns:
                continue
            series, known = frame[column.name], set(map(level_name, column.levels))
            rare = {text for text in map(level_name, distinct_values(series)) if text not in known}
            if not rare:
                continue
            fresh = FRESH in known
            if not fresh:
                warnings.warn(
                    f"column {column.name!r} has levels that the model does not know, because "
                    "few people have them: "
                    f"{listed([repr(text) for text in sorted(rare)])}; they stay, and nothing else "
                    "depends on them",
                    stacklevel=3,
                )
            unknown_cells = series.astype(object).map(level_name, na_action="ignore").isin(rare)
            cells = series.astype(object).mask(unknown_cells, FRESH if fresh else None)
            kept[column.name] = cells
        return frame.assign(**kept)

    @cached_property
    def rare_cells(self) -> set[str]:
        """The columns whose given cells may be levels that the model does not know."""
        if self.protection is None:
            return set()
        return {
            each.name for each in self.protection.columns if each.role in ("identifier", "level")
        }

    def _read(self, place: int, series: Any) -> Array:
        column, form = self.restrictions.columns[place], self.restrictions.forms[place]
        if column.levels:
            known = {level_name(level) for level in column.levels}
            for value in distinct_values(series):
                if level_name(value) not in known:
                    raise unknown(f"level of column {column.name!r}:", level_name(value), known)
        values = column.rules.read(series, fitting=True)  # a given cell is not set to a bound
        if not column.levels:
            low, high = column.rules.type_range
            words = f"column {column.name!r} holds {column.dtype}, {low:.10g} to {high:.10g}"
            refuse((values < low) | (values > high), series, f"{words}, but not")
        if form.dtype.lower().startswith(("int", "uint")) and not column.rules.has_format:
            refuse(values % 1 > 0, series, f"column {column.name!r} holds whole numbers, but not")
        return values

    def _warn_beyond(self, given: GivenCells) -> None:
        """Warn of given numbers far outside of the range of the fitted rows."""
        # those of the draws are unbounded for a model whose tails go beyond the fitted rows
        limits = Restrictions.of(TableForm.of(self.fitted.schema), self.fitted.schema.modeled)
        far = FAR * (limits.high - limits.low)
        beyond = (given.values < limits.low - far) | (given.values > limits.high + far)
        for place in np.flatnonzero(beyond.any(0)).tolist():
            value = given.values[beyond[:, place], place][0]
            written = [limits.written(place, x) for x in (value, limits.low[place])]
            warnings.warn(
                f"{limits.columns[place].name}={written[0]} lies far outside of {written[1]} to "
                f"{limits.written(place, limits.high[place])}, the values of the fit",
                stacklevel=3,
            )

    def _fulfilled_by(self, given: GivenCells) -> TableSource:
        """This, or without found orders if the given cells break one, with a warning.

        Raises:
            OptionError: the given cells of a row cannot occur.
        """
        broken = self._broken(given)
        if broken is None:
            return self
        free = replace(self, orders=False)
        still = free._broken(given) if self.form.orders else broken
        if still is not None:
            raise OptionError(f"{given.named(still[0])} cannot occur: {still[1]}")
        warnings.warn(
            f"{given.named(broken[0])} are in an order that no fitted row has: "
            f"{broken[1]}; so drawn cells may break orders of the fitted rows too",
            stacklevel=3,
        )
        return free

    def _broken(self, given: GivenCells) -> tuple[int, str] | None:
        """The first row whose given cells cannot occur, and why; None: all can."""
        if not self.allowed.broken(given.values, given.known):
            return None
        for row in range(len(given)):
            some = slice(row, row + 1)
            if found := self.allowed.broken(given.values[some], given.known[some]):
                return row, found[0]
        return None

    def _dataset(self, frame: Any) -> Any:
        """The given rows in model units, hidden where nothing is given."""
        import pandas as pd

        blank = pd.Series([None] * len(frame), dtype=object)
        names = [column.name for column in self.fitted.schema.columns]
        full = {name: frame[name] if name in frame.columns else blank for name in names}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load(pd.DataFrame(full), schema=self.fitted.schema)


@dataclass(frozen=True, eq=False)
class TableDraws:
    """Rows of a table to draw, by their numbers.

    Attributes:
        source: of the rows.
        seed: of the draws; row i depends on the seed and i only.
        cells: given rows; None: all cells are drawn.
        given: the same, as the model reads them.
    """

    source: TableSource
    seed: int = 0
    cells: Any = None
    given: GivenCells | None = None

    def values(self, first: int, rows: int) -> Array:
        """Some rows, (rows, modeled columns) in original units, NaN where missing.

        Args:
            first: number of the first row, a multiple of ``BLOCK``.
            rows: number of rows.
        """
        model, limits = self.source.fitted.model, self.source.restrictions
        parts = []
        for start in range(first, first + rows, BLOCK):
            block, count = start // BLOCK, min(BLOCK, first + rows - start)
            if self.given is None:
                parts.append(new_block(model, limits, block, seed=self.seed)[:count])
            else:
                found = completed_block(model, limits, self.given, block, count, seed=self.seed)
                parts.append(found[0])
                self._warn_of(start + np.flatnonzero(~found[1]))
        return np.concatenate(parts)

    def _warn_of(self, rows: Array) -> None:
        """Warn of rows, by their numbers, that do not have what the fitted rows have."""
        if not len(rows):
            return
        assert self.given is not None
        row, limits = int(rows[0]) % len(self.given), self.source.restrictions
        known = self.given.known[row]
        each: list[tuple[tuple[int, ...], Formula | Lookup]] = [*limits.formulas, *limits.lookups]
        found = [
            dependency.summary
            for places, dependency in each
            if known[list(places)].any() and not known[list(places)].all()
        ]
        warnings.warn(
            f"no rows with {self.given.named(row)} were found that have all that the fitted "
            f"rows have ({', '.join(found)}, and the range of each column): some break it",
            stacklevel=2,
        )

    def frame(self, values: Array, first: int) -> Any:
        """A frame of rows in the form of the table.

        Args:
            values: as ``values`` gives them.
            first: number of the first row.
        """
        names = [column.name for column in self.source.restrictions.columns]
        drawn = dict(zip(names, values.T, strict=True))
        schema, complete = self.source.fitted.schema, self.source.restrictions.complete
        made = self.source.form.frame(schema, drawn, len(values), first, complete)
        return made if self.cells is None else self._with_identifiers(made, first)

    def frames(self, count: int) -> Iterator[Any]:
        """Frames of ``count`` rows in all, block by block; of none, one without rows.

        Raises:
            OptionError: the count is negative, or no whole number.
        """
        count = whole_count(count, "rows", least=0)
        if not count:
            yield self.frame(np.empty((0, len(self.source.restrictions.columns))), 0)
        for first in range(0, count, BLOCK):
            yield self.frame(self.values(first, min(BLOCK, count - first)), first)

    def _with_identifiers(self, made: Any, first: int) -> Any:
        """The rows with the identifiers and rare levels that are given, and fresh identifiers that
        differ from the given ones."""
        import pandas as pd

        numbers = np.arange(first, first + len(made)) % len(self.cells)
        for form in self.source.form.columns:
            name = form.name
            rare = name in self.source.rare_cells
            if name not in self.cells.columns or not (form.identifies or rare):
                continue
            cells = self.cells[name].iloc[numbers].reset_index(drop=True)
            kept, others = ~missing(cells), made[name].astype(object)
            if name in self._identifiers and not kept.all():
                others = pd.Series(self._identifiers[name].fresh(first, len(made)))
            if not kept.all():
                cells = cells.astype(object).mask(~kept, others).infer_objects()
            made[name] = in_type_or_wide(cells, str(made[name].dtype) if rare else form.dtype)
        return made

    @cached_property
    def _identifiers(self) -> Mapping[str, ApartIdentifiers]:
        """Fresh identifiers of the columns that are given and have no others, by their names."""
        columns = {column.name: column for column in self.source.fitted.schema.columns}
        found = {}
        for form in self.source.form.columns:
            source = form.identifiers or form.fresh
            levels = columns[form.name].levels if form.name in columns else ()
            if source is not None and form.name in self.cells.columns and len(levels) < 2:
                others = set(map(level_name, distinct_values(self.cells[form.name])))
                found[form.name] = ApartIdentifiers(source, others)
        return found


def _names(series: Any, whole: bool) -> Any:
    """Given identifiers as whole numbers or as text; empty where missing.

    Raises:
        DataError: one of whole numbers is none.
    """
    import pandas as pd

    there = ~missing(series)
    if not whole:
        return series.astype(object).where(there).map(level_name, na_action="ignore")
    found = pd.to_numeric(series[there].astype(object), errors="coerce")
    wrong = np.zeros(len(series), dtype=bool)
    size = found.to_numpy(dtype=np.float64, na_value=np.nan)
    kind, most = ("UInt64", 2.0**64) if found.dtype.kind == "u" else ("Int64", 2.0**63)
    wrong[there] = ~((size % 1 == 0) & (np.abs(size) < most))
    refuse(wrong, series, f"column {series.name!r} holds whole numbers, but not")
    return found.astype(kind.lower()).astype(kind).reindex(series.index)


def gives_columns(fitted: Fitted) -> bool:
    """Whether names in ``given`` are columns of a table, and not attributes of a prompt."""
    schema = fitted.schema
    table = schema.data_kind.named_columns and bool(schema.columns) and schema.windows is None
    return table and not fitted.options.model.prompts


def draws_with_columns(
    fitted: Fitted,
    given: Mapping[str, Any],
    seed: int,
    within_range: bool = False,
    complete: bool = False,
) -> TableDraws:
    """Draws of rows x ~ p(x | given columns).

    Args:
        fitted: a model of a table.
        given: values by column, in the units of the data.
        seed: of the draws.
        within_range: whether drawn numbers and dates stay in the range of the fitted rows.
        complete: whether no drawn cell is missing.

    Raises:
        OptionError: a column or a level does not exist, or the values cannot occur together.
        DataError: a value is not one of its column.
        UnsupportedError: the model is conditional, was fitted to complete rows, or has no exact
            density. The message about a class names the option that takes it.
    """
    if fitted.options.model.conditional:
        label = fitted.schema.label_column
        if label is not None and set(given) == {label}:
            raise UnsupportedError(
                f"{label} is the class of this model: use --label {given[label]} (in Python, y=)"
            )
        raise UnsupportedError(
            "columns cannot be given to a conditional model: fit one without --conditional"
        )
    source = TableSource(fitted, beyond_range=not within_range, complete=complete)
    return source.with_given(given, seed)
