"""Parquet tables: a file, or a folder of files with the same columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound import untrusted
from lowerbound.data.tables.arrow import check_types
from lowerbound.data.tables.refused import refuse_versioned
from lowerbound.errors import DataError

PARQUET_SUFFIXES = (".parquet", ".pq")
BYTES_OF_CELL = 8
COPIES = 6.0  # of the cells that reading and encoding a table in memory takes at its peak
TEXT_COPIES = 3.5  # of a text
ROWS = 1 << 16  # read at once
SHARE = 4  # of the limit of memory, which the longest texts of a batch may take: 1 / SHARE
HIDDEN = (".", "_")  # what the names of files beside the rows begin with, such as _SUCCESS


@contextmanager
def parquet(path: Path) -> Iterator[Any]:
    """Open a parquet file.

    Raises:
        DataError: the file is not parquet, or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # with a buffer, the whole file would be in memory at the end
        with pq.ParquetFile(path, pre_buffer=False) as file:
            _check_counts(file.metadata, str(path))
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from error


def _check_counts(metadata: Any, what: str) -> None:
    """Check the rows that a parquet file declares, for which Arrow takes memory at once.

    Raises:
        DataError: its parts have other numbers of rows than the whole.
    """
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise DataError(f"{what} is damaged: its row groups have other numbers of rows than it")


def is_parquet(source: Any) -> bool:
    """Whether ``source`` is the path of a parquet file, or of a folder of such files alone.

    What does not exist is neither.

    Raises:
        DataError: it is, or is part of, a table that keeps its earlier versions.
    """
    if not isinstance(source, str | Path):
        return False
    try:
        path = Path(source).expanduser()
        if not path.is_dir():
            if found := _is_shard(path):
                refuse_versioned(path)
            return found
        refuse_versioned(path)
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(HIDDEN)]
    except (OSError, RuntimeError):  # no such home, or a folder that cannot be listed
        return False
    return bool(entries) and all(_is_shard(entry) for entry in entries)


def refuse_partitions(source: Any, *, on_disk: bool = False) -> None:
    """Refuse a folder whose Parquet files are in subfolders NAME=VALUE, as Hive and Spark write.

    Args:
        source: any source of rows.
        on_disk: whether the rows are to be on disk, where queries are not read.

    Raises:
        DataError: it is such a folder, and the message says how to read it; or it is, or is part
            of, a table that keeps its earlier versions.
    """
    if not isinstance(source, str | Path):
        return
    try:
        path = Path(source).expanduser()
        refuse_versioned(path)
        parts = sorted(path.glob("*=*/")) if path.is_dir() else []
        found = [file for part in parts[:1] for file in part.rglob("*") if _is_shard(file)][:1]
    except (OSError, RuntimeError):  # no such home, or a folder that cannot be listed
        return
    if not found:
        return
    quoted = str(path).replace("'", "''")
    query = f"SELECT * FROM '{quoted}/**/*{found[0].suffix}'"
    instead = f'give "duckdb:?query={query}"'
    if on_disk:
        instead = f"write them as one file, in DuckDB by COPY ({query}) TO 'table.parquet'"
    raise DataError(
        f"{path} has Parquet files in subfolders NAME=VALUE, such as {parts[0].name}, which are "
        f"not read as one table: {instead}"
    )


def _is_shard(path: Path) -> bool:
    return path.suffix.lower() in PARQUET_SUFFIXES and path.is_file()


