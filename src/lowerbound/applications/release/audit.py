"""``lowerbound audit``: usefulness and privacy of a synthetic table, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from lowerbound.applications.base import Reporter, Silent, WrittenReport, written
from lowerbound.applications.form import REQUIRED, typed
from lowerbound.applications.io.files import page_path, write_text
from lowerbound.applications.io.sources import ReadingOptions, column_hints
from lowerbound.applications.release.audit_text import audit_lines
from lowerbound.applications.release.canaries import read_canaries
from lowerbound.applications.release.tables import read_table, title_of
from lowerbound.applications.release_files import read_release, write_release
from lowerbound.config import option
from lowerbound.data.tables.numbers import with_numbers
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.release.conclusions import Conclusions, attacks_of, conclude
from lowerbound.evaluation.release.page import Names, audit_page
from lowerbound.evaluation.release.privacy.canaries import CanaryFindings, find_canaries
from lowerbound.evaluation.release.release_audit import AuditOptions, ReleaseAudit, audit_tables
from lowerbound.evaluation.release.table_release import TableRelease
from lowerbound.evaluation.release.tables import AuditedTables


@dataclass(frozen=True)
class AuditRequest:
    """Options of ``lowerbound audit``.

    In Python, the three tables may also be pandas frames.
    """

    real: str = option(
        REQUIRED, "the rows that the synthesizer was trained on", positional=True, metavar="REAL"
    )
    synthetic: str = option(REQUIRED, "the synthetic rows", positional=True, metavar="SYNTHETIC")
    holdout: str | None = option(
        None,
        "rows of the same source that the synthesizer has not seen: the control group of every "
        "attack, and the test rows of every learner",
        metavar="FILE",
    )
    label: str | None = option(
        None, "the column that learners predict: a class or a number", metavar="COLUMN"
    )
    output: str | None = option(None, "HTML file to write", short="-o", metavar="FILE")
    record: bool = option(
        False, "add what the attacks found to the release record beside SYNTHETIC, and to its page"
    )
    canaries: str | None = option(
        None, "the canaries that lowerbound canaries has written", metavar="FILE"
    )
    delta: float = option(0.0, "delta of the claimed guarantee, for the bound from canaries")
    at_most: float | None = option(
        None, "membership AUROC that no attack may exceed; exit code 1 if one does"
    )
    kind: tuple[str, ...] = option(
        (),
        "kind of a column, if the inferred kind is wrong, such as zip=categorical; repeatable",
        metavar="COLUMN=KIND",
    )
    columns: str | None = option(
        None, "a JSON file written by lowerbound schema, with your corrections", metavar="FILE"
    )
    sizes: AuditOptions = field(default_factory=AuditOptions)


@dataclass(frozen=True)
class AuditReport(WrittenReport):
    """The findings of an audit.

    Attributes:
        conclusions: three sentences and a verdict.
        findings: all figures.
        output: the page that was written; empty if none is requested.
        reached: whether no membership attack exceeded ``at_most``; None if that is not set.
    """

    conclusions: Conclusions
    findings: ReleaseAudit
    output: str
    reached: bool | None

    def text(self) -> str:
        lines = audit_lines(self.findings, self.conclusions)
        return "\n".join([*lines, *(f"wrote {name}" for name in self.files)])

    @property
    def passed(self) -> bool:
        return self.reached is not False


def audit(request: AuditRequest, reporter: Reporter | None = None) -> AuditReport:
    """Measure the usefulness and the privacy of synthetic rows.

    Raises:
        DataError: a table cannot be read, has too few rows or other columns, the label does not
            exist, the holdout shares rows with the training rows, or ``at_most`` is set and the
            holdout differs in distribution from the training rows.
        OptionError: ``at_most`` is set without a holdout, or ``delta`` without canaries; or a kind
            is unknown.
    """
    reporter = reporter or Silent()
    page = page_path(request.output)
    if request.at_most is not None and request.holdout is None:
        raise OptionError("--at-most needs --holdout: without a control group no attack is run")
    if request.delta and request.canaries is None:
        raise OptionError("--delta is for the bound from canaries: give --canaries too")
    release = _release(request)
    tables = _read(request)
    planted = _canaries(request, tables)
    found = audit_tables(tables, request.sizes, planted, reporter.say)
    if page is not None:
        names = Names(*(title_of(s) for s in (request.real, request.synthetic, request.holdout)))
        text = audit_page(found, names, _command(request), request.sizes.seed)
        write_text(page, text)
    names_of_files = [] if page is None else [str(page)]
    if release is not None:
        release = replace(release, attacks=attacks_of(found, date.today().isoformat()))
        names_of_files += write_release(Path(request.synthetic), release)
    reached = _reached(request, found)
    return AuditReport(conclude(found), found, str(page or ""), reached, **written(names_of_files))


def _release(request: AuditRequest) -> TableRelease | None:
    """The release record that takes the findings; None: none is to.

    Raises:
        OptionError: the synthetic rows are in no file.
        DataError: there is no record beside it, or one of another table.
    """
    if not request.record:
        return None
    if not isinstance(request.synthetic, str | Path):
        raise OptionError("--record needs the file of the synthetic rows, beside which a record is")
    return read_release(Path(request.synthetic))


def _reached(request: AuditRequest, found: ReleaseAudit) -> bool | None:
    """Whether no membership attack exceeded ``at_most``; None if that is not set.

    Raises:
        DataError: no attack was run, because the holdout is no control group.
    """
    if request.at_most is None:
        return None
    if found.strongest is None:
        raise DataError(f"--at-most is neither met nor exceeded, because {found.mismatch}")
    return found.strongest.area.value <= request.at_most


def _read(request: AuditRequest) -> AuditedTables:
    hints = column_hints(ReadingOptions(kind=request.kind, columns=request.columns))
    real = read_table(request.real, "REAL")
    holdout = request.holdout
    return AuditedTables.of(
        real,
        read_table(request.synthetic, "SYNTHETIC", real),
        None if holdout is None else read_table(holdout, "HOLDOUT", real),
        request.label,
        hints if isinstance(hints, dict) else None,
    )


def _canaries(request: AuditRequest, tables: AuditedTables) -> CanaryFindings | None:
    if request.canaries is None:
        return None
    canaries = read_canaries(request.canaries)
    drawn = tables.codes.coordinates(tables.synthetic)[0]
    canaries = replace(canaries, rows=with_numbers(canaries.rows, tables.notations))
    return find_canaries(tables.codes, canaries, drawn, delta=request.delta)


def _command(request: AuditRequest) -> str:
    """The command line; empty for tables in memory."""
    sources: tuple[Any, ...] = (request.real, request.synthetic, request.holdout)
    if any(not isinstance(source, (str, Path, type(None))) for source in sources):
        return ""
    return typed("audit", request)
