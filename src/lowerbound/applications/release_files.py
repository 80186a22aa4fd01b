"""The release record beside a table: one file for programs, one page for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from lowerbound import durable
from lowerbound.applications.io.files import write_text
from lowerbound.data.protection.record import Protection
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.release.table_release import TableRelease
from lowerbound.fitting import Fitted
from lowerbound.fitting.data_source import DataSource
from lowerbound.model_folder.manifest import MANIFEST

RECORD, PAGE = ".release.json", ".release.html"


def release_paths(table: Path) -> tuple[Path, Path]:
    """(record, page) of a table: its whole name and an ending, so that x.csv and x.parquet have
    records of their own, which a list of files shows below the table."""
    return table.with_name(table.name + RECORD), table.with_name(table.name + PAGE)


def check_release(table: Path, *others: str | None) -> None:
    """Check that the record of a table replaces no data and no other result, before any work.

    Args:
        table: its path.
        others: paths of other results.

    Raises:
        OptionError: it would.
    """
    for path in release_paths(table):
        durable.check_replaced(path)
        if any(other and Path(other).resolve() == path.resolve() for other in others):
            raise OptionError(f"{path} is the release record of {table}: choose another name")


def release_of(
    table: Path, rows: int, columns: Sequence[str], command: str, **facts: object
) -> TableRelease:
    """The record of a table that was just written.

    Args:
        table: its path.
        rows: number of rows.
        columns: their names.
        command: that made it.
        **facts: further fields of the record.
    """
    return TableRelease(
        file=table.name,
        rows=rows,
        columns=tuple(map(str, columns)),
        sha256=durable.sha256(table),
        date=date.today().isoformat(),
        command=command,
        **facts,  # type: ignore[arg-type]
    )


def release_of_model(
    table: Path,
    rows: int,
    columns: Sequence[str],
    command: str,
    fitted: Fitted,
    model: str,
    given: Sequence[str] = (),
) -> TableRelease:
    """The record of rows that were drawn from a fitted model.

    Args:
        table, rows, columns, command: as for ``release_of``.
        fitted: the model.
        model: its folder.
        given: columns whose cells were given.
    """
    schema, manifest = fitted.schema, Path(model) / MANIFEST
    return release_of(
        table,
        rows,
        columns,
        command,
        model=DataSource(Path(model).name, sha256=_sha256(manifest)),
        data=fitted.options.data,
        protection=Protection.of(schema.details),
        guarantee=fitted.options.release,
        given=tuple(given),
    )


def write_release(table: Path, release: TableRelease) -> tuple[str, str]:
    """Write the record of a table and its page; the names of both files."""
    record, page = release_paths(table)
    write_text(record, release.text())
    write_text(page, release.page())
    return str(record), str(page)


def read_release(table: Path) -> TableRelease:
    """The record beside a table.

    Raises:
        DataError: there is none, or it is of another table.
    """
    record, _ = release_paths(table)
    if not record.is_file():
        raise DataError(
            f"there is no release record {record} beside the table: lowerbound synthesize and "
            "private-table write one"
        )
    found = TableRelease.read(record)
    if found.sha256 != durable.sha256(table):
        raise DataError(
            f"{record} is the record of another table: the SHA-256 of {table} differs, so the "
            "table was changed after its release"
        )
    return replace(found, file=table.name)


def _sha256(path: Path) -> str:
    return durable.sha256(path) if path.is_file() else ""
