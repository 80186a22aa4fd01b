"""Tables that are read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowerbound.data.columns.values import with_own_gaps
from lowerbound.data.tables import files
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.duckdb import is_address, is_relation, relation_frame
from lowerbound.data.tables.markers import Kept, values_like_markers
from lowerbound.errors import DataError, OptionError

SUFFIXES = (".csv", ".parquet")


def read_table(source: Any, what: str, like: Any = None) -> Any:
    """A table as a pandas frame.

    Args:
        source: path of a csv or parquet file, address of a table in a database, a relation of
            DuckDB, or a frame.
        what: its role, for messages.
        like: a table with the same columns; what is a value there is one here too.

    Raises:
        DataError: it does not exist or cannot be read.
    """
    if hasattr(source, "set_axis"):
        return source
    if is_relation(source):
        return with_own_gaps(relation_frame(source))
    _check_there(source, what)
    return files.read_table(source, kept=None if like is None else values_like_markers(like))[0]


def read_cells(
    source: str, what: str, asked: Dialect | None = None, kept: Kept | None = None
) -> tuple[Any, Dialect | None]:
    """A table as a pandas frame, and how its file writes it.

    Args:
        source: path of a table, or address of one in a database.
        what: its role, for messages.
        asked: how the file is written, as far as it is known.
        kept: levels that are no markers of missing values.

    Raises:
        DataError: it does not exist or cannot be read.
    """
    _check_there(source, what)
    return files.read_table(source, asked, kept=kept)


def _check_there(source: Any, what: str) -> None:
    if is_address(source):
        return
    path = Path(source).expanduser()
    if path.is_dir():
        raise DataError(f"{what}: {source} is a folder; give one csv or parquet file")
    if not path.is_file():
        raise DataError(f"{what}: there is no file {source}; tables are csv or parquet files")


def title_of(source: Any) -> str:
    """The name of a table in reports."""
    return str(source) if isinstance(source, (str, Path)) else "a table in memory"


def check_table(path: Path) -> None:
    """Check the suffix of a table to write, before any work is done.

    Raises:
        OptionError: the suffix is not .csv or .parquet.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{path}: rows of a table are written as .csv or .parquet")
