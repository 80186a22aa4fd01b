"""The form of a column: what its synthetic cells must share with it besides their distribution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.text import durations
from lowerbound.data.columns.text.date_formats import ISO
from lowerbound.data.columns.text.level_types import DATE, in_level_type
from lowerbound.data.columns.text.word_patterns import GOLDEN
from lowerbound.data.columns.values import (
    Level,
    empty,
    missing,
    name as level_name,
    scalar,
    with_room_for_gaps,
)
from lowerbound.data.protection.fresh import FRESH, FreshCells
from lowerbound.data.protection.people import People
from lowerbound.data.synthetic.repeated import RepeatedValues
from lowerbound.data.tables.frame_types import ORDERED, decimal_type
from lowerbound.data.tables.markers import is_text, marker_of


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
        fresh: of a column that identifies people, the cells of the level ``FRESH``.
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
    fresh: FreshCells | None = None

    @classmethod
    def of(
        cls,
        series: Any,
        column: Column | None,
        values: Array | None,
        people: People | None = None,
    ) -> ColumnForm:
        """Learn the form of a column.

        Args:
            series: its cells.
            column: None if it identifies rows.
            values: in original units, NaN where missing; None if it identifies rows.
            people: whose values repeat; None: of the rows.
        """
        form = cls._of_type(series)
        if column is None or values is None:
            share = float(missing(series).mean())
            return replace(form, identifiers=_identifiers(series), missing=share)
        gone = np.isnan(values)
        form = replace(form, marker=_marker(series, gone), missing=float(gone.mean()))
        if gone.all():
            return replace(form, blank=True)
        if column.levels:
            unused = set(range(len(column.levels))) - set(values[~np.isnan(values)].astype(int))
            return replace(form, unused=tuple(sorted(unused)), lattice=_lattice(column))
        low, high = column.observed or (None, None)
        numeric = not (column.rules.has_format and column.dtype.startswith("datetime64"))
        text = form.dtype in ("object", "str", "string") and numeric
        lattice = column.rules.lattice
        repeated = RepeatedValues.of(values, lattice, people)
        return replace(form, lattice=lattice, low=low, high=high, repeated=repeated, text=text)

    @property
    def identifies(self) -> bool:
        """Whether its cells are, or may be, fresh ones."""
        return self.fresh_format is not None

    @property
    def fresh_format(self) -> IdentifierFormat | None:
        """Of its fresh cells; None: it has none."""
        return self.identifiers if self.fresh is None else self.fresh.format

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
        if self.fresh is not None:
            return self.with_fresh(cells.astype(object).mask(gone, None), first)
        typed = self._in_type(cells, gone, column.level_type)
        if column.notation is not None:
            typed = column.notation.in_frame(typed)
        return typed if self.marker is None else typed.mask(gone, self.marker)

    def with_fresh(self, cells: Any, first: int) -> Any:
        """Cells with fresh ones in place of ``FRESH``, from number ``first`` on, in the type of the
        table."""
        import pandas as pd

        assert self.fresh is not None
        fresh = pd.Series(self.fresh.fresh(first, len(cells)), index=cells.index).astype(object)
        return in_fresh_type(cells.astype(object).mask(cells == FRESH, fresh), self.fresh)

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
        if (decimal := decimal_type(self.dtype)) is not None:
            return cells.mask(gone).astype(decimal)
        return cells.mask(gone).astype(self.dtype) if gone.any() else cells.astype(self.dtype)


def in_fresh_type(cells: Any, fresh: FreshCells) -> Any:
    """Cells, some of them fresh ones, in the type of the table."""
    whole = {"i": "Int64", "u": "UInt64"}.get(np.dtype(fresh.format.dtype).kind)
    return in_type_or_wide(cells.astype(whole) if whole else cells, fresh.dtype)


def in_type_or_wide(cells: Any, dtype: str) -> Any:
    """The cells in a type if it can represent them."""
    try:
        typed = cells.astype(decimal_type(dtype) or dtype)
    except (TypeError, ValueError, OverflowError):
        return cells
    # numpy has no error for whole numbers beyond a type: 256 becomes 0 as uint8
    wraps = typed.dtype.kind in "iu" and not (typed == cells)[cells.notna()].all()
    return cells if wraps else typed


def _is_whole(level: Level) -> bool:
    return not isinstance(level, str) and float(level).is_integer()


def _marker(series: Any, gone: Array) -> str | None:
    """The text of most missing cells; None: most are empty."""
    blank = empty(series)
    marked = series[gone & ~blank]
    if len(marked) <= blank.sum():
        return marker_of(series) if is_text(series) else None
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


def of_schema_column(column: Column) -> ColumnForm:
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
