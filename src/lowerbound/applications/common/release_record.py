"""The release record beside a table: one file for programs, one page for people.

It says what was released, from what, who is protected how, and what is not promised, for the file
of those who answer for the data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from lowerbound import durable, untrusted
from lowerbound._version import __version__
from lowerbound.applications.common.files import write_text
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.protection.record import Protection
from lowerbound.errors import DataError, LowerboundError, OptionError
from lowerbound.evaluation.report.templates import render
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.manifest import MANIFEST
from lowerbound.fitting.source import DataSource
from lowerbound.training.private.declarations import described
from lowerbound.training.private.record import ReleaseRecord

FORMAT = 1
SHOWN_LEVELS = 12
LEGAL = (
    "this record does not say that the table is anonymous in the sense of a law, such as the GDPR: "
    "whoever answers for the data decides that"
)
REPEATED = "several tables from the same data reveal more than one; each needs a record of its own"
UNPROTECTED = (
    "values are not protected: rows may bear a name, a level or a number that one person alone has"
)
COMBINED = (
    "values that many have may occur together as they do in one person: combinations are drawn "
    "from a model, and are not counted"
)
NUMBERS = (
    "whole numbers and days between the bounds are drawn as numbers: an age that few people have "
    "may occur"
)
NO_GUARANTEE = (
    "there is no guarantee of differential privacy: somebody who knows much about a person may "
    "learn whether this person was in the data"
)
GIVEN = "the given cells of {names} are written as they were given, and are not protected"
RECORD, PAGE = ".release.json", ".release.html"


@dataclass(frozen=True)
class MeasuredAttack:
    """What an attack of an audit found.

    Attributes:
        attack: its name.
        measure: what was measured, in words.
        value, low, high: the figure with its 95 % interval.
        beside: the same figure of the control group, or of guessing.
    """

    attack: str
    measure: str
    value: float
    low: float
    high: float
    beside: float


@dataclass(frozen=True)
class Attacks:
    """The attacks of an audit, and what may be concluded.

    Attributes:
        date: of the audit.
        verdict: see ``Conclusions``.
        sentences: the conclusions.
        attacks: what each found.
    """

    date: str
    verdict: str
    sentences: tuple[str, ...]
    attacks: tuple[MeasuredAttack, ...]


@dataclass(frozen=True)
class TableRelease:
    """The release record of a table.

    Attributes:
        file: name of the table, without the folders above it.
        rows: number of rows.
        columns: their names.
        sha256: of the file.
        date: of the release, such as 2026-12-01.
        command: that made the table.
        model: that the rows were drawn from; None: it was not kept.
        data: that the model was fitted to; None: unknown.
        protection: what was protected; None: nothing was.
        guarantee: of differential privacy; None: there is none.
        given: columns whose cells were given.
        attacks: of an audit; None: none was recorded.
        format: of this record.
        lowerbound: version of the package.
    """

    file: str
    rows: int
    columns: tuple[str, ...]
    sha256: str
    date: str
    command: str = ""
    model: DataSource | None = None
    data: DataSource | None = None
    protection: Protection | None = None
    guarantee: ReleaseRecord | None = None
    given: tuple[str, ...] = ()
    attacks: Attacks | None = None
    format: int = FORMAT
    lowerbound: str = __version__

    @property
    def not_promised(self) -> tuple[str, ...]:
        """The limits, in sentences."""
        found = [LEGAL, REPEATED]
        if self.protection is None or self.protection.least_people == 1:
            found += [] if self.guarantee is not None else [UNPROTECTED]
        else:
            found += [COMBINED, NUMBERS]
        found += [GIVEN.format(names=", ".join(self.given))] if self.given else []
        if self.guarantee is None:
            return (*found, NO_GUARANTEE)
        return (*found, *self.guarantee.not_claimed)

    @classmethod
    def read(cls, path: Path) -> TableRelease:
        """Read the file of ``text``.

        Raises:
            DataError: it is not such a file.
        """
        try:
            found = untrusted.read_mapping(path, DataError)
            found.pop("not_promised", None)
            with untrusted.guarded("it", DataError):
                return from_mapping(cls, found)
        except (OSError, LowerboundError) as error:
            raise DataError(f"{path} is not a release record: {error}") from error

    def text(self) -> str:
        """The record as JSON."""
        return json.dumps({**to_mapping(self), "not_promised": self.not_promised}, indent=1) + "\n"

    def page(self) -> str:
        """The record as a page, without scripts and requests."""
        return render("release.html.j2", __package__, release=self, copied=self._copied)

    @property
    def _copied(self) -> list[tuple[str, str]]:
        """(column, what was copied from the rows), in words."""
        facts = {} if self.guarantee is None else self.guarantee.copied
        return [(name, described(said, SHOWN_LEVELS)) for name, said in facts.items()]


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
