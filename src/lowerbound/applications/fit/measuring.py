"""Measurements and report of a model after its fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lowerbound.applications.base import Reporter, jsonable
from lowerbound.applications.fit.comparison import flat, side_by_side
from lowerbound.applications.io.sentences import about, about_likelihood, about_predicted
from lowerbound.applications.io.sources import DataParts, conditioned
from lowerbound.data import Dataset
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.report.effort import Measurement, affordable
from lowerbound.evaluation.report.evidence import PRIVATE, verdict_of
from lowerbound.evaluation.report.page import write_report
from lowerbound.evaluation.report.sizes import RequestedSizes
from lowerbound.evaluation.report.subjects import Subject
from lowerbound.evaluation.report.suites import FROM_PRIOR, LikelihoodFindings, likelihood_suite
from lowerbound.evaluation.report.verdict import Verdict
from lowerbound.evaluation.samples.quality import DRAWN, SampleQuality
from lowerbound.fitting import Fitted
from lowerbound.fitting.likeness import Likeness
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.quantities import quantity_quality
from lowerbound.models.base import title_of


@dataclass(frozen=True)
class Page:
    """The report to write.

    Attributes:
        folder: folder of the report.
        title: title of the report.
        command: command that writes the report again.
        compare: whether PCA and an autoencoder are also fitted and shown.
    """

    folder: Path
    title: str
    command: str
    compare: bool


@dataclass(frozen=True)
class Measured:
    """The measurements.

    Attributes:
        findings: JSON values, one mapping for each model, with its name.
        verdict: whether the model is good, whether its figures are trustworthy, what to do next.
        lines: the verdict and the measurements as text.
        page: path of the report; empty if none is requested.
        likeness: how alike drawn and real rows of a table are; None: it was not measured.
        unwritten: why a requested report could not be written.
    """

    findings: tuple[Mapping[str, Any], ...]
    verdict: Mapping[str, Any]
    lines: tuple[str, ...]
    page: str
    likeness: Likeness | None = None
    unwritten: str = ""


UNMEASURED = Measured((), {}, (), "")


def measure_all(
    fitted: Fitted, parts: DataParts, sizes: RequestedSizes, page: Page, reporter: Reporter
) -> Measured:
    """Measure all suites for this model and its rivals, and write the report with its figures."""
    contenders = {title_of(fitted.options.model.model): fitted}
    planar: Mapping[str, Fitted] = {}
    if page.compare:
        contenders = side_by_side(fitted, parts.training, reporter)
        planar = flat(fitted, parts.training, reporter)
    training, test = _training(fitted, parts), _test(fitted, parts)
    effort = affordable(sizes, Measurement(tuple(contenders.values()), test, training))
    reporter.say(f"measuring on {len(test):,} rows and drawing the figures")
    written = write_report(
        page.folder,
        _subjects(contenders),
        training,
        test,
        planar=_subjects(planar),
        title=page.title,
        command=page.command,
        options=effort.options,
        remark=effort.remark,
        unseen=parts.test is not None,
        progress=partial(reporter.advance, "measuring"),
    )
    found = next(one for one in written.findings if one.subject.model is fitted.model)
    measured = tuple(jsonable(one.to_mapping()) for one in written.findings)
    lines = (*written.verdict.plain, *_lines(parts, about(found), effort.remark))
    alike = _likeness(found.samples.quality, parts.test is not None)
    verdict = jsonable(written.verdict.to_mapping())
    return Measured(measured, verdict, lines, str(written.page), alike)


def _likeness(found: SampleQuality | Skipped, unseen: bool) -> Likeness | None:
    """How alike rows drawn from the prior and real ones are, by boosting."""
    if isinstance(found, Skipped):
        return None
    by_form = found.found.get(FROM_PRIOR, {})
    area = by_form[DRAWN].boosting if DRAWN in by_form else None
    if not isinstance(area, Interval):
        return None
    return Likeness(found.rows, area.value, area.low, area.high, unseen)


def measure_likelihood(
    fitted: Fitted, parts: DataParts, sizes: RequestedSizes, reporter: Reporter
) -> Measured:
    """Measure the bound only, without figures and report."""

    def progress(done: int, total: int) -> None:
        reporter.advance("scoring", done, total)

    test = _test(fitted, parts)
    effort = affordable(replace(sizes, gap_rows=0, draws=0), Measurement((fitted,), test))
    found = likelihood_suite(fitted.model, test, effort.options, progress=progress)
    predicted = quantity_quality(fitted.model, test) if fitted.schema.quantities else {}
    name = title_of(fitted.options.model.model)
    mapping = {"name": name, **jsonable(found.to_mapping())}
    if predicted:
        mapping["quantities"] = {each: asdict(quality) for each, quality in predicted.items()}
    verdict = _verdict(name, fitted, found, parts, test.thinned(effort.options.rows))
    sentences = about_likelihood(found) + about_predicted(predicted)
    lines = (*verdict.plain, *_lines(parts, sentences, effort.remark))
    return Measured((mapping,), jsonable(verdict.to_mapping()), lines, "")


def _verdict(
    name: str, fitted: Fitted, found: LikelihoodFindings, parts: DataParts, scored: Dataset
) -> Verdict:
    """The verdict without the measurements of latents and samples."""
    private = fitted.options.privacy.private
    training = PRIVATE if private else _training(fitted, parts)
    subject = Subject(name, fitted.model, fitted.history)
    return verdict_of(subject, found, training, scored, unseen=parts.test is not None)


def _training(fitted: Fitted, parts: DataParts) -> Dataset:
    """The training rows; of many on disk, some."""
    return conditioned(parts.training.in_memory(), fitted)


def _test(fitted: Fitted, parts: DataParts) -> Dataset:
    """The test part, or the training rows if there is no test part; of many on disk, some."""
    rows = parts.training if parts.test is None else parts.test
    return conditioned(rows.in_memory(), fitted)


def _lines(parts: DataParts, sentences: list[str], remark: str) -> tuple[str, ...]:
    where = parts.protocol if parts.test is not None else "the rows it was fitted to"
    sentences = [*sentences, *([remark] if remark else [])]
    return (f"on {where}:", *(f"  {sentence}" for sentence in sentences))


def _subjects(fitted: Mapping[str, Fitted]) -> list[Subject]:
    return [Subject(name, one.model, one.history, one.latents) for name, one in fitted.items()]
