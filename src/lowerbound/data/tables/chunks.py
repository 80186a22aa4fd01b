"""Tables of any length, some rows at a time, so that no table has to be held as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.data.schema import Schema
from lowerbound.data.tables.arrow import frame_of
from lowerbound.data.tables.duckdb import address_chunks, is_address
from lowerbound.data.tables.files import (
    BROKEN_CSV,
    OPENERS,
    PARQUET_SUFFIXES,
    Layout,
    check_widths,
    may_be_ragged,
    parquet,
    sniffed,
    unreadable,
)
from lowerbound.errors import DataError

CELLS = 1 << 20  # of a chunk: enough to keep the processor busy, some tens of MB on the way through
FEWEST_ROWS, MOST_ROWS = 256, 1 << 16


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a table.

    Attributes:
        frame: a pandas frame.
        first: number of its first row in the whole table, from 0.
        share: of the table that has been read when this chunk has, up to 1.
    """

    frame: Any
    first: int
    share: float

    @property
    def total(self) -> int:
        """Rows of the whole table: exact for parquet, for csv a guess from the bytes read."""
        return max(round((self.first + len(self.frame)) / self.share), self.first + len(self.frame))


def read_chunks(source: str | Path, schema: Schema, rows: int | None = None) -> Iterator[Chunk]:
    """The rows of a table in order; one empty chunk of a table without rows.

    A column that held text when the schema was learned is read as text, so that no chunk takes
    "007" for a number.

    Args:
        source: a csv or parquet file, or the address of a database's table.
        schema: of the model that is going to see the rows.
        rows: in a chunk; None: by the number of columns, so that memory stays within bounds.

    Raises:
        DataError: as ``read_frame``.
    """
    rows = rows or min(max(CELLS // max(len(schema.columns), 1), FEWEST_ROWS), MOST_ROWS)
    text = {column.name for column in schema.columns if column.dtype == "str"}
    first = 0
    for frame, share in _frames(source, rows, text):
        yield Chunk(frame, first, share)
        first += len(frame)


def _frames(source: str | Path, rows: int, text: Collection[str]) -> Iterator[tuple[Any, float]]:
    """Frames, and the share of the table that has been read with each."""
    if isinstance(source, str) and is_address(source):
        return address_chunks(source, rows)
    path = Path(source).expanduser()
    return (
        _parquet(path, rows) if path.suffix.lower() in PARQUET_SUFFIXES else _csv(path, rows, text)
    )


def _parquet(path: Path, rows: int) -> Iterator[tuple[Any, float]]:
    """Frames of a parquet file, and the share of its rows that is done with each."""
    done = 0
    with parquet(path) as file:
        total = file.metadata.num_rows
        if not total:
            yield frame_of(file.read(), str(path)), 1.0
        for batch in file.iter_batches(batch_size=rows):
            done += len(batch)
            yield frame_of(batch, str(path)), done / total


def _csv(path: Path, rows: int, text: Collection[str]) -> Iterator[tuple[Any, float]]:
    """Frames of a csv file, and the share of its bytes that has been read with each."""
    import pandas as pd

    layout = sniffed(path)
    size, checked, done = max(path.stat().st_size, 1), False, 0
    with path.open("rb") as raw:
        opener = OPENERS.get(path.suffix.lower())
        opened = raw if opener is None else opener(raw, "rb")
        keywords = {**layout.keywords, "dtype": _types(layout, text), "chunksize": rows}
        try:
            for frame in pd.read_csv(opened, low_memory=False, **keywords):
                if not checked and may_be_ragged(frame, done):
                    check_widths(path, layout)
                    checked = True  # of the whole file
                done += len(frame)
                yield layout.named(frame), min(max(raw.tell() / size, 1 / size), 1.0)
        except BROKEN_CSV as error:
            if isinstance(error, DataError):
                raise
            raise unreadable(path, layout, error) from error


def _types(layout: Layout, text: Collection[str]) -> dict[str | int, type]:
    """The types for pandas of the columns of text, which it calls 0, 1, ... without a header."""
    if layout.header:
        return dict.fromkeys(text, str)
    return {int(name[1:]): str for name in text if name[1:].isdecimal()}
