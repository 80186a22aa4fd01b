"""Tables of a DuckDB database, by address or as a relation of its Python client.

An address is ``duckdb:FILE?table=NAME`` or ``duckdb:FILE?query=SQL``. An address without table and
query names the only table of the file. The text after ``=`` is used unchanged. ``duckdb:///FILE``
is the same as ``duckdb:FILE`` (and ``duckdb:////FILE`` starts at the root), as in SQLAlchemy's
URLs. Without a FILE the query runs in a database in memory, and can name CSV and Parquet files,
also with ``*``.

A query only reads. The database FILE is opened read-only, and the query cannot open other files. A
query without a FILE must be a SELECT, and can read local files. There is no network access.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound import untrusted
from lowerbound.data.arrays import listed
from lowerbound.data.tables.arrow import frame_of
from lowerbound.data.tables.parquet import BYTES_OF_CELL, COPIES
from lowerbound.data.tables.versioned import refuse_versioned_in
from lowerbound.errors import DataError, MissingExtraError

PREFIX = "duckdb:"
FORM = f"{PREFIX}FILE?table=NAME or {PREFIX}FILE?query=SELECT ..."


@dataclass(frozen=True)
class Address:
    """The address of a table.

    Attributes:
        file: of the database; "": a database in memory.
        table, query: one of them, or neither.
    """

    file: str
    table: str = ""
    query: str = ""

    @classmethod
    def read(cls, source: str) -> Address:
        """Parse an address.

        Raises:
            DataError: it is not an address.
        """
        file, mark, what = source.removeprefix(PREFIX).partition("?")
        file = file.removeprefix("///")
        key, _, value = what.partition("=")
        if mark and (key not in ("table", "query") or not value.strip()):
            raise DataError(f"{source!r} is not the address of a table: write {FORM}")
        if not file and key != "query":
            raise DataError(f"{source!r} names no database: write {FORM}")
        return cls(file, **{key: value} if mark else {})


def is_address(source: object) -> bool:
    """Whether ``source`` is the address of a database table."""
    return isinstance(source, str) and source.startswith(PREFIX)


def is_relation(source: object) -> bool:
    """Whether ``source`` is a relation of DuckDB's Python client."""
    return type(source).__module__.lstrip("_").partition(".")[0] == "duckdb" and hasattr(
        source, "__arrow_c_stream__"
    )


def relation_frame(relation: Any, source: str = "the relation") -> Any:
    """Convert a relation to a pandas frame.

    Raises:
        DataError: the query fails, or the relation has unsupported types.
    """
    with _one_sentence_errors(source):
        table = relation.to_arrow_table()
    return frame_of(table, source)


def read_address(source: str) -> Any:
    """Read the table at an address as a pandas frame.

    Raises:
        DataError: the database, table or column does not exist, the query is not valid SQL, or
            the rows take more memory than the limit.
        MissingExtraError: duckdb is not installed.
    """
    with _relation(source) as relation:
        with _one_sentence_errors(source):
            rows = relation.aggregate("count(*)").fetchall()[0][0]
        cells = rows * len(relation.columns)
        untrusted.check_memory(COPIES * BYTES_OF_CELL * cells, source, DataError)
        return relation_frame(relation, source)


def address_chunks(source: str, rows: int) -> Iterator[tuple[Any, float]]:
    """Yield (frame, fraction of the rows read so far) of the table at an address.

    Raises:
        DataError, MissingExtraError: as in ``read_address``.
    """
    with _relation(source) as relation:
        with _one_sentence_errors(source):
            total, done = relation.aggregate("count(*)").fetchall()[0][0], 0
            batches = relation.to_arrow_reader(rows)
        if not total:
            yield frame_of(batches.read_all(), source), 1.0
        for batch in batches:
            done += len(batch)
            yield frame_of(batch, source), done / total


@contextmanager
def _relation(source: str) -> Iterator[Any]:
    """The relation at an address, while its database is open read-only."""
    address = Address.read(source)
    if address.file and not Path(address.file).expanduser().is_file():
        raise DataError(f"{source}: there is no database {address.file!r}")
    with _one_sentence_errors(source):
        connection = _database(address.file) if address.file else _memory(address.query)
    try:
        with _one_sentence_errors(source):
            if address.query:
                relation = connection.sql(address.query)
            else:
                relation = connection.table(address.table or _only_table(connection, source))
        if relation is None:
            raise DataError(f"{source}: the query returns no table; write a SELECT")
        yield relation
    finally:
        connection.close()


def _database(file: str) -> Any:
    """A connection to a database that cannot open other files."""
    closed = {"enable_external_access": "false", "lock_configuration": "true"}
    return _library().connect(str(Path(file).expanduser()), read_only=True, config=closed)


def _memory(query: str) -> Any:
    """A connection to an empty database that can read local files for ``query``.

    Raises:
        DataError: the query is not a SELECT, so it could write files, or it reads the files of a
            table that keeps its earlier versions.
    """
    duckdb = _library()
    refuse_versioned_in(query)
    connection = duckdb.connect()
    statements = connection.extract_statements(query)
    if any(statement.type != duckdb.StatementType.SELECT for statement in statements):
        raise DataError(f"{PREFIX}?query={query}: a query without a database must be a SELECT")
    connection.execute(f"SET allowed_directories = ['{Path.cwd().anchor}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _only_table(connection: Any, source: str) -> str:
    names = [str(name) for (name,) in connection.execute("SHOW TABLES").fetchall()]
    if len(names) != 1:
        raise DataError(
            f"{source}: the database has {len(names)} tables ({listed(names)}); choose one with "
            f"{source}?table=NAME"
        )
    return names[0]


@contextmanager
def _one_sentence_errors(source: str) -> Iterator[None]:
    """Convert an error of the database to a ``DataError`` of one sentence."""
    try:
        yield
    except _library().Error as error:
        words = " ".join(str(error).partition("\n\nLINE")[0].split())
        raise DataError(f"{source}: {words}") from error


def _library() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("duckdb", "duckdb") from error
    return duckdb
