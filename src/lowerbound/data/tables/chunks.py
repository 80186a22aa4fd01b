"""Reading tables of any length in chunks, so that no table is in memory as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.data.schema import Schema
from lowerbound.data.tables.arrow import frame_of
from lowerbound.data.tables.dialect import OPENERS, Dialect, Layout, sniffed
from lowerbound.data.tables.duckdb import address_chunks, is_address
from lowerbound.data.tables.files import (
    BROKEN_CSV,
    PARQUET_SUFFIXES,
    WORKBOOKS,
    check_widths,
    parquet,
    read_workbook,
    unreadable,
)

CELLS = 1 << 20  # per chunk: large enough for speed, at tens of MB of memory
FEWEST_ROWS, MOST_ROWS = 256, 1 << 16


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive rows of a table.

    Attributes:
        frame: a pandas frame.
        first: index of its first row in the whole table, from 0.
        share: fraction of the table that is read, including this chunk.
    """

    frame: Any
    first: int
    share: float

    @property
    def total(self) -> int:
        """Rows of the whole table: exact for parquet, estimated from the bytes read for csv."""
        return max(round((self.first + len(self.frame)) / self.share), self.first + len(self.frame))


def read_chunks(source: str | Path, schema: Schema, rows: int | None = None) -> Iterator[Chunk]:
    """Read the rows of a table in order; a table without rows gives one empty chunk.

    A column of text in the schema is read as text, so that "007" does not become a number.

    Args:
        source: a csv or parquet file, or the address of a database's table.
        schema: of the model.
        rows: rows per chunk; None: from the number of columns, to limit memory.

    Raises:
        DataError: as in ``read_frame``.
    """
    rows = rows or min(max(CELLS // max(len(schema.columns), 1), FEWEST_ROWS), MOST_ROWS)
    text = {column.name for column in schema.columns if column.dtype == "str"}
    first = 0
    for frame, share in _frames(source, rows, text, schema.text_dialect):
        yield Chunk(frame, first, share)
        first += len(frame)


def _frames(
    source: str | Path, rows: int, text: Collection[str], asked: Dialect | None
) -> Iterator[tuple[Any, float]]:
    """Yield (frame, fraction of the table read so far)."""
    if isinstance(source, str) and is_address(source):
        return address_chunks(source, rows)
    path = Path(source).expanduser()
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return _parquet(path, rows)
    if path.suffix.lower() in WORKBOOKS:
        return iter([(read_workbook(path, None if asked is None else asked.sheet), 1.0)])
    return _csv(path, rows, text, asked)


def _parquet(path: Path, rows: int) -> Iterator[tuple[Any, float]]:
    """Yield (frame, fraction of the rows read so far) of a parquet file."""
    done = 0
    with parquet(path) as file:
        total = file.metadata.num_rows
        if not total:
            yield frame_of(file.read(), str(path)), 1.0
        for batch in file.iter_batches(batch_size=rows):
            done += len(batch)
            yield frame_of(batch, str(path)), done / total


def _csv(
    path: Path, rows: int, text: Collection[str], asked: Dialect | None
) -> Iterator[tuple[Any, float]]:
    """Yield (frame, fraction of the bytes read so far) of a csv file."""
    import pandas as pd

    layout = sniffed(path, asked)
    check_widths(path, layout)  # beyond the first chunk, pandas before 3.1 drops further fields
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw:
        opener = OPENERS.get(path.suffix.lower())
        opened = raw if opener is None else opener(raw, "rb")
        keywords = {"dtype": _types(layout, text), **layout.keywords, "chunksize": rows}
        try:
            with pd.read_csv(opened, low_memory=False, **keywords) as frames:
                for frame in frames:
                    yield layout.named(frame), min(max(raw.tell() / size, 1 / size), 1.0)
        except BROKEN_CSV as error:
            raise unreadable(path, layout, error) from error


def _types(layout: Layout, text: Collection[str]) -> dict[str | int, type]:
    """pandas' types of the text columns; without a header pandas names columns 0, 1, ..."""
    if layout.header:
        return dict.fromkeys(text, str)
    return {int(name[1:]): str for name in text if name[1:].isdecimal()}
