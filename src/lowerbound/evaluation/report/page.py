"""Write a report on fitted models: ``report.html``, and its figures as PNG files.

The page embeds its pictures and loads nothing from a network.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from lowerbound import durable
from lowerbound._version import __version__
from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError
from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters import plates
from lowerbound.evaluation.report.evidence import verdict_of
from lowerbound.evaluation.report.owner import table_summary
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.subjects import (
    SUITES,
    Findings,
    Material,
    Plate,
    Subject,
    describe,
    examine,
    leading,
    stamp,
)
from lowerbound.evaluation.report.summary_table import comparisons, notes, summary_lines
from lowerbound.evaluation.report.templates import render
from lowerbound.evaluation.report.verdict import ACCEPTED, BOUND, Verdict
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.passes import Progress
from lowerbound.untrusted import folders

TILES = ("L_", "bits per dimension", "accepted", "active units", "hole rate")
FIGURES = {"L_": BOUND, "bits per dimension": BOUND, "accepted": ACCEPTED}
"""The figures of the verdict that tiles show, by the start of their labels."""


@dataclass(frozen=True)
class ReportPage:
    """The written report.

    Attributes:
        page: path of report.html.
        figures: the PNG files, in the order of the page.
        findings: all measures, one per subject.
        verdict: whether the leading model is good, and what to do next.
    """

    page: Path
    figures: tuple[Path, ...]
    findings: tuple[Findings, ...]
    verdict: Verdict

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "page": str(self.page),
            "verdict": self.verdict.to_mapping(),
            "figures": [str(path) for path in self.figures],
            "models": [found.to_mapping() for found in self.findings],
        }


def write_report(
    folder: Path,
    subjects: Sequence[Subject],
    training: Dataset,
    held_out: Dataset,
    *,
    planar: Sequence[Subject] = (),
    title: str = "",
    command: str = "",
    options: SuiteOptions | None = None,
    first: Callable[[Material], Iterable[Plate]] = lambda material: (),
    remark: str = "",
    unseen: bool = True,
    progress: Progress | None = None,
) -> ReportPage:
    """Measure the models, draw the figures, write ``folder/report.html`` and ``folder/figures/``.

    Args:
        folder: created if missing; files of an earlier report are replaced.
        subjects: fitted models and baselines such as PCA, in the order of the page.
        training: the rows they were fitted to.
        held_out: rows they have not seen.
        planar: the same kinds of models with two latent units, for the latent maps and the decoded
            manifold; without them, the page projects the codes of ``subjects``.
        title: title of the page.
        command: command that makes this page again; shown at its end.
        options: sizes of the measurements.
        first: figures that come before the others.
        remark: one sentence on the sizes of the measurements.
        unseen: whether no model was fitted to the held-out rows.
        progress: called with (parts of the work done, parts); the last part are the figures.

    Raises:
        DataError: there is no model or no row.
    """
    if not subjects or not len(held_out):
        raise DataError("a report needs at least one fitted model and one held-out row")
    options = options or SuiteOptions()
    parts = _Parts(SUITES * len(subjects) + 2, progress)
    findings, classifier = examine(subjects, training, held_out, options, parts.finished)
    scored, lead = held_out.thinned(options.rows), leading(findings)
    verdict = verdict_of(
        lead.subject, lead.likelihood, training, scored, unseen=unseen, findings=lead
    )
    material = Material(findings, training, held_out)
    usual = plates(material, _planar(planar, training, held_out, options))
    shown = list(_drawn(folder / "figures", (*first(material), *usual)))
    parts.finished()
    page = folder / "report.html"
    durable.write_text(
        page,
        render(
            "report.html.j2",
            title=title or f"Evaluation of {lead.name}",
            command=command,
            version=__version__,
            data={**data_lines(training, held_out), **({"measured": remark} if remark else {})},
            names=[subject.name for subject in subjects],
            models=[describe(subject) for subject in subjects],
            judge="" if isinstance(classifier, Skipped) else f"{classifier.accuracy:.1%}",
            stamp=stamp(findings),
            options=options,
            chapters=_by_chapter(shown),
            verdict=verdict,
            table=table_summary(lead, training, scored),
            **_table(findings, verdict),
        ),
    )
    return ReportPage(page, tuple(each.path for each in shown), tuple(findings), verdict)


class _Parts:
    """Counts finished parts of a work.

    Args:
        total: number of parts.
        progress: called with (parts done, total).
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress, self.done = total, progress, 0

    def finished(self) -> None:
        """One more part is done."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(frozen=True)
class _Drawn:
    """A figure on the page.

    Attributes:
        plate: the figure and its caption.
        path: its file.
        png: its bytes in base64.
    """

    plate: Plate
    path: Path
    png: str


def _drawn(folder: Path, every: Iterable[Plate]) -> Iterator[_Drawn]:
    """Write the figures, numbered in the order of the page."""
    folders.make(folder)
    for number, plate in enumerate(every, 1):
        png = figures.to_png(plate.figure)
        path = folder / f"{number:02d}_{plate.key}.png"
        durable.write_bytes(path, png)
        yield _Drawn(plate, path, base64.b64encode(png).decode())


def _planar(
    subjects: Sequence[Subject], training: Dataset, held_out: Dataset, options: SuiteOptions
) -> Material | None:
    """Material of the latent figures, from models with two units."""
    if not subjects:
        return None
    few = replace(options, samples=1, gap_rows=0, feature_rows=0, draws=SuiteOptions.draws // 10)
    findings, _ = examine(subjects, training, held_out, few)
    return Material(findings, training, held_out)


def data_lines(training: Dataset, held_out: Dataset) -> dict[str, str]:
    """A description of the data, as text."""
    schema = training.schema
    lines = {
        "source": training.source,
        "kind": schema.data_kind.describe(schema),
        "training rows": f"{len(training):,}",
        "held-out rows": f"{len(held_out):,}",
        "classes": ", ".join(schema.class_names[:20]),
    }
    return {name: text for name, text in lines.items() if text}


def _table(findings: Sequence[Findings], verdict: Verdict) -> dict[str, Any]:
    lines = summary_lines(findings)
    remarks = notes(lines)
    main = list(findings).index(leading(findings))
    tiles = [
        (line.label, line.cells[main], line.meaning, verdict.reason(_figure(line.label)))
        for line in lines
        if line.label.startswith(TILES) and line.cells[main].value is not None
    ]
    groups = [(group, list(members)) for group, members in groupby(lines, lambda line: line.group)]
    marks = {remark: chr(ord("a") + place) for place, remark in enumerate(remarks)}
    return {
        "tiles": tiles,
        "groups": groups,
        "marks": marks,
        "comparisons": comparisons(findings),
        "leader": findings[main].name,
    }


def _figure(label: str) -> str:
    """The figure of the verdict that a tile shows."""
    return next((figure for start, figure in FIGURES.items() if label.startswith(start)), "")


def _by_chapter(shown: Sequence[_Drawn]) -> list[tuple[str, list[_Drawn]]]:
    return [
        (name, list(group)) for name, group in groupby(shown, lambda drawn: drawn.plate.chapter)
    ]
