"""Reading tables of any length in chunks, so that no table is in memory as a whole.

Tables of text of any length, such as csv, as Parquet: with the types of a whole reading.

Read chunk by chunk, a column may be whole numbers in one chunk and words in another. A first pass
therefore finds one type per column, and a second pass writes the cells in it.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.inference import is_code
from lowerbound.data.columns.values import EXACT, with_own_gaps
from lowerbound.data.row_files import check_space
from lowerbound.data.schema import Schema
from lowerbound.data.tables.arrow import frame_of, with_arrow_types
from lowerbound.data.tables.dialect import Dialect, Layout, sniffed
from lowerbound.data.tables.duckdb import address_chunks, is_address
from lowerbound.data.tables.files import (
    CSV_SUFFIXES,
    check_delimiter,
    check_widths,
    is_padded,
    kept_words,
    may_have_leading_zeros,
    parsing,
    table_suffix,
    written_as_known,
)
from lowerbound.data.tables.markers import Kept, emptied, levels_of, texts_kept
from lowerbound.data.tables.numbers import notations_of
from lowerbound.data.tables.parquet import ParquetTable, is_parquet
from lowerbound.data.tables.workbooks import WORKBOOKS, read_workbook
from lowerbound.durable import unfinished
from lowerbound.errors import DataError
from lowerbound.untrusted import folders

CELLS = 1 << 20  # per chunk: large enough for speed, at tens of MB of memory
FEWEST_ROWS, MOST_ROWS = 256, 1 << 16
TEXTS = ("string", "mixed", "mixed-integer")  # of pandas, for what a column holds
BLOCK = 1024  # longer chunks are whole blocks, which applications compute or draw at once


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive rows of a table.

    Attributes:
        frame: a pandas frame.
        first: index of its first row in the whole table, from 0.
        share: fraction of the table that is read, including this chunk.
        text: the cells as the file writes them, a frame of text; None if they are not asked for, or
            the table is not a file of text.
        dialect: how the file is written; None: it is not a file of text.
    """

    frame: Any
    first: int
    share: float
    text: Any = None
    dialect: Dialect | None = None

    @property
    def total(self) -> int:
        """Rows of the whole table: exact for parquet, estimated from the bytes read for csv."""
        return max(round((self.first + len(self.frame)) / self.share), self.first + len(self.frame))


def read_chunks(
    source: str | Path,
    schema: Schema,
    rows: int | None = None,
    *,
    copies: int = 1,
    texts: bool = False,
) -> Iterator[Chunk]:
    """Read the rows of a table in order; a table without rows gives one empty chunk.

    A column of text in the schema is read as text, so that "007" does not become a number. So are
    numbers in a notation of the schema, and labels if some class is a code such as "007".

    Args:
        source: a csv or parquet file, or the address of a database's table.
        schema: of the model.
        rows: rows per chunk; None: from the number of columns, to limit memory.
        copies: of the cells that are in memory at once, which makes chunks shorter.
        texts: whether each chunk also has the cells as the file writes them, and a column that the
            schema does not have is text in every chunk if it is text in one.

    Raises:
        DataError: as in ``read_frame``.
    """
    rows = rows or rows_at_once(max(len(schema.columns), 1) * copies)
    text = {c.name for c in schema.columns if c.dtype == "str" or _has_long_levels(c)}
    if schema.label_column is not None and any(map(is_code, schema.class_names)):
        text.add(schema.label_column)
    dialect = None
    if _is_csv(source):
        path = Path(source).expanduser()
        layout = sniffed(path, schema.text_dialect)
        dialect = layout.dialect
        text |= written_as_known(path, layout, notations_of(schema))
        if texts:
            known = {column.name for column in schema.columns}
            text |= _other_text(path, rows, known, schema.text_dialect)
    frames = _frames(source, rows, text, schema.text_dialect, levels_of(schema))
    written = _texts(source, rows, schema.text_dialect) if texts else None
    first = 0
    for frame, share in frames:
        yield Chunk(frame, first, share, None if written is None else next(written), dialect)
        first += len(frame)


def _has_long_levels(column: Column) -> bool:
    """Whether some levels are whole numbers that a float rounds, as pandas does beside a gap."""
    return any(isinstance(level, int) and abs(level) >= EXACT for level in column.levels or ())


@contextmanager
def placed(source: str, first: int, notes: set[str] | None) -> Iterator[None]:
    """Context that adds the chunk's first row to messages, and shows each kind of note once; None:
    none is shown."""
    place = f" (0 is row {first:,} of {source})" if first else ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except DataError as error:
            raise DataError(f"{error}{place}") from error
    if notes is None:
        return
    for warning in caught:
        kind = re.sub(r"\d[\d,]*", "", str(warning.message).split(":")[0])
        if kind not in notes:
            notes.add(kind)
            warnings.warn(f"{warning.message}{place}", warning.category, stacklevel=3)


