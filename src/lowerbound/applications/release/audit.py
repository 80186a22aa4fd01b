"""``lowerbound audit``: usefulness and privacy of a synthetic table, side by side, as text.

``lowerbound canaries`` plants odd rows among training rows, for an audit to search for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from lowerbound.applications.common.application import Reporter, Silent, WrittenReport, written
from lowerbound.applications.common.files import page_path, write_text
from lowerbound.applications.common.form import typed
from lowerbound.applications.common.release_record import TableRelease, read_release, write_release
from lowerbound.applications.common.rows import write_columns
from lowerbound.applications.release.canary_test import (
    Canaries,
    CanaryFindings,
    find_canaries,
    make_canaries,
    plant,
)
from lowerbound.applications.release.conclusions import Conclusions, attacks_of, conclude, notes
from lowerbound.applications.release.evidence import AuditedTables
from lowerbound.applications.release.membership import Membership
from lowerbound.applications.release.page import Names, audit_page, margin_lines
from lowerbound.applications.release.release_audit import ReleaseAudit, audit_tables
from lowerbound.applications.release.requests import AuditRequest, CanariesRequest
from lowerbound.applications.release.tables import check_table, read_table, title_of
from lowerbound.applications.release.usefulness import Usefulness
from lowerbound.data.tables.numbers import with_numbers
from lowerbound.errors import DataError, OptionError
from lowerbound.inference.estimate import Skipped

SHOWN_ATTACKS = 3
INCLUDED = "canary_was_planted"


def audit_lines(audit: ReleaseAudit, conclusions: Conclusions) -> list[str]:
    """The conclusions, then the main figures."""
    return [
        *conclusions.sentences,
        *(f"evidence: {words}" for words in conclusions.evidence),
        *(f"note: {words}" for words in notes(audit)),
        "usefulness:",
        *(f"  {line}" for line in _useful(audit)),
        f"distributions, compared with the {audit.fidelity.compared_with}:",
        *(f"  {line}" for line in _distributions(audit)),
        "privacy:",
        *(f"  {line}" for line in _privacy(audit)),
    ]


def _useful(audit: ReleaseAudit) -> list[str]:
    found = audit.usefulness
    if isinstance(found, Skipped):
        return [f"not measured: {found.reason}"]
    words = "predicting " + found.label + ": trained on real rows -> on synthetic rows"
    return [words, *_learner_lines(found)]


def _learner_lines(found: Usefulness) -> list[str]:
    """The measures, and the figures of each learner, in columns."""
    rows = {"": list(dict.fromkeys(c.measure for c in found.comparisons))}
    for name in dict.fromkeys(c.learner for c in found.comparisons):
        own = [c for c in found.comparisons if c.learner == name]
        rows[name] = [f"{c.real:.4g} -> {c.synthetic:.4g}" for c in own]
    width = max(20, 2 + max(len(cell) for cells in rows.values() for cell in cells))
    return [
        f"{name:18}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows.items()
    ]


def _distributions(audit: ReleaseAudit) -> list[str]:
    """Each error, and that of as many training rows."""
    floor = None if isinstance(audit.floor, Skipped) else audit.floor
    beside = "" if floor is None else f"; training rows {floor.two_sample}"
    lines = [f"two-sample AUROC by boosting: {audit.fidelity.two_sample}{beside}"]
    for name, error, usual in margin_lines(audit):
        beside = "" if usual is None else f"; training rows {usual.mean:.3f}"
        worst = f"largest {error.worst:.3f}: {', '.join(error.columns)}"
        lines.append(f"error of {name}: {error.mean:.3f} ({worst}){beside}")
    if audit.fidelity.trends is not None:
        usual_trends = None if floor is None else floor.trends
        beside = "" if usual_trends is None else f"; training rows {usual_trends.mean:.3f}"
        lines.append(f"error of trends: {audit.fidelity.trends.mean:.3f}{beside}")
    if audit.coverage.rare:
        words = f"{audit.coverage.covered} of {audit.coverage.rare}"
        lines.append(f"rare categories that occur: {words}")
    return lines


def _privacy(audit: ReleaseAudit) -> list[str]:
    copied = audit.copies
    lines = [
        f"exact copies of training rows: {copied.synthetic:,} of {copied.synthetic_rows:,} "
        f"synthetic rows; of fresh rows {copied.by_chance.value:.2%} would be"
    ]
    if isinstance(audit.membership, Skipped):
        lines.append(f"attacks not run: {audit.membership.reason}")
    else:
        lines += [_membership_line(found) for found in audit.membership]
    if not isinstance(audit.attacks, Skipped):
        worst = sorted(audit.attacks, key=lambda found: -found.excess.low)[:SHOWN_ATTACKS]
        lines += [
            f"{found.attack} of {found.target}: success {found.training.value:.1%}, control group "
            f"{found.control.value:.1%}, excess {found.excess}"
            for found in worst
        ]
    if not isinstance(audit.canaries, Skipped):
        planted = audit.canaries
        lines.append(
            f"canaries: AUROC {planted.area}; epsilon is at least {planted.epsilon:.2f} at delta "
            f"{planted.delta:g}, with {planted.confidence:.0%} confidence"
        )
    if not isinstance(audit.nearest, Skipped):
        near = audit.nearest
        lines.append(
            f"smoke test only: median distance to the closest record {near.released[1]:.3f}, "
            f"control group {near.holdout[1]:.3f}"
        )
    return lines


def _membership_line(found: Membership) -> str:
    tails = "".join(
        f", {tail.true_positives.value:.1%} recognized at {tail.allowed:.1%} false alarms"
        for tail in found.tails
    )
    return f"membership by {found.attack}: AUROC {found.area}{tails}"


@dataclass(frozen=True, kw_only=True)
class CanariesReport(WrittenReport):
    """Files with canaries.

    Attributes:
        rows: training rows without canaries.
        canaries: number of canaries.
        planted: how many of them are among the rows to train on.
    """

    rows: int
    canaries: int
    planted: int

    def text(self) -> str:
        train, key = self.files[:2]
        return (
            f"planted {self.planted} of {self.canaries} canaries in {self.rows:,} rows; train on "
            f"{train}, then run lowerbound audit --canaries {key}"
        )


def canaries(request: CanariesRequest, reporter: Reporter | None = None) -> CanariesReport:
    """Plant canaries and write the rows to train on, and the canaries.

    Raises:
        DataError: the table cannot be read, or has no rows.
        OptionError: fewer than 2 canaries.
    """
    train, key = Path(request.output), Path(request.key)
    for path in (train, key):
        check_table(path)
    rows = read_table(request.real, "REAL")
    made = make_canaries(rows, request.number, request.seed)
    planted = plant(rows, made, request.seed)
    files = [
        *write_columns(train, {str(name): planted[name] for name in planted.columns}),
        *write_columns(
            key,
            {**{str(n): made.rows[n] for n in made.rows.columns}, INCLUDED: made.included},
        ),
    ]
    return CanariesReport(
        rows=len(rows),
        canaries=len(made.included),
        planted=int(made.included.sum()),
        **written(files),
    )


def read_canaries(path: str) -> Canaries:
    """The canaries that ``lowerbound canaries`` wrote.

    Raises:
        DataError: the file is another table.
    """
    frame = read_table(path, "--canaries")
    if INCLUDED not in frame.columns:
        raise DataError(f"{path} has no column {INCLUDED}: lowerbound canaries writes such files")
    included = frame[INCLUDED].astype(str).str.lower().isin(("true", "1")).to_numpy()
    return Canaries(frame.drop(columns=INCLUDED), included)


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
    real = read_table(request.real, "REAL")
    holdout = request.holdout
    return AuditedTables.of(
        real,
        read_table(request.synthetic, "SYNTHETIC", real),
        None if holdout is None else read_table(holdout, "HOLDOUT", real),
        request.label,
        request.kinds or None,
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
