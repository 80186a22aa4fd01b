"""Measurements and report of a model after its fit, and how its data was read, as text to check.

The model is compared with PCA and an autoencoder of the same data. The autoencoder has the same
encoder, decoder and likelihood as the VAE, but no prior. PCA has the same number of latent units,
but no network.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lowerbound.applications.common.application import Reporter, jsonable
from lowerbound.applications.common.sentences import about, about_likelihood, about_predicted
from lowerbound.applications.common.sources import DataParts, conditioned
from lowerbound.classical.self_masking import WARNING
from lowerbound.data.arrays import listed
from lowerbound.data.columns.dates import ISO, in_strptime
from lowerbound.data.dataset import Dataset
from lowerbound.data.protection.record import Protection
from lowerbound.data.schema import Schema
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.report.effort import Measurement, affordable
from lowerbound.evaluation.report.evidence import PRIVATE, verdict_of
from lowerbound.evaluation.report.page import write_report
from lowerbound.evaluation.report.sizes import RequestedSizes
from lowerbound.evaluation.report.subjects import Subject
from lowerbound.evaluation.report.suites import FROM_PRIOR, LikelihoodFindings, likelihood_suite
from lowerbound.evaluation.report.verdict import Verdict
from lowerbound.evaluation.samples.distances import DRAWN, SampleQuality
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit
from lowerbound.fitting.options import FitOptions
from lowerbound.fitting.source import Likeness
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.regression import quantity_quality
from lowerbound.models.base import MODELS, title_of
from lowerbound.models.options import ModelOptions
from lowerbound.models.parts import ModelParts
from lowerbound.parts import AT_RANDOM, AUTO

RIVALS = ("vae", "autoencoder", "pca")
PLANAR = ("autoencoder", "vae", "pca")
UNSUITABLE = "it needs rows without missing cells, of two or more values, all of them numbers"
Fit = Callable[[Dataset, FitOptions], Fitted]
LATENT = ("prior", "posterior")


def options_of(kind: str, options: FitOptions, dataset: Dataset) -> FitOptions | None:
    """The options for a rival model, with the latent units that it can have; None if unsuitable."""
    own = options.model
    if own.model not in RIVALS:  # options of several levels do not apply to one level
        own = replace(own, latent_dim=None, model_options={})
    model = MODELS[kind].rival_options(dataset, replace(own, model=kind))
    if model is None:
        return None
    if "prior" in MODELS[kind].uses:
        return replace(options, model=model)
    # it has no rate, so nothing weighs one or draws samples for it
    return replace(options, model=model, objective=MODELS[kind].objective, objective_options={})


PLANE = 2


def flat(
    fitted: Fitted, training: Dataset, reporter: Reporter, kinds: tuple[str, ...] = PLANAR
) -> dict[str, Fitted]:
    """Models of these kinds with two latent units, whose codes can be drawn as maps, by name.

    The VAE uses the textbook's prior N(0, I), so that a regular grid covers its latent plane.
    """
    model = replace(
        fitted.options.model,
        model="vae",
        model_options={},
        latent_dim=PLANE,
        prior="standard_normal",
        prior_options={},
    )
    options = replace(fitted.options, model=model)
    if training.schema.dimension <= PLANE or fitted.options.model.latent_dim == PLANE:
        return {}
    found = {}
    for kind in kinds:
        chosen = options_of(kind, options, training)
        if chosen is None:
            continue
        reporter.say(f"fitting {title_of(kind)} with {PLANE} latent units for the maps")
        found[f"{title_of(kind)} with {PLANE} units"] = fit(
            training, chosen, reporter=reporter.training()
        )
    return found


def side_by_side(
    fitted: Fitted, training: Dataset, reporter: Reporter, kinds: tuple[str, ...] = RIVALS
) -> dict[str, Fitted]:
    """The model and its rivals, each fitted to the same rows by the same options, by name.

    Args:
        fitted: the model itself, which is not fitted again.
        training: the rows that it was fitted on.
        reporter: receives messages and progress.
        kinds: the models, in the order of the report; the model's own kind comes first if it is
            not in the list.
    """
    own = fitted.options.model.model
    found = {} if own in kinds else {title_of(own): fitted}
    for kind in kinds:
        options = options_of(kind, fitted.options, training)
        if kind == own:
            found[title_of(kind)] = fitted
        elif options is None:
            reporter.say(f"{title_of(kind)} is left out: {UNSUITABLE}")
        else:
            reporter.say(f"fitting {title_of(kind)} for comparison")
            found[title_of(kind)] = fit(training, options, reporter=reporter.training())
    return found


def about_data(dataset: Dataset) -> list[str]:
    """Describe the rows: number, columns or pixels, classes, and missing cells."""
    schema = dataset.schema
    lines = [f"data: {dataset.source}: {len(dataset):,} {schema.data_kind.describe(schema)}"]
    if schema.class_names:
        column = f" in column {schema.label_column!r}" if schema.label_column else ""
        count = len(schema.class_names)
        classes = f"{count} classes{column}: {listed(schema.class_names)}"
        hidden = 0 if dataset.label is None else int((dataset.label < 0).sum())
        lines.append(f"      {classes}{f'; {hidden:,} rows without a label' if hidden else ''}")
    if schema.target is not None and dataset.target is not None:
        column = f" of column {schema.label_column!r}" if schema.label_column else ""
        known, mean = int((~dataset.target.isnan()).sum()), schema.target.mean
        lines.append(f"      numbers{column} for {known:,} rows, {mean:.4g} on average")
    if dataset.quantities is not None:
        counts: list[int] = (~dataset.quantities.isnan()).sum(0).tolist()
        each = [
            f"{quantity.name} ({count:,} rows)"
            for quantity, count in zip(schema.quantities, counts, strict=True)
        ]
        lines.append(f"      codes predict {', '.join(each)}")
    if schema.mixed:
        lines += [f"      {kind}: {listed(names)}" for kind, names in by_kind(schema).items()]
    lines += [f"      {sentence}" for sentence in _about_dates(schema)]
    if (protection := Protection.of(schema.details)) is not None:
        lines += [f"      {sentence}" for sentence in protection.sentences]
    if dataset.observed is not None and schema.missing:
        lines.append(f"      {dataset.missing_share:.1%} of the cells are missing")
    return lines


def _about_dates(schema: Schema) -> list[str]:
    """The formats of date columns, and how to change them."""
    found: dict[str, list[str]] = {}
    for column in schema.modeled:
        if column.format not in (None, ISO):
            found.setdefault(in_strptime(column.format), []).append(column.name)
    return [
        f"dates of {listed(names)} are read as {format} "
        f"(--kind {shlex.quote(names[0] + '=datetime:FORMAT')} sets another format)"
        for format, names in found.items()
    ]


def by_kind(schema: Schema) -> dict[str, list[str]]:
    """The names of a table's modeled columns by their kind."""
    found: dict[str, list[str]] = {}
    for column in schema.modeled:
        found.setdefault(column.kind, []).append(column.name)
    return found


