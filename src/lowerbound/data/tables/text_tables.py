"""Tables of text of any length, such as csv, as Parquet: with the types of a whole reading.

Read chunk by chunk, a column may be whole numbers in one chunk and words in another. A first pass
therefore finds one type per column, and a second pass writes the cells in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowerbound.data.row_files import check_space
from lowerbound.data.tables.chunks import rows_at_once, text_frames
from lowerbound.data.tables.dialect import Dialect, sniffed
from lowerbound.data.tables.files import is_padded, may_have_leading_zeros
from lowerbound.data.tables.markers import Kept
from lowerbound.data.tables.parquet import ParquetTable
from lowerbound.durable import unfinished
from lowerbound.errors import DataError
from lowerbound.untrusted import folders

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
