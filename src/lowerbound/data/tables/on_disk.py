"""A Parquet table of any length as a data set whose rows stay in files.

The folder with its encoded rows is complete or absent.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lowerbound import untrusted
from lowerbound._version import __version__
from lowerbound.data.arrays import listed
from lowerbound.data.columns.unmodeled import is_quantity
from lowerbound.data.dataset import Dataset
from lowerbound.data.reading import Reading
from lowerbound.data.row_files import RowFile, check_space, mapped
from lowerbound.data.schema import Schema
from lowerbound.data.tables.arrow import with_arrow_types
from lowerbound.data.tables.chunks import estimated_bytes, placed, rows_at_once, text_as_parquet
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.disk_sample import SettledColumn, TableSample, sampled, whole_frame
from lowerbound.data.tables.duckdb import is_address
from lowerbound.data.tables.files import CSV_SUFFIXES, table_suffix
from lowerbound.data.tables.kind import TableKind
from lowerbound.data.tables.markers import kept_by
from lowerbound.data.tables.numbers import notations_of, with_numbers
from lowerbound.data.tables.parquet import (
    COPIES as PARQUET_COPIES,
    ParquetTable,
    is_parquet,
    refuse_partitions,
)
from lowerbound.durable import new_folder, sync, write_text
from lowerbound.errors import DataError
from lowerbound.untrusted import folders

FACTS = "rows.json"
X, OBSERVED = "x", "observed"
TENSORS = (X, OBSERVED, "label", "target")
BYTES = 9  # of an encoded cell: a number, and whether it is observed
COPIES = 3  # of the rows on disk in a fit: all, those without the test part, those to train on
MORE_SPACE = "choose a folder on another disk (--cache), or leave columns out"
SAMPLED_CELLS = 1 << 23  # that the schema is learned from; a shorter table is used whole

ON_DISK = ("label", "missing", "kinds", "standardize", "normal_scores", "regression", "dialect")
"""The options of reading that rows on disk have."""


def write_rows(folder: Path, parts: Iterable[Dataset]) -> dict[str, object]:
    """Write rows part by part; the facts are what ``read_rows`` needs beside the files.

    Raises:
        OSError: the files cannot be written.
    """
    gaps = False
    with ExitStack() as opened:
        files = {name: opened.enter_context(RowFile(folder / f"{name}.bin")) for name in TENSORS}
        for part in parts:
            gaps = gaps or part.observed is not None
            files[X].append(part.x)
            files[OBSERVED].append(part.mask)
            for name, value in (("label", part.label), ("target", part.target)):
                if value is not None:
                    files[name].append(value)
    kept = [name for name, file in files.items() if file.rows and (gaps or name != OBSERVED)]
    for name, file in files.items():
        if name in kept:
            sync(file.path)
        else:
            file.path.unlink()
    return {name: [files[name].dtype, [files[name].rows, *files[name].shape]] for name in kept}


def finish(
    folder: Path, key: str, schema: Schema, tensors: dict[str, object], note: str = ""
) -> None:
    """Write what the files hold; a folder without this is not complete. ``note``: a warning for
    whoever reads them."""
    facts = {"key": key, "schema": schema.to_mapping(), "tensors": tensors, "note": note}
    write_text(folder / FACTS, json.dumps(facts, indent=1))


def read_rows(folder: Path, key: str, source: str) -> Dataset | None:
    """The rows in a folder, held in its files; None: it has no complete rows of this key."""
    try:
        facts = untrusted.read_mapping(folder / FACTS, DataError)
        with untrusted.guarded(str(folder), DataError):
            if facts["key"] != key:
                return None
            schema = Schema.from_mapping(facts["schema"])
            found: dict[str, Tensor] = {
                name: mapped(folder / f"{name}.bin", *facts["tensors"][name])
                for name in TENSORS
                if name in facts["tensors"]
            }
            note = str(facts.get("note", ""))
    except (OSError, DataError):
        return None
    if note:
        warnings.warn(note, UserWarning, stacklevel=3)
    return Dataset(schema, source=source, folder=folder, **found)  # type: ignore[arg-type]


def load_on_disk(source: str | Path, cache: str | Path, **options: Any) -> Dataset:
    """Read a table of any length; its rows are encoded to files and stay there.

    The first pass over the table finds the schema: on all rows, if they have at most
    ``SAMPLED_CELLS`` cells, and else on a uniform sample of that size. The second pass encodes
    chunk after chunk. Classes, shares of missing cells, ranges and resolutions are those of all
    rows. A level that the sample lacks counts as missing, and a warning names it.

    Args:
        source: a Parquet file, or a folder of such files with the same columns, which are read in
            the order of their names; or a file of text, such as csv, which is Parquet during this
            call.
        cache: a folder. The rows go to a subfolder named by a hash of the table's files and of
            these options; if it is there already, it is used.
        options: those of ``load`` in ``ON_DISK``: label, missing, kinds, standardize,
            normal_scores, regression and dialect.

    Raises:
        DataError: ``source`` is no such table, a file is damaged or has other columns than the
            first (the message names it), the rows cannot be modeled, or the disk is too small.
        OptionError: an option has an unknown value.
        OSError: the files cannot be written.
    """
    if not is_streamed(source):
        refuse_partitions(source, on_disk=True)
        raise DataError(f"only Parquet and csv are read to files, and {source!s:.60} is neither")
    for name in options.keys() - ON_DISK:
        raise TypeError(f"load_on_disk() got an unexpected keyword argument {name!r}")
    reading = Reading(**options)
    path = Path(source).expanduser()
    with untrusted.guarded(str(source), DataError):
        key = _key(ParquetTable.open(path).files if is_parquet(path) else (path,), reading)
        folder = Path(cache) / key
        found = read_rows(folder, key, str(source))
        if found is None:
            folders.remove_tree(folder)  # rows that cannot be read
            with _table(path, reading, Path(cache)) as (table, reading):
                needed = COPIES * table.rows * len(table.schema) * BYTES
                check_space(needed, str(path), folder, MORE_SPACE)
                with new_folder(folder, keep=True) as unfinished:
                    _encode(table, reading, key, unfinished)
            found = read_rows(folder, key, str(source))
        if found is None:
            raise DataError(f"the rows in {folder} cannot be read again: delete this folder")
        return found


def schema_on_disk(
    source: str | Path,
    cache: str | Path,
    *,
    label: str | None = None,
    dialect: Dialect | None = None,
) -> tuple[Schema, int]:
    """The schema of a table of any length, as of ``load_on_disk``, and its number of rows.

    No row is written; a table of text is Parquet in ``cache`` during this call.

    Raises:
        DataError: as for ``load_on_disk``.
        OSError: the file cannot be written.
    """
    path, reading = Path(source).expanduser(), Reading(label=label, dialect=dialect)
    with (
        untrusted.guarded(str(source), DataError),
        _table(path, reading, Path(cache)) as (table, reading),
    ):
        rows = _streamed(table, reading)
        if not rows.sample.complete:
            for _ in rows:
                pass
        if note := rows.late_note():
            warnings.warn(note, UserWarning, stacklevel=2)
        return rows.settled, table.rows


def exceeds_memory(source: str | Path, dialect: Dialect | None = None) -> bool:
    """Whether a table that ``is_streamed`` takes more memory than the limit, about.

    Raises:
        DataError: it cannot be read.
    """
    path = Path(source).expanduser()
    if is_parquet(path):
        size: float = PARQUET_COPIES * ParquetTable.open(path).bytes
    else:
        size = estimated_bytes(path, dialect)
    return size > untrusted.memory_limit()


def is_streamed(source: Any) -> bool:
    """Whether ``load_on_disk`` reads this table."""
    if is_parquet(source):
        return True
    if not isinstance(source, str | Path) or is_address(source):
        return False
    try:
        path = Path(source).expanduser()
    except RuntimeError:  # no such home
        return False
    return table_suffix(path) in CSV_SUFFIXES and path.is_file()


@contextmanager
def _table(path: Path, reading: Reading, cache: Path) -> Iterator[tuple[ParquetTable, Reading]]:
    """Context with the table as Parquet, and how it is read."""
    if is_parquet(path):
        yield ParquetTable.open(path), reading
        return
    with text_as_parquet(path, reading.dialect, cache, kept_by(reading)) as (table, dialect):
        yield table, replace(reading, dialect=dialect or reading.dialect)


def _key(paths: Sequence[Path], reading: Reading) -> str:
    """A hash of the files' names, sizes and times, and of all that decides how they are encoded."""
    files = [(str(file.resolve()), file.stat()) for file in paths]
    parts = {
        "version": __version__,
        "files": [(name, facts.st_size, facts.st_mtime_ns) for name, facts in files],
        "reading": repr(reading),
        "cells": SAMPLED_CELLS,
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _encode(table: ParquetTable, reading: Reading, key: str, folder: Path) -> None:
    """Write the encoded rows of a table to a folder.

    Raises:
        DataError: a file is damaged, or the rows cannot be modeled.
    """
    rows = _streamed(table, reading)
    tensors = write_rows(folder, rows)
    finish(folder, key, rows.settled, tensors, rows.late_note())


def _streamed(table: ParquetTable, reading: Reading) -> StreamedRows:
    """The rows of a table after the pass that finds their schema.

    Raises:
        DataError: a file is damaged, or the rows cannot be modeled.
    """
    is_class = isinstance(reading.label, str) and reading.label in table.schema.names
    named = reading.label if is_class and not reading.regression else None
    sample = sampled(table, SAMPLED_CELLS, named)
    if is_parquet(table.path):
        with_arrow_types(sample.frame, table.schema)
    schema = _schema_of(sample, reading, str(table.path))
    return StreamedRows(table, sample, schema)


def _schema_of(sample: TableSample, reading: Reading, source: str) -> Schema:
    """The schema of the sampled rows, with the classes of all rows.

    Row numbers do not count up in a sample, so they are named as what they are.
    """
    if not sample.complete and reading.kinds != "real":
        hints = reading.kinds if isinstance(reading.kinds, Mapping) else {}
        counters = {name for name in sample.counters if not is_quantity(name)} - {reading.label}
        reading = replace(reading, kinds={**dict.fromkeys(counters, "identifier"), **hints})
    raw = replace(TableKind().read(sample.frame, reading), source=source)
    return reading.schema_of(replace(raw, class_names=sample.class_names))


@dataclass
class StreamedRows:
    """The encoded rows of a table, chunk by chunk, and what is found on the way."""

    table: ParquetTable
    sample: TableSample
    schema: Schema

    def __post_init__(self) -> None:
        self.columns = [SettledColumn(column) for column in self.schema.columns]
        self.late: dict[str, int] = {}

    def __iter__(self) -> Iterator[Dataset]:
        """The chunks in order.

        Raises:
            DataError: a file is damaged, or rows do not fit the schema.
        """
        source, how, first = str(self.table.path), Reading(schema=self.schema), 0
        notes: set[str] = set()
        for batch in self.table.batches(rows_at_once(len(self.table.schema))):
            frame = whole_frame(batch, self.sample.incomplete, source)
            frame = (how.text_dialect or Dialect()).emptied(frame)
            with placed(source, first, notes):
                part = how.encoded(TableKind().read(frame, how))
            if not self.sample.complete:
                self._settle(frame, part)
            first += len(frame)
            yield part
        if first != self.table.rows:
            raise DataError(f"{source} has changed while it was read: read it again")

    def _settle(self, frame: Any, part: Dataset) -> None:
        frame = with_numbers(frame, notations_of(self.schema))
        for column in self.columns:
            column.add(frame[column.column.name])
        counts = [] if part.unseen is None else part.unseen_cells.sum(0).tolist()
        for column, count in zip(self.columns, counts, strict=False):
            name = column.column.name
            if count:
                self.late[name] = self.late.get(name, 0) + count

    @property
    def settled(self) -> Schema:
        """The schema after all rows."""
        if self.sample.complete:
            return self.schema
        return replace(self.schema, columns=tuple(each.settled for each in self.columns))

    def late_note(self) -> str:
        """Names the columns with values that the sample lacks; "": there are none."""
        if not self.late:
            return ""
        cells = [f"{count:,} of {name!r}" for name, count in self.late.items()]
        return (
            f"{self.table.path}: cells whose value is not in the {len(self.sample.frame):,} "
            f"rows that the schema was learned from: {listed(cells)}. They count as missing; "
            "--kind or --columns (in Python kinds=) can give all levels of a column"
        )