def about_model(schema: Schema, given: ModelOptions, chosen: ModelOptions) -> list[str]:
    """Describe the model, with the reason for each default.

    Args:
        schema: schema of the data.
        given: options that the user set.
        chosen: the options with every default resolved.
    """
    kind = MODELS[chosen.model]
    lines = [
        f"model: {chosen.model}, {kind.latents_text(ModelParts(schema, chosen))}"
        f"{_condition(chosen, schema)}"
    ]
    if kind.remark:
        lines.append(f"      {kind.remark}")
    if "network" in kind.uses:
        why = f" ({kind.default_network(schema).reason})" if given.network == AUTO else ""
        lines.append(f"      network {chosen.network}{why}")
    if "likelihood" in kind.uses:
        why = f" ({kind.default_likelihood(schema).reason})" if given.likelihood == AUTO else ""
        lines.append(f"      likelihood {chosen.likelihood}{why}")
    latent = [f"{part} {getattr(chosen, part)}" for part in LATENT if part in kind.uses]
    if latent:
        lines.append(f"      {', '.join(latent)}")
    if chosen.missingness != AT_RANDOM:
        lines.append(f"      missing cells {chosen.missingness}, {WARNING}")
    return lines


def _condition(chosen: ModelOptions, schema: Schema) -> str:
    return f", conditioned on the class ({len(schema.class_names)})" if chosen.conditional else ""


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
