"""The form of a column: what its synthetic cells must share with it besides their distribution.

Such are values that rows share more often than by chance. A cell of a histogram has a probability,
and says nothing of the values in it: of 500 prices most may end in .99. In a cell, a drawn value is
one of the repeated values with the share of the rows that have them there, in proportion to these
rows; the others are drawn as before. A whole number that is no more frequent than the numbers
around it is none of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns import durations
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.dates import ISO
from lowerbound.data.columns.identifiers import GOLDEN, IdentifierFormat
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.levels import DATE, in_level_type
from lowerbound.data.columns.values import (
    Level,
    empty,
    level_name as level_name,
    missing,
    scalar,
    with_room_for_gaps,
)
from lowerbound.data.protection.identity import FRESH, FreshCells
from lowerbound.data.protection.record import People
from lowerbound.data.tables.frames import ORDERED, decimal_type
from lowerbound.data.tables.markers import is_text, marker_of

FEWEST_ROWS = 3  # that have a value
AROUND = 10  # distinct values on each side, with which one is compared
CERTAINTY = 3.0  # standard errors
LEAST_SHARE = 0.05  # of the rows that have such values
FEW_VALUES = 64  # of a column with steps, whose cells hold one value each
MOST_VALUES = 1_000  # repeated ones of a column
ROUNDED = 1e-6  # relative error of numbers that were float32


@dataclass(frozen=True)
class RepeatedValues:
    """The values of a column that several rows have.

    Attributes:
        values: increasing, units of the table.
        rows: how many rows have each.
        between: rows with other values: below the first, between each two, and above the last.
    """

    values: tuple[float, ...]
    rows: tuple[int, ...]
    between: tuple[int, ...]

    @classmethod
    def of(
        cls, values: Array, lattice: Lattice, people: People | None = None
    ) -> RepeatedValues | None:
        """Those of a column; None if there are hardly any, or its cells hold one value each.

        Args:
            values: of the rows, units of the table; NaN where missing.
            lattice: the resolution of the column.
            people: of whom enough must have a repeated value; None: ``FEWEST_ROWS`` rows.
        """
        there = np.isfinite(values)
        distinct, place, rows = np.unique(values[there], return_inverse=True, return_counts=True)
        # float32 numbers that were read from decimals may differ from the lattice in a bit
        step = 0.0 if lattice.single else lattice.step
        kept: Array = np.asarray(rows >= np.maximum(FEWEST_ROWS, by_chance(distinct, rows, step)))
        if people is not None:
            kept = kept & people.enough(place, there, len(distinct))
        if kept.sum() > MOST_VALUES:
            kept &= rows >= np.sort(rows)[-MOST_VALUES]
        if rows[kept].sum() < LEAST_SHARE * max(1, rows.sum()):
            return None
        if step and len(distinct) <= FEW_VALUES:
            return None
        place = np.cumsum(kept)[~kept]
        between = np.bincount(place, rows[~kept], minlength=int(kept.sum()) + 1).astype(int)
        return cls(
            tuple(distinct[kept].tolist()), tuple(rows[kept].tolist()), tuple(between.tolist())
        )

    def drawn(self, values: Array, low: Array, high: Array, level: Array) -> Array:
        """Drawn values, some of which are replaced by repeated ones; all (rows,).

        Args:
            values: drawn from the cells, units of the table.
            low, high: ends of the part of the cell that each is from; equal if the cell holds one
                value.
            level: uniform numbers of [0, 1).
        """
        known, upto, others = self._cumulative
        slack = ROUNDED * np.maximum(np.abs(low), np.abs(high))
        one = high - low <= slack
        first = np.searchsorted(known, low - slack * one)
        last = np.searchsorted(known, high + slack * one, side="right")
        repeated = upto[last] - upto[first]
        rest = np.where(one, 0.0, self._others(high, others) - self._others(low, others))
        goal = level * (repeated + rest)
        place = np.searchsorted(upto, upto[first] + goal, side="right") - 1
        taken = (goal < repeated) & (repeated > 0)
        return np.where(taken, known[np.minimum(place, len(known) - 1)], values)

    @cached_property
    def _cumulative(self) -> tuple[Array, Array, Array]:
        """(values, rows below each and of all, other rows below each and of all)."""
        return (
            np.array(self.values),
            np.concatenate([[0.0], np.cumsum(self.rows, dtype=np.float64)]),
            np.cumsum(self.between, dtype=np.float64),
        )

    def _others(self, end: Array, others: Array) -> Array:
        """Rows with other values up to each end; evenly spread between two repeated values."""
        return np.asarray(np.interp(end, self.values, others[:-1], left=0.0, right=others[-1]))


def by_chance(distinct: Array, rows: Array, step: float) -> Array:
    """How many rows a value of the column's steps may have by chance, given those around it."""
    if not step or len(distinct) < 2:
        return np.zeros(len(distinct))
    place = np.arange(len(distinct))
    first, last = np.maximum(place - AROUND, 0), np.minimum(place + AROUND, len(distinct) - 1)
    upto = np.concatenate([[0], np.cumsum(rows)])
    others = upto[last + 1] - upto[first] - rows
    usual = others / np.maximum((distinct[last] - distinct[first]) / step, 1.0)
    return np.asarray(usual + CERTAINTY * np.sqrt(usual))


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