def rows_at_once(width: int) -> int:
    """Rows of a chunk, by the cells of a row: in whole blocks, unless rows are very wide."""
    rows = max(CELLS // width, FEWEST_ROWS)
    return min(rows // BLOCK * BLOCK or rows, MOST_ROWS)


def _frames(
    source: str | Path, rows: int, text: Collection[str], asked: Dialect | None, kept: Kept
) -> Iterator[tuple[Any, float]]:
    """Yield (frame, fraction of the table read so far)."""
    given, path = asked or Dialect(), Path(source).expanduser()
    if isinstance(source, str) and is_address(source):
        frames = address_chunks(source, rows)
    elif is_parquet(path):
        frames = _parquet(path, rows)
    elif path.suffix.lower() in WORKBOOKS:
        frames = iter([(read_workbook(path, given.sheet, kept), 1.0)])
    else:
        return text_frames(path, rows, text, asked, kept)
    return ((given.emptied(with_own_gaps(frame)), share) for frame, share in frames)


def _parquet(path: Path, rows: int) -> Iterator[tuple[Any, float]]:
    """Yield (frame, fraction of the rows read so far) of a parquet table."""
    done, table = 0, ParquetTable.open(path)
    if not table.rows:
        yield with_arrow_types(frame_of(table.read(), str(path)), table.schema), 1.0
    for batch in table.batches(rows):
        done += len(batch)
        frame = with_arrow_types(frame_of(batch, str(path)), table.schema)
        yield frame, done / table.rows


def text_frames(
    path: Path,
    rows: int,
    text: Collection[str],
    asked: Dialect | None = None,
    kept: Kept | None = None,
    said: bool = True,
) -> Iterator[tuple[Any, float]]:
    """Yield (frame, fraction of the bytes read so far) of a file of text.

    Args:
        path: csv, plain or compressed.
        rows: of a frame, at most.
        text: names of the columns that are text in all rows.
        asked: how the file is written, as far as a user said.
        kept: as for ``read_table``.
        said: whether a note names the texts that are taken for missing, once for each column.

    Raises:
        DataError: the file is empty, ragged or damaged.
    """
    layout = sniffed(path, asked)
    check_widths(path, layout)  # beyond the first chunk, pandas before 3.1 drops further fields
    levels, notes = texts_kept(kept or {}), set[str]() if said else None
    words = {**layout.keywords, **kept_words(path, layout, levels)}
    keywords = {"dtype": layout.text_types(text), **words}
    first = 0
    for frame, share in _parsed_chunks(path, layout, rows, low_memory=False, **keywords):
        named = layout.named(frame.reset_index(drop=True))
        check_delimiter(named, layout, path)
        with placed(str(path), first, notes):
            named = emptied(named, levels, {})
        yield named, share
        first += len(named)


def _parsed_chunks(
    path: Path, layout: Layout, rows: int, **words: Any
) -> Iterator[tuple[Any, float]]:
    """Yield (frame that pandas makes of ``rows`` rows, fraction of the bytes read so far).

    Raises:
        DataError: the file is ragged or damaged, or a chunk takes more memory than the limit.
    """
    import pandas as pd

    with parsing(path, layout) as file, pd.read_csv(file, chunksize=rows, **words) as frames:
        for frame in frames:
            file.release()
            yield frame, file.share


def _is_csv(source: str | Path) -> bool:
    return not is_address(source) and table_suffix(Path(source).expanduser()) in CSV_SUFFIXES


def _other_text(path: Path, rows: int, known: Collection[str], asked: Dialect | None) -> set[str]:
    """The columns of a csv file, other than ``known``, that hold text or codes such as 02139."""
    import pandas as pd

    layout = sniffed(path, asked)
    words = layout.keywords
    if not layout.header or "dtype" in words:
        return set()
    with parsing(path, layout) as file:
        names = pd.read_csv(file, nrows=0, **words).columns
    others = [name for name in names if str(name) not in known]
    if not others:
        return set()
    parts = _parsed_chunks(path, layout, rows, usecols=others, low_memory=False, **words)
    found = [pd.api.types.infer_dtype(f[n], skipna=True) for f, _ in parts for n in others]
    codes: set[str] = set()
    if may_have_leading_zeros(path, layout):
        written = {**words, "dtype": str, "na_filter": False}
        parts = _parsed_chunks(path, layout, rows, usecols=others, **written)
        codes = {name for part, _ in parts for name in others if is_padded(part[name])}
    columns = zip(itertools.cycle(others), found, strict=False)
    return codes | {name for name, values in columns if values in TEXTS}


def _texts(source: str | Path, rows: int, asked: Dialect | None) -> Iterator[Any] | None:
    """Frames of unparsed cells, ``rows`` rows each; None: the table is not a file of text."""
    if not _is_csv(source):
        return None
    path = Path(source).expanduser()
    layout = sniffed(path, asked)
    words = {**layout.keywords, "dtype": str, "na_filter": False}
    parts = _parsed_chunks(path, layout, rows, **words)
    return (layout.named(frame.reset_index(drop=True)) for frame, _ in parts)


FIRST_BYTES = 1 << 20  # from which the memory of all is estimated
MARGIN = 1.1  # of the estimate: rows are rather on disk than refused


def estimated_bytes(path: Path, asked: Dialect | None = None) -> float:
    """That reading and encoding a table of text in memory takes, about, by its first lines.

    Raises:
        DataError: it cannot be read.
    """
    layout = sniffed(path, asked)
    with layout.opened(path) as file:
        return MARGIN * layout.cost(file.read(FIRST_BYTES)) / file.share


@contextmanager
def text_as_parquet(
    path: Path, asked: Dialect | None, folder: Path, kept: Kept | None = None
) -> Iterator[tuple[ParquetTable, Dialect | None]]:
    """Context that yields the table of a file of text, and how it is written; None: as usual.

    Args:
        path: the file.
        asked: how it is written, as far as a user said.
        folder: where the Parquet file is during the context.
        kept: as for ``read_table``.

    Raises:
        DataError: the file cannot be read, or the disk is too small.
    """
    check_space(path.stat().st_size, str(path), folder, "choose a folder on another disk (--cache)")
    layout = sniffed(path, asked)
    layout.note(path)
    folders.make(folder)
    made = unfinished(folder / f"{path.name}.parquet")
    try:
        _write(path, asked, made, kept)
        table = replace(ParquetTable.open(made), path=path)  # the name in messages
        yield table, None if layout.dialect.usual else layout.dialect
    finally:
        folders.remove(made)


def _write(path: Path, asked: Dialect | None, target: Path, kept: Kept | None) -> None:
    """Write the cells of a file of text as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = _types(path, asked, kept)
    schema = pa.schema(types)
    text = [name for name, kind in types.items() if pa.types.is_string(kind)]
    rows = rows_at_once(max(len(types), 1))
    with pq.ParquetWriter(target, schema) as file:
        words = {**dict.fromkeys(text, ()), **(kept or {})}  # whose markers are counted
        for frame, _ in text_frames(path, rows, text, asked, words):
            columns = [_cells(frame[name], kind) for name, kind in types.items()]
            file.write_table(pa.Table.from_arrays(columns, schema=schema))


def _types(path: Path, asked: Dialect | None, kept: Kept | None) -> dict[str, Any]:
    """The Arrow type of each column, by all rows.

    Raises:
        DataError: the file cannot be read, or has no columns.
    """
    import pyarrow as pa

    found: dict[str, Any] = {}
    width = next((frame.shape[1] for frame, _ in text_frames(path, 1, (), asked, said=False)), 1)
    for frame, _ in text_frames(path, rows_at_once(max(width, 1)), (), asked, kept, False):
        for name in frame.columns:
            kind = _type_of(frame[name])
            found[name] = _common(found.get(name, pa.null()), kind)
    if not found:
        raise DataError(f"{path} has no columns")
    found |= dict.fromkeys(_padded(path, found, asked), pa.string())
    # pandas reads a column without any value as numbers
    return {name: pa.float64() if pa.types.is_null(kind) else kind for name, kind in found.items()}


def _padded(path: Path, types: Mapping[str, Any], asked: Dialect | None) -> set[str]:
    """The columns of numbers of which some are codes such as 02139, which are text."""
    import pyarrow as pa

    numbers = [name for name, kind in types.items() if kind in (pa.int64(), pa.float64())]
    if not numbers or not may_have_leading_zeros(path, sniffed(path, asked)):
        return set()
    rows, found = rows_at_once(len(types)), set()
    for frame, _ in text_frames(path, rows, numbers, asked, said=False):
        found |= {name for name in numbers if name not in found and _is_padded(frame[name])}
    return found


def _is_padded(cells: Any) -> bool:
    present = cells.dropna()
    return bool(len(present)) and present.dtype.kind not in "iufb" and is_padded(present)


def _type_of(cells: Any) -> Any:
    """The Arrow type of a column of a frame; null if all cells are missing."""
    import pandas as pd
    import pyarrow as pa

    if cells.isna().all():
        return pa.null()
    named = pd.api.types.infer_dtype(cells, skipna=True)
    kinds = {"integer": pa.int64(), "floating": pa.float64(), "boolean": pa.bool_()}
    kind = kinds.get(named, pa.string())
    if pa.types.is_integer(kind) and cells.dtype.kind == "O":  # Python's: beyond 64 bits
        return pa.string()
    return pa.float64() if pa.types.is_integer(kind) and cells.dtype.kind == "u" else kind


def _common(one: Any, other: Any) -> Any:
    """The type of a column whose parts have these types."""
    import pyarrow as pa

    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    numbers = all(kind in (pa.int64(), pa.float64()) for kind in (one, other))
    return pa.float64() if numbers else pa.string()


def _cells(cells: Any, kind: Any) -> Any:
    """A column of a frame as Arrow's."""
    import pyarrow as pa

    if cells.isna().all():
        return pa.nulls(len(cells), kind)
    if pa.types.is_floating(kind):  # whole numbers above 2^53 are rounded, as pandas does
        cells = cells.astype("float64")
    return pa.Array.from_pandas(cells, type=kind)
