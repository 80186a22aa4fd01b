"""The form of a table: what its synthetic rows must share with it besides their distribution.

Its rows are read with the kinds of columns that synthetic rows need.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lowerbound import untrusted
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.dates import compact_format
from lowerbound.data.columns.inference import Hint
from lowerbound.data.columns.lattice import EXACT
from lowerbound.data.columns.values import missing
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.determined import Dependencies, formulas_beside_errors
from lowerbound.data.dependencies.lookups import Inequality, found_lookups, found_orders
from lowerbound.data.loading import load
from lowerbound.data.protection.identity import FreshCells
from lowerbound.data.protection.record import People
from lowerbound.data.schema import Schema
from lowerbound.data.synthetic.column_form import ColumnForm, of_schema_column
from lowerbound.data.synthetic.constraints import ConstraintReader, Constraints, found_relations
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.numbers import found_notations, notations_of, with_numbers
from lowerbound.errors import OptionError

DETAIL = "form"  # key in the details of a schema


@dataclass(frozen=True)
class TableForm:
    """The form of a table.

    Attributes:
        columns: all columns, in the order of the table.
        constraints: that every row fulfills, as declared.
        orders: inequalities that no fitted row breaks, as found.
        dependencies: lookups that all fitted rows fulfill, and formulas that nearly all do, as
            found.
        relations: the residual, the name of a column, and that of the column that it follows.
    """

    columns: tuple[ColumnForm, ...]
    constraints: Constraints = field(default_factory=Constraints)
    orders: tuple[Inequality, ...] = ()
    dependencies: Dependencies = field(default_factory=Dependencies)
    relations: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def learn(
        cls,
        frame: Any,
        schema: Schema,
        sentences: Sequence[str] = (),
        combinations: Sequence[Sequence[str]] = (),
        people: People | None = None,
    ) -> TableForm:
        """Learn the form of the rows that a model is fitted to.

        Args:
            frame: the rows; column names are text.
            schema: of the model.
            sentences: ranges and inequalities, such as "start <= end".
            combinations: names of the columns of each fixed combination.
            people: of whom enough must have a value that the form holds; None: a few rows.

        Raises:
            OptionError, DataError: as ``ConstraintReader.read``.
        """
        known = {column.name: column for column in schema.columns}
        frame = with_numbers(frame, notations_of(schema))
        values = {name: known[name].rules.read(frame[name]) for name in known}
        forms = [
            ColumnForm.of(frame[name], known.get(name), values.get(name), people)
            for name in frame.columns
        ]
        read = ConstraintReader(schema.modeled, values).read(sentences, combinations)
        modeled = schema.modeled
        matrix = np.stack([values[column.name] for column in modeled], 1)
        names = [column.name for column in modeled]
        lookups = found_lookups(modeled, matrix, read.compared, people)
        alike = [each.columns for each in lookups]
        orders = found_orders(modeled, matrix, read.compared, alike)
        formulas = formulas_beside_errors(modeled, matrix, read.compared.union(*alike))
        found = found_relations(modeled, matrix)
        relations = tuple((form, names[own], names[other]) for form, own, other in found)
        return cls(tuple(forms), read, orders, Dependencies(lookups, formulas), relations)

    @classmethod
    def of(cls, schema: Schema) -> TableForm:
        """The form that a schema has, or else what its columns tell, types and whole numbers, with
        the dependencies that an imputer found.

        Raises:
            OptionError: the form is damaged.
        """
        if DETAIL in schema.details:
            with untrusted.guarded("the form of the table", OptionError):
                return from_mapping(cls, schema.details[DETAIL])
        columns = tuple(of_schema_column(column) for column in schema.columns)
        return cls(columns, dependencies=Dependencies.of(schema).without_shared_columns)

    @property
    def without_ranges(self) -> TableForm:
        """The form of rows whose numbers and dates may leave the range of the fitted ones."""
        return replace(
            self, columns=tuple(replace(each, low=None, high=None) for each in self.columns)
        )

    def with_fresh(self, fresh: Mapping[str, FreshCells]) -> TableForm:
        """The form of a protected table, whose columns that identify people get fresh cells."""
        return replace(
            self,
            columns=tuple(replace(each, fresh=fresh.get(each.name)) for each in self.columns),
        )

    def refreshed(self, frame: Any, first: int = 0) -> Any:
        """Drawn rows from number ``first`` on, whose cells that identify people are fresh ones."""
        cells = {
            each.name: each.with_fresh(frame[each.name], first)
            for each in self.columns
            if each.fresh is not None and each.name in frame.columns
        }
        return frame.assign(**cells) if cells else frame

    @property
    def inequalities(self) -> tuple[Inequality, ...]:
        """Those that were declared, and those that were found."""
        return self.constraints.inequalities + self.orders

    @property
    def summaries(self) -> tuple[str, ...]:
        """A sentence or an equation for what every row fulfills, besides ranges."""
        combinations = (
            f"the combinations of {', '.join(each.columns)}"
            for each in self.constraints.combinations
        )
        orders = (each.summary for each in self.inequalities)
        return (*self.dependencies.summaries, *combinations, *orders)

    def on(self, schema: Schema) -> Schema:
        """The schema with this form in its details."""
        return replace(schema, details={**schema.details, DETAIL: to_mapping(self)})

    def spelled(self, frame: Any) -> Any:
        """The rows with whole numbers that have missing cells written without a decimal point."""
        whole = {
            each.name: frame[each.name].astype("Int64")
            for each in self.columns
            if each.lattice.step and not each.lattice.decimals and _holds_whole(frame[each.name])
        }
        return frame.assign(**whole) if whole else frame

    def frame(
        self,
        schema: Schema,
        values: Mapping[str, Array],
        rows: int,
        first: int = 0,
        complete: bool = False,
    ) -> Any:
        """New rows as a frame with the columns and types of the fitted table.

        Args:
            schema: of the model.
            values: of each modeled column, in original units or codes, (rows,), NaN where missing.
            rows: their number.
            first: number of the first row.
            complete: whether no identifier is missing.
        """
        import pandas as pd

        known = {column.name: column for column in schema.columns}
        cells = {}
        for form in self.columns:
            column = known.get(form.name)
            own = values.get(form.name)
            if own is None:
                own = np.full(rows, 0.0 if column is None or column.levels else column.shift)
            cells[form.name] = form.series(column, own, first, complete)
        return pd.DataFrame(cells)


def _holds_whole(cells: Any) -> bool:
    """Whether floats are whole numbers that integers can represent, or missing."""
    if cells.dtype.kind != "f":
        return False
    present = cells[cells.notna()]
    return bool(((present == np.rint(present)) & (np.abs(present) < EXACT)).all())


def kind_hints(frame: Any, hints: Mapping[str, Hint], compared: Sequence[str]) -> dict[str, Hint]:
    """Kinds of columns whose inferred kind would lose what synthetic rows need.

    Numbers in an inequality are not levels. A constant column with missing cells is a level.

    Args:
        frame: the rows.
        hints: kinds that are given.
        compared: names of the columns in inequalities.
    """
    import pandas as pd

    found: dict[str, Hint] = {}
    for name in frame.columns:
        series = frame[name]
        present, unique = _present(series)
        if name in hints or not unique:
            continue
        numeric = pd.api.types.is_numeric_dtype(series.dtype) and not _are_dates(present)
        if name in compared and numeric and not pd.api.types.is_bool_dtype(series.dtype):
            found[name] = "real"
        elif unique == 1 and len(present) < len(series):
            found[name] = "categorical"
    return {**found, **hints}


def _are_dates(present: Any) -> bool:
    """Whether numbers are dates such as 20240531."""
    if present.dtype.kind not in "iuf":
        return False
    values = np.unique(present.to_numpy(dtype=np.float64))
    whole = np.isfinite(values).all() and not (values % 1).any()
    return bool(whole) and compact_format(values) is not None


def _present(series: Any) -> tuple[Any, int]:
    """(cells that are not missing, how many of them are distinct)."""
    present = series[~missing(series)]
    return present, int(present.nunique())


def read_for_synthesis(
    frame: Any,
    kinds: Mapping[str, Hint] | None = None,
    compared: Sequence[str] = (),
    dialect: Dialect | None = None,
) -> Dataset:
    """The rows with the kinds of columns that synthetic rows need.

    Args:
        frame: the rows, a pandas frame.
        kinds: of columns, if the inferred ones are wrong.
        compared: names of the columns in constraints.
        dialect: of the file of the rows; None: they are from no text, or from a usual one.
    """
    with warnings.catch_warnings():
        # identifiers are not modeled, but they are replaced by fresh ones
        warnings.filterwarnings("ignore", "column.*: no value repeats, so")
        hints = kind_hints(_with_numbers(frame, dialect), dict(kinds or {}), compared)
        return load(frame, missing="model", kinds=hints or "infer", dialect=dialect)


def _with_numbers(frame: Any, dialect: Dialect | None) -> Any:
    """The frame with text such as 1.234,50 as numbers; ``load`` gives the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return with_numbers(frame, found_notations(frame, dialect, ()))
