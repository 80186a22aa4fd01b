"""Tables of a DuckDB database, by address or as a relation of its Python client.

An address is ``duckdb:FILE?table=NAME`` or ``duckdb:FILE?query=SQL``; without either, the only
table of the file. What follows ``=`` is taken as it is, to the end. ``duckdb:///FILE`` is the same
(and ``duckdb:////FILE`` from the root), as in SQLAlchemy's URLs. Without a FILE the query runs in a
database in memory, and can name CSV and Parquet files, ``*`` and all.

A query only reads. The database FILE is opened read-only and no other file with it; a query without
a FILE is a SELECT and reads files of this machine. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.data.arrays import listed
from lowerbound.data.tables.arrow import frame_of
from lowerbound.errors import DataError, MissingExtraError

PREFIX = "duckdb:"
FORM = f"{PREFIX}FILE?table=NAME or {PREFIX}FILE?query=SELECT ..."


@dataclass(frozen=True)
class Address:
    """Where a table is.

    Attributes:
        file: of the database; "": one in memory.
        table, query: one of them, or neither.
    """

    file: str
    table: str = ""
    query: str = ""

    @classmethod
    def read(cls, source: str) -> Address:
        """From what a person typed.

        Raises:
            DataError: it is no address.
        """
        file, mark, what = source.removeprefix(PREFIX).partition("?")
        file = file.removeprefix("///")
        key, _, value = what.partition("=")
        if mark and (key not in ("table", "query") or not value.strip()):
            raise DataError(f"{source!r} is no address of a table: write {FORM}")
        if not file and key != "query":
            raise DataError(f"{source!r} names no database: write {FORM}")
        return cls(file, **{key: value} if mark else {})


def is_address(source: object) -> bool:
    """Whether ``source`` says where in a database a table is."""
    return isinstance(source, str) and source.startswith(PREFIX)


def is_relation(source: object) -> bool:
    """Whether ``source`` is a relation of DuckDB's Python client."""
    return type(source).__module__.lstrip("_").partition(".")[0] == "duckdb" and hasattr(
        source, "__arrow_c_stream__"
    )


def relation_frame(relation: Any, source: str = "the relation") -> Any:
    """The pandas frame of a relation.

    Raises:
        DataError: the database cannot answer, or holds types that cannot be modeled.
    """
    with _said(source):
        table = relation.to_arrow_table()
    return frame_of(table, source)


def read_address(source: str) -> Any:
    """The pandas frame of an address.

    Raises:
        DataError: there is no such database, table or column, or the query is not SQL.
        MissingExtraError: duckdb is not installed.
    """
    with _relation(source) as relation:
        return relation_frame(relation, source)


def address_chunks(source: str, rows: int) -> Iterator[tuple[Any, float]]:
    """Frames of an address, and the share of its rows that is done with each.

    Raises:
        DataError, MissingExtraError: as ``read_address``.
    """
    with _relation(source) as relation:
        with _said(source):
            total, done = relation.aggregate("count(*)").fetchall()[0][0], 0
            batches = relation.to_arrow_reader(rows)
        if not total:
            yield frame_of(batches.read_all(), source), 1.0
        for batch in batches:
            done += len(batch)
            yield frame_of(batch, source), done / total


@contextmanager
def _relation(source: str) -> Iterator[Any]:
    """What an address stands for, while its database is open; nothing is written to it."""
    address = Address.read(source)
    if address.file and not Path(address.file).expanduser().is_file():
        raise DataError(f"{source}: there is no database {address.file!r}")
    with _said(source):
        connection = _database(address.file) if address.file else _memory(address.query)
    try:
        with _said(source):
            if address.query:
                relation = connection.sql(address.query)
            else:
                relation = connection.table(address.table or _only_table(connection, source))
        if relation is None:
            raise DataError(f"{source}: the query answers with no rows; write one that selects")
        yield relation
    finally:
        connection.close()


def _database(file: str) -> Any:
    """A connection to a database, which opens no other file."""
    closed = {"enable_external_access": "false", "lock_configuration": "true"}
    return _library().connect(str(Path(file).expanduser()), read_only=True, config=closed)


def _memory(query: str) -> Any:
    """A connection to an empty database, which reads the files of this machine for ``query``.

    Raises:
        DataError: the query does more than select: access to files allows writing them too.
    """
    duckdb = _library()
    connection = duckdb.connect()
    statements = connection.extract_statements(query)
    if any(statement.type != duckdb.StatementType.SELECT for statement in statements):
        raise DataError(f"{PREFIX}?query={query}: a query without a database is a SELECT")
    connection.execute(f"SET allowed_directories = ['{Path.cwd().anchor}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _only_table(connection: Any, source: str) -> str:
    names = [str(name) for (name,) in connection.execute("SHOW TABLES").fetchall()]
    if len(names) != 1:
        raise DataError(
            f"{source}: the database has {len(names)} tables ({listed(names)}); say which with "
            f"{source}?table=NAME"
        )
    return names[0]


@contextmanager
def _said(source: str) -> Iterator[None]:
    """What the database says, in one sentence."""
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
