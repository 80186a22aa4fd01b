"""A uniform sample of the rows of a table that is not in memory, and what only all rows tell.

From chunks of all rows come missing cells, ranges and resolutions of the schema.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.lattice import Lattice
from lowerbound.data.columns.unmodeled import NAMES_ROWS
from lowerbound.data.columns.values import with_own_gaps
from lowerbound.data.labels import classes_of, label_names
from lowerbound.data.tables.arrow import frame_of
from lowerbound.data.tables.chunks import rows_at_once
from lowerbound.data.tables.files import PADDED
from lowerbound.data.tables.parquet import ParquetTable

SEED = 0
FEW_TIMES = 4  # rows for each drawn one, up to which all are shuffled


@dataclass
class SettledColumn:
    """A column of a schema that was learned from a sample, on its way through all rows.

    After all rows it equals ``ColumnKind.settled`` of them, given the same kind and map.
    """

    column: Column
    rows: int = 0
    gone: int = 0
    low: float = np.inf
    high: float = -np.inf
    lattice: Lattice | None = None  # None while all values are equal

    def add(self, cells: Any) -> None:
        """Count the next cells, and widen range and resolution by them."""
        absent = self.column.rules.missing(cells)
        self.rows += len(absent)
        self.gone += int(absent.sum())
        if self.column.levels or absent.all():
            return
        with warnings.catch_warnings():  # the rows are read again when they are encoded
            warnings.simplefilter("ignore")
            present = self.column.rules.read(cells)[~absent]
        self.lattice = finer(self.lattice, self.low, present, self.column.dtype)
        self.low = min(self.low, present.min().item())
        self.high = max(self.high, present.max().item())

    @property
    def settled(self) -> Column:
        """The column after the rows so far."""
        if self.column.blank:  # it is not modeled, whatever later rows have
            return self.column
        column = replace(self.column, missing_share=self.gone / max(self.rows, 1))
        if self.low > self.high:
            return column
        lattice = self.lattice or Lattice.of(np.array([self.low]), self.column.dtype)
        return replace(column, lattice=lattice, observed=(self.low, self.high))


def finer(lattice: Lattice | None, known: float, values: Array, dtype: str) -> Lattice | None:
    """The coarsest lattice that has the values so far, and further ones; None: all are equal.

    Args:
        lattice: of the values so far.
        known: one of them; inf: there is none.
        values: the further ones, float64, at least one, not NaN.
        dtype: numpy's name of the type in which they are exact.
    """
    if lattice is None:
        known = known if np.isfinite(known) else values[0]
        return None if (values == known).all() else Lattice.of(np.append(values, known), dtype)
    if not lattice.step:
        return lattice
    off = values[lattice.nearest(values) != values]
    if not len(off):
        return lattice
    neighbor = np.round(known + lattice.step, lattice.decimals)
    return Lattice.of(np.array([*off, known, neighbor]), dtype)


@dataclass(frozen=True, eq=False)
class TableSample:
    """Rows of a table, and what was found on a pass over all of its rows.

    Attributes:
        frame: the sampled rows in the order of the table, with the types of the whole table; of
            each column of text the first row with a code such as 02139 is among them, since no
            other row may show that the column is not numbers.
        complete: whether these are all rows.
        incomplete: columns with missing cells in some row.
        counters: columns of whole numbers that go up by one from each row to the next.
        class_names: of the label in all rows; None: it is not a class, or there is none.
    """

    frame: Any
    complete: bool
    incomplete: frozenset[str]
    counters: frozenset[str]
    class_names: tuple[str, ...] | None


def sampled(table: ParquetTable, cells: int, label: str | None = None) -> TableSample:
    """Read a table once and keep some rows.

    Args:
        table: to read.
        cells: of all kept rows, at most; a table with fewer is kept whole.
        label: the column of a label that is a class; None: there is none.

    Raises:
        DataError: a file is damaged, or the label is no class.
    """
    import pyarrow as pa

    wanted = drawn_rows(table.rows, max(cells // max(len(table.schema), 1), 2))
    found, kept, first = _WholeTable(table.schema, label), [], 0
    for batch in table.batches(rows_at_once(max(len(table.schema), 1))):
        found.add(batch)
        start, end = np.searchsorted(wanted, (first, first + len(batch)))
        rows = np.union1d(wanted[start:end] - first, found.first_codes(batch))
        kept.append(pa.Table.from_batches([batch.take(rows)]))
        first += len(batch)
    drawn = pa.concat_tables(kept) if kept else table.schema.empty_table()
    incomplete = frozenset(found.incomplete)
    return TableSample(
        whole_frame(drawn, incomplete, str(table.path)),
        len(wanted) == table.rows,
        incomplete,
        frozenset(found.steps) if first >= NAMES_ROWS else frozenset(),
        classes_of(found.names) if label is not None else None,
    )


def drawn_rows(rows: int, most: int) -> Array:
    """Increasing row numbers, (min(rows, most),), drawn without replacement.

    Each set of rows is as likely as any other, and of many rows no number is kept for each.
    """
    if rows <= most:
        return np.arange(rows)
    rng = np.random.default_rng(SEED)
    if rows <= FEW_TIMES * most:
        return np.sort(rng.permutation(rows)[:most])
    found = np.unique(rng.integers(rows, size=2 * most))
    while len(found) < most:
        found = np.union1d(found, rng.integers(rows, size=most))
    return np.sort(rng.choice(found, most, replace=False))


def whole_frame(rows: Any, incomplete: frozenset[str], source: str) -> Any:
    """Rows of a table as a frame, with the types that a frame of all its rows would have.

    pandas converts whole numbers and booleans to other types if a cell is missing. A column with
    missing cells in other rows therefore gets a further one, in a row that is left out again.

    Args:
        rows: a table or a record batch of Arrow.
        incomplete: columns with missing cells in some row of the table.
        source: its name in messages.
    """
    import pyarrow as pa

    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    kinds = (pa.types.is_integer, pa.types.is_boolean)
    lacking = [
        place
        for place, each in enumerate(table.schema)
        if each.name in incomplete and any(kind(each.type) for kind in kinds)
    ]
    if not lacking or not len(table):
        return _with_text_names(frame_of(table, source))
    further = table.slice(0, 1)
    for place in lacking:
        each = table.schema.field(place)
        further = further.set_column(place, each, pa.nulls(1, each.type))
    return _with_text_names(frame_of(pa.concat_tables([table, further]), source).iloc[:-1])


def _with_text_names(frame: Any) -> Any:
    """The frame of a file that can have empty cells; pandas notes in it which names were numbers,
    and reads them so."""
    return with_own_gaps(frame.set_axis([str(name) for name in frame.columns], axis=1))


@dataclass
class _WholeTable:
    """What a pass over all rows finds."""

    schema: Any
    label: str | None
    incomplete: set[str] = field(default_factory=set)
    steps: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        import pyarrow as pa

        whole = [each.name for each in self.schema if pa.types.is_integer(each.type)]
        self._last: dict[str, int | None] = dict.fromkeys(whole)
        text = (pa.types.is_string, pa.types.is_large_string)
        self._without_code = [
            place for place, each in enumerate(self.schema) if any(is_(each.type) for is_ in text)
        ]

    def add(self, batch: Any) -> None:
        """Look at the next rows."""
        gaps = [name for name, cells in _columns(batch) if cells.null_count]
        self.incomplete.update(gaps)
        self._count(batch)
        if self.label is not None:
            labels = frame_of(batch.select([self.label]), "").iloc[:, 0]
            self.names.update(label_names(labels.unique()))

    def first_codes(self, batch: Any) -> Array:
        """The rows of the next batch with the first ``PADDED`` cell of a column in the table."""
        import pyarrow.compute as pc

        rows = {
            place: pc.index(
                pc.match_substring_regex(batch.column(place), f"^{PADDED}"), True
            ).as_py()
            for place in self._without_code
        }
        self._without_code = [place for place, row in rows.items() if row < 0]
        return np.array([row for row in rows.values() if row >= 0], dtype=np.int64)

    def _count(self, batch: Any) -> None:
        """Follow the columns that have counted up so far."""
        for name, last in list(self._last.items()):
            cells = batch.column(batch.schema.get_field_index(name))
            if cells.null_count:
                del self._last[name]
                self.steps.pop(name, None)
                continue
            values = cells.to_numpy(zero_copy_only=False)
            going = last is None or int(values[0]) == last + 1
            if going and bool((values[1:] - values[:-1] == 1).all()):
                self._last[name] = self.steps[name] = int(values[-1])
            else:
                del self._last[name]
                self.steps.pop(name, None)


def _columns(batch: Any) -> Iterator[tuple[str, Any]]:
    return zip(batch.schema.names, batch.columns, strict=True)