@dataclass(frozen=True, eq=False)
class ParquetTable:
    """The rows of a parquet file, or of the files of a folder in the order of their names.

    Attributes:
        path: of the file or the folder.
        files: that hold the rows.
        schema: of Arrow, without metadata.
        rows: of all files.
    """

    path: Path
    files: tuple[Path, ...]
    schema: Any
    rows: int

    @classmethod
    def open(cls, path: Path) -> ParquetTable:
        """Read what the files declare.

        Raises:
            DataError: a file is damaged, or has other columns than the first; the message names it.
        """
        files = sorted(filter(_is_shard, path.iterdir())) if path.is_dir() else [path]
        schema, rows = None, 0
        for each in files:
            with parquet(each) as file:
                found = file.schema_arrow.remove_metadata()
                rows += file.metadata.num_rows
            check_types(found, str(each))
            schema = found if schema is None else schema
            if not schema.equals(found):
                raise DataError(
                    f"{each} has other columns than {files[0]}: {_difference(schema, found)}; the "
                    "files of a folder are one table, so give them the same columns"
                )
        if schema is None:
            raise DataError(f"{path} has no parquet files")
        return cls(path, tuple(files), schema, rows)

    @property
    def bytes(self) -> int:
        """That the cells take in memory, about."""
        return BYTES_OF_CELL * self.rows * len(self.schema)

    def read(self) -> Any:
        """All rows as a table of Arrow.

        Raises:
            DataError: a file is damaged, or the table is above the limit of memory.
        """
        import pyarrow as pa

        cells, text, done, parts = COPIES * self.bytes, 0.0, 0, []
        untrusted.check_memory(cells, str(self.path), DataError)
        for batch in self.batches(ROWS):
            parts.append(pa.Table.from_batches([batch]))
            text, done = text + TEXT_COPIES * _text_bytes(batch), done + len(batch)
            if cells + text > untrusted.memory_limit():
                whole = text * self.rows / max(done, 1)
                untrusted.check_memory(cells + whole, str(self.path), DataError)
        if parts:
            return pa.concat_tables(parts)
        with parquet(self.files[0]) as file:
            return file.read()

    def batches(self, rows: int) -> Iterator[Any]:
        """Record batches of Arrow, at most ``rows`` rows each, in order; fewer if the file repeats
        long texts, of which each row has a copy.

        Raises:
            DataError: a file is damaged.
        """
        for each in self.files:
            with parquet(each) as file:
                longest = max([1, *(_longest_texts(each, i) for i in range(file.num_row_groups))])
                most = int(untrusted.memory_limit() / SHARE // longest)
                yield from file.iter_batches(batch_size=max(min(rows, most), 1))


def _text_bytes(batch: Any) -> int:
    """The bytes of the texts of a record batch."""
    import pyarrow as pa

    texts = (pa.types.is_string, pa.types.is_large_string)
    return sum(each.nbytes for each in batch.columns if any(test(each.type) for test in texts))


def _longest_texts(path: Path, group: int) -> int:
    """The bytes of a row of the longest texts in the dictionaries of a row group.

    A column whose texts are repeated has each once, in a dictionary, and their numbers. The facts
    of a row group's columns, which say how they are stored, are not read: where they contradict
    each other, pyarrow ends the process.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with parquet(path) as file:
        columns = [file.schema.column(place) for place in range(len(file.schema))]
        names = [each.path for each in columns if each.physical_type == "BYTE_ARRAY"]
        if not names or not file.metadata.row_group(group).num_rows:
            return 0
    with pq.ParquetFile(path, read_dictionary=names, pre_buffer=False) as file:
        first = next(file.iter_batches(batch_size=1, row_groups=[group], columns=names))
    found = [each.dictionary for each in first.columns if pa.types.is_dictionary(each.type)]
    lengths = (pc.max(pc.binary_length(each)).as_py() for each in found)
    return sum(length or 0 for length in lengths)


def _difference(one: Any, other: Any) -> str:
    """The first difference of two schemas of Arrow."""
    for field in one:
        if field.name not in other.names:
            return f"column {field.name!r} is missing"
        kind = other.field(field.name).type
        if kind != field.type:
            return f"column {field.name!r} is {kind}, not {field.type}"
    more = [name for name in other.names if name not in one.names]
    return f"column {more[0]!r} is new" if more else "their order differs"
