"""The form of a table: what its synthetic rows must share with it besides their distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.identifiers import GOLDEN, IdentifierFormat
from lowerbound.data.columns.inference import Hint
from lowerbound.data.columns.lattice import EXACT, Lattice
from lowerbound.data.columns.text import durations
from lowerbound.data.columns.text.date_formats import ISO
from lowerbound.data.columns.text.dates import compact_format
from lowerbound.data.columns.text.level_types import DATE, in_level_type
from lowerbound.data.columns.values import (
    Level,
    empty,
    missing,
    name as level_name,
    scalar,
    with_room_for_gaps,
)
from lowerbound.data.lookups import Lookup, found_lookups
from lowerbound.data.schema import Schema
from lowerbound.data.synthetic.constraints import ConstraintReader, Constraints, Inequality
from lowerbound.data.synthetic.orders import found_orders
from lowerbound.data.synthetic.relations import found_relations
from lowerbound.data.synthetic.repeated import RepeatedValues
from lowerbound.data.tables.frame_types import ORDERED
from lowerbound.data.tables.numbers import notations_of, with_numbers

DETAIL = "form"  # key in the details of a schema


@dataclass(frozen=True)
class ColumnForm:
    """The form of one column.

    Attributes:
        name: of the column.
        dtype: pandas' name of its type; "date" and "time" for dates and times of day of Python.
        categories: of a pandas category, in its order.
        ordered: whether the category is ordered.
        lattice: resolution of its numbers or dates.
        low, high: smallest and largest fitted number; None for levels.
        repeated: numbers that several fitted rows have; None: there are none, or levels.
        text: whether its numbers are written as text.
        identifiers: of a column of identifiers.
        missing: share of its cells that are missing.
        blank: whether every cell is missing.
        unused: codes of levels that no fitted row has.
        marker: how text writes most missing cells, such as "?"; None: they are empty.
    """

    name: str
    dtype: str = "float64"
    categories: tuple[Level, ...] | None = None
    ordered: bool = False
    lattice: Lattice = field(default_factory=Lattice)
    low: float | None = None
    high: float | None = None
    repeated: RepeatedValues | None = None
    text: bool = False
    identifiers: IdentifierFormat | None = None
    missing: float = 0.0
    blank: bool = False
    unused: tuple[int, ...] = ()
    marker: str | None = None

    @classmethod
    def of(cls, series: Any, column: Column | None, values: Array | None) -> ColumnForm:
        """Learn the form of a column.

        Args:
            series: its cells.
            column: None if it identifies rows.
            values: in original units, NaN where missing; None if it identifies rows.
        """
        form = cls._of_type(series)
        if column is None or values is None:
            share = float(missing(series).mean())
            return replace(form, identifiers=_identifiers(series), missing=share)
        form = replace(form, marker=_marker(series, np.isnan(values)))
        if np.isnan(values).all():
            return replace(form, blank=True)
        if column.levels:
            unused = set(range(len(column.levels))) - set(values[~np.isnan(values)].astype(int))
            return replace(form, unused=tuple(sorted(unused)), lattice=_lattice(column))
        low, high = column.observed or (None, None)
        numeric = not (column.rules.has_format and column.dtype.startswith("datetime64"))
        text = form.dtype in ("object", "str", "string") and numeric
        lattice = column.rules.lattice
        repeated = RepeatedValues.of(values, lattice)
        return replace(form, lattice=lattice, low=low, high=high, repeated=repeated, text=text)

    @classmethod
    def _of_type(cls, series: Any) -> ColumnForm:
        import pandas as pd

        name, dtype = str(series.name), series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            categories = tuple(scalar(level) for level in dtype.categories)
            return cls(name, "category", categories, bool(dtype.ordered))
        kind = pd.api.types.infer_dtype(series, skipna=True) if dtype.kind == "O" else ""
        return cls(name, kind if kind in (DATE, durations.TIME) else str(dtype))

    def settled(self, values: Array) -> Array:
        """Values with the resolution and the range of the column; NaN stays."""
        nearest = self.lattice.nearest(values)
        if self.low is None or self.high is None:
            return nearest
        return np.asarray(np.clip(nearest, self.low, self.high))

    def series(
        self, column: Column | None, values: Array, first: int, complete: bool = False
    ) -> Any:
        """The cells of new rows.

        Args:
            column: None if it identifies rows.
            values: in original units or codes, (rows,), NaN where missing.
            first: number of the first row, for identifiers.
            complete: whether no identifier is missing.
        """
        import pandas as pd

        if self.identifiers is not None:
            cells = pd.Series(self.identifiers.fresh(first, len(values)), name=self.name)
            if self.missing and not complete:
                # evenly spread over the rows, whatever the others hold
                numbers = np.arange(first + 1, first + 1 + len(values))
                cells = with_room_for_gaps(cells).mask(numbers * GOLDEN % 1 < self.missing)
            return in_type_or_wide(cells, self.dtype)
        if column is None or self.blank:
            return pd.Series([None] * len(values), name=self.name, dtype=object).astype(self.dtype)
        gone = np.isnan(values)
        usable = np.where(gone, self._usable(values, gone), values)
        cells = pd.Series(column.rules.typed(usable), name=self.name)
        typed = self._in_type(cells, gone, column.level_type)
        if column.notation is not None:
            typed = column.notation.in_frame(typed)
        return typed if self.marker is None else typed.mask(gone, self.marker)

    def _usable(self, values: Array, gone: Array) -> float:
        """Some value of the column."""
        present = values[~gone]
        return float(present[0]) if len(present) else (self.low or 0.0)

    def _in_type(self, cells: Any, gone: Array, level_type: str) -> Any:
        import pandas as pd

        if self.text:
            cells = cells.map(level_name).astype(object)
        if self.dtype == DATE:
            return pd.to_datetime(cells).dt.date.mask(gone)
        if self.dtype == durations.TIME:
            return durations.in_type(pd.Series(durations.seconds(cells)), self.dtype).mask(gone)
        if self.dtype.startswith("datetime64") and "," in self.dtype:
            zone = self.dtype.rpartition(", ")[2].rstrip("]")
            cells = pd.to_datetime(cells).dt.tz_localize("UTC").dt.tz_convert(zone)
        if self.categories is not None:
            kind = pd.CategoricalDtype(list(self.categories), self.ordered)
            return in_level_type(cells.astype(object).mask(gone).astype(kind), level_type)
        if level_type:
            return in_level_type(cells.mask(gone), level_type)
        if gone.any() and cells.dtype.kind in "iub":
            return in_type_or_wide(with_room_for_gaps(cells).mask(gone), self.dtype)
        return cells.mask(gone).astype(self.dtype) if gone.any() else cells.astype(self.dtype)


def in_type_or_wide(cells: Any, dtype: str) -> Any:
    """The cells in a type if it can represent them."""
    try:
        typed = cells.astype(dtype)
    except (TypeError, ValueError, OverflowError):
        return cells
    # numpy has no error for whole numbers beyond a type: 256 becomes 0 as uint8
    wraps = typed.dtype.kind in "iu" and not (typed == cells)[cells.notna()].all()
    return cells if wraps else typed


@dataclass(frozen=True)
class TableForm:
    """The form of a table.

    Attributes:
        columns: all columns, in the order of the table.
        constraints: that every row fulfills, as declared.
        orders: inequalities that no fitted row breaks, as found.
        lookups: columns that another determines in all fitted rows, as found.
        relations: the residual, the name of a column, and that of the column that it follows.
    """

    columns: tuple[ColumnForm, ...]
    constraints: Constraints = field(default_factory=Constraints)
    orders: tuple[Inequality, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    relations: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def learn(
        cls,
        frame: Any,
        schema: Schema,
        sentences: Sequence[str] = (),
        combinations: Sequence[Sequence[str]] = (),
    ) -> TableForm:
        """Learn the form of the rows that a model is fitted to.

        Args:
            frame: the rows; column names are text.
            schema: of the model.
            sentences: ranges and inequalities, such as "start <= end".
            combinations: names of the columns of each fixed combination.

        Raises:
            OptionError, DataError: as ``ConstraintReader.read``.
        """
        known = {column.name: column for column in schema.columns}
        frame = with_numbers(frame, notations_of(schema))
        values = {name: known[name].rules.read(frame[name]) for name in known}
        forms = [
            ColumnForm.of(frame[name], known.get(name), values.get(name)) for name in frame.columns
        ]
        read = ConstraintReader(schema.modeled, values).read(sentences, combinations)
        modeled = schema.modeled
        matrix = np.stack([values[column.name] for column in modeled], 1)
        names = [column.name for column in modeled]
        lookups = found_lookups(modeled, matrix, read.compared)
        orders = found_orders(modeled, matrix, read.compared, [each.columns for each in lookups])
        found = found_relations(modeled, matrix)
        relations = tuple((form, names[own], names[other]) for form, own, other in found)
        return cls(tuple(forms), read, orders, lookups, relations)

    @classmethod
    def of(cls, schema: Schema) -> TableForm:
        """The form that a schema has, or else what its columns tell: types, and whole numbers."""
        if DETAIL in schema.details:
            return from_mapping(cls, schema.details[DETAIL])
        return cls(tuple(_from_column(column) for column in schema.columns))

    @property
    def without_ranges(self) -> TableForm:
        """The form of rows whose numbers and dates may leave the range of the fitted ones."""
        return replace(
            self, columns=tuple(replace(each, low=None, high=None) for each in self.columns)
        )

    @property
    def inequalities(self) -> tuple[Inequality, ...]:
        """Those that were declared, and those that were found."""
        return self.constraints.inequalities + self.orders

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


def _is_whole(level: Level) -> bool:
    return not isinstance(level, str) and float(level).is_integer()


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


def _marker(series: Any, gone: Array) -> str | None:
    """The text of most missing cells; None: most are empty."""
    blank = empty(series)
    marked = series[gone & ~blank]
    if len(marked) <= blank.sum():
        return None
    return str(marked.mode().iloc[0])


def _identifiers(series: Any) -> IdentifierFormat:
    import pandas as pd

    present = series[~missing(series)]
    if pd.api.types.is_float_dtype(series.dtype):
        present = present.astype("int64")
    if pd.api.types.is_integer_dtype(present.dtype):
        whole = "uint64" if pd.api.types.is_unsigned_integer_dtype(present.dtype) else "int64"
        return IdentifierFormat.of(present.to_numpy(dtype=whole))
    return IdentifierFormat.of(present.astype(str).to_numpy(dtype=str))


def _from_column(column: Column) -> ColumnForm:
    """The form of a column of which only the schema is known."""
    name, own = column.name, column.frame_dtype
    low, high = column.observed or (None, None)
    form = ColumnForm(name, _dtype_of(column), lattice=_lattice(column), low=low, high=high)
    if column.blank:
        return replace(form, dtype="object", blank=True)
    if own in ("category", ORDERED) and column.levels:
        return replace(form, dtype="category", categories=column.levels, ordered=own == ORDERED)
    numeric = not (column.levels or column.rules.has_format)
    return replace(form, text=form.dtype == "string" and numeric)


def _dtype_of(column: Column) -> str:
    """pandas' name of a column's type; that of a category is the type of its levels."""
    own = column.frame_dtype
    if own and own not in ("category", ORDERED) and column.notation is None:
        return own
    if column.rules.has_format and column.dtype.startswith("datetime64"):
        return column.dtype if column.format in (None, ISO) else "object"
    return "object" if column.dtype == "str" else column.dtype


def _lattice(column: Column) -> Lattice:
    """The resolution of a column; an older column may tell it by the digits of its notation."""
    if column.levels:  # codes are whole, and so may be the numbers that they stand for
        return Lattice(1.0) if all(map(_is_whole, column.levels)) else Lattice()
    if column.rules.lattice.step or column.notation is None:
        return column.rules.lattice
    decimals = column.notation.decimals
    return Lattice(10.0**-decimals, decimals=decimals)
