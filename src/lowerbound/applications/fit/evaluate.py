"""``lowerbound evaluate``: measure likelihood, latents and samples of a model on data.

The text says the protocol of a score, and the model's rank among published models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowerbound import durable
from lowerbound.applications.common.application import Report, Reporter, jsonable
from lowerbound.applications.common.files import write_text
from lowerbound.applications.common.fit_rows import fitted_to, requested, requested_parts
from lowerbound.applications.common.rows import write_columns
from lowerbound.applications.common.sentences import (
    about_difference,
    about_latents,
    about_likelihood,
    about_samples,
)
from lowerbound.applications.common.sources import DataParts, conditioned
from lowerbound.applications.fit.requests import EvaluateRequest
from lowerbound.data.arrays import listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.evaluation.likelihood.leaderboard import Leaderboard, Standing, binarization_of
from lowerbound.evaluation.report.evidence import NO_TRAINING_ROWS, PRIVATE, verdict_of
from lowerbound.evaluation.report.subjects import Subject
from lowerbound.evaluation.report.suites import (
    LikelihoodFindings,
    SampleFindings,
    latent_suite,
    likelihood_suite,
    reference_samples,
    sample_suite,
)
from lowerbound.evaluation.report.verdict import Verdict
from lowerbound.evaluation.samples.acceptance import fit_realism_classifier
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.scores import Protocol, Scores, marginal_difference
from lowerbound.models.base import title_of

SHOWN_OF_A_HASH = 12
SCORES = "scores.csv"


def about_protocol(protocol: Protocol) -> str:
    """The protocol in one line; figures are comparable only if their protocols agree."""
    values = _values(protocol)
    what = "bits" if protocol.levels == 2 or protocol.binarize != "none" else "rows"
    parts = [
        f"{protocol.rows:,} rows",
        *([protocol.data] if protocol.data else []),
        *([f"part {protocol.split}"] if protocol.split else []),
        values,
        f"p(x | z) {protocol.likelihood}",
        f"seed {protocol.seed}",
        f"SHA-256 of the {what} {protocol.sha256[:SHOWN_OF_A_HASH]}",
    ]
    return f"protocol: {', '.join(parts)}"


def _values(protocol: Protocol) -> str:
    """Binarization, bit depth, or "continuous values"."""
    kind = binarization_of(protocol)
    if kind == "static":
        return "bits as given (static)"
    if kind != "none":
        return f"bits by {kind} binarization"
    if protocol.levels is None:
        return "continuous values"
    depth = (protocol.levels - 1).bit_length()
    return f"{protocol.levels} levels ({depth} bits)"


def about_leaderboard(board: Leaderboard) -> list[str]:
    """A table of comparable figures, then one line per reason why others are not comparable."""
    if not board.dataset:
        return []
    lines = [f"published figures of {board.dataset}, lower is better:"]
    lines += [f"  {line}" for line in _tables(board)] or ["  none has the protocol of this run"]
    return lines + [f"  not compared: {line}" for line in _refusals(board)]


def _tables(board: Leaderboard) -> Iterator[str]:
    """One table per estimator and unit, with this model in its rank."""
    groups: dict[str, list[Standing]] = {}
    for found in board.comparable:
        figure = found.figure
        groups.setdefault(f"{figure.estimator} in {figure.unit}:", []).append(found)
    for title, standings in groups.items():
        yield title
        yield from (f"  {line}" for line in _ranked(standings))


def _ranked(standings: list[Standing]) -> list[str]:
    measured = standings[0].measured
    assert measured is not None
    digits = 2 if standings[0].figure.unit == "nats" else 3
    lines = [
        (
            found.figure.value,
            f"{found.figure.value:.2f}  {found.figure.model}, {found.figure.source}",
        )
        for found in standings
    ]
    error = measured.standard_error
    spread = "" if error is None else f" ± {error:.{digits}f}"
    lines.append((measured.mean, f"{measured.mean:.{digits}f}{spread}  THIS MODEL"))
    return [line for _, line in sorted(lines)]


def _refusals(board: Leaderboard) -> Iterator[str]:
    """One line per reason why figures are not comparable."""
    reasons: dict[str, list[Standing]] = {}
    for found in board.refused:
        reasons.setdefault(found.refusal, []).append(found)
    yield from _grouped(reasons)


def _grouped(reasons: Mapping[str, list[Standing]]) -> Iterator[str]:
    for reason, standings in reasons.items():
        first = standings[0].figure
        more = f" and {len(standings) - 1} more" if len(standings) > 1 else ""
        yield f"{first.model}, {first.value:.2f}{more}: {reason}"


@dataclass(frozen=True)
class EvaluateReport(Report):
    """The measurements of a model.

    Attributes:
        model: the model folder.
        rows: number of rows in the measured part.
        part: "all" or "test".
        verdict: whether the model is good, whether its figures are trustworthy, what to do next;
            None if the likelihood was not measured.
        findings: the measurements, by suite.
        differences: this model's bound minus another model's, by the other model's folder.
        reached: whether the bound reached ``at_least``; None if that is not set.
        files: the files written.
        lines: the measurements as text.
    """

    model: str
    rows: int
    part: str
    verdict: Mapping[str, Any] | None
    findings: Mapping[str, Any]
    differences: Mapping[str, Any]
    reached: bool | None
    files: tuple[str, ...]
    lines: tuple[str, ...]

    def text(self) -> str:
        return "\n".join((*self.lines, *(f"wrote {file}" for file in self.files)))

    @property
    def passed(self) -> bool:
        return self.reached is not False


def evaluate(request: EvaluateRequest, reporter: Reporter, fitted: Fitted) -> EvaluateReport:
    """Measure a model on data.

    Raises:
        DataError: the data is not of the kind that the model was fitted on, or has no test part.
        UnsupportedError: the model does not have the requested bound.
        OptionError: the output is a file.
    """
    if Path(request.output).is_file():
        raise OptionError(f"--output {request.output} is a file: name a folder")
    durable.check_replaced(Path(request.output) / SCORES)
    parts = requested_parts(request, fitted)
    unseen = request.part == "test" or not fitted_to(request.model, request.data)
    if not unseen:
        reporter.say(
            "note: the model was fitted to rows of this data; --part test uses only the rows that "
            "were set aside"
        )
    rows = conditioned(requested(parts), fitted)
    sight, found, samples = _Sight(unseen), None, None
    if request.suite in ("likelihood", "all"):
        found = _see_likelihood(request, reporter, fitted, rows, sight)
    if request.suite != "likelihood":
        samples = _see_latents_and_samples(request, reporter, fitted, parts, sight)
    if found is not None:
        sight.verdict = _verdict(request, fitted, parts, rows, found, samples, unseen)
    if request.output:
        path = Path(request.output) / "findings.json"
        write_text(path, json.dumps(sight.findings, indent=1, allow_nan=False))
        sight.files.append(str(path))
    return EvaluateReport(
        request.model,
        len(rows),
        request.part,
        None if sight.verdict is None else jsonable(sight.verdict.to_mapping()),
        sight.findings,
        sight.differences,
        sight.reached,
        tuple(sight.files),
        (
            *(() if sight.verdict is None else sight.verdict.plain),
            f"{len(rows):,} rows ({parts.protocol}):",
            *(f"  {line}" for line in sight.lines),
        ),
    )


@dataclass
class _Sight:
    """The measurements so far, of rows that the model was not fitted to if ``unseen``."""

    unseen: bool
    findings: dict[str, Any] = field(default_factory=dict)
    differences: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    reached: bool | None = None
    verdict: Verdict | None = None


def _see_likelihood(
    request: EvaluateRequest, reporter: Reporter, fitted: Fitted, rows: Dataset, sight: _Sight
) -> LikelihoodFindings:
    found = _likelihood(request, reporter, fitted, rows)
    if isinstance(found.scores, Scores) and found.scores.protocol.rows < len(rows):
        sight.lines.append(f"{found.scores.protocol.rows:,} of them, evenly spread (--rows 0: all)")
    sight.findings |= jsonable(found.to_mapping())
    sight.lines += about_likelihood(found)
    if fitted.model.refiner is not None:
        sight.lines.append("p(x | z) is that of the fit, without the refiner, which gives a bound")
    if isinstance(found.scores, Scores):
        sight.lines.append(about_protocol(found.scores.protocol))
    leaderboard = found.leaderboard()
    if isinstance(leaderboard, Leaderboard):
        sight.findings["leaderboard"] = jsonable(leaderboard)
        sight.lines += about_leaderboard(leaderboard)
    for other in request.compare:
        difference = _difference(request, reporter, fitted.schema, found, other)
        sight.differences[other] = jsonable(difference)
        sight.lines.append(about_difference(other, difference))
    if request.at_least is not None:
        bound = float(_scores(found).bound.mean())
        sight.reached = bound >= request.at_least
        outcome = "reached" if sight.reached else "not reached"
        sight.lines.append(f"at least {request.at_least:g} nats per row: {outcome}")
    if request.output and isinstance(found.scores, Scores):
        scored = rows.thinned(request.measuring.rows)
        sight.files += write_scores(Path(request.output) / SCORES, found.scores, scored)
    return found


def _verdict(
    request: EvaluateRequest,
    fitted: Fitted,
    parts: DataParts,
    rows: Dataset,
    found: LikelihoodFindings,
    samples: SampleFindings | None,
    unseen: bool,
) -> Verdict:
    """The verdict; the baselines are fitted to the training part, if the data has a test part."""
    training: Dataset | Skipped = NO_TRAINING_ROWS
    if fitted.options.privacy.private:
        training = PRIVATE
    elif parts.test is not None:
        training = conditioned(parts.training, fitted)
    return verdict_of(
        Subject(title_of(fitted.options.model.model), fitted.model, fitted.history),
        found,
        training,
        rows.thinned(request.measuring.rows),
        unseen=unseen,
        samples=samples,
    )


def _likelihood(
    request: EvaluateRequest, reporter: Reporter, fitted: Fitted, rows: Dataset
) -> LikelihoodFindings:
    def progress(done: int, total: int) -> None:
        reporter.advance("scoring", done, total)

    options = request.measuring
    return likelihood_suite(fitted.model, rows, options, split=request.part, progress=progress)


def _difference(
    request: EvaluateRequest,
    reporter: Reporter,
    schema: Schema,
    found: LikelihoodFindings,
    other: str,
) -> Estimate:
    """This model's bound minus another's, paired over the same rows.

    Args:
        schema: of this model.
        found: the bound of this model.
        other: folder of the other model.

    Raises:
        UnsupportedError: a model has no bound, or one gives a mass and the other a density.
        DataError: the models see different data in the same rows.
    """
    rival = model_folder.read(Path(other), request.device)
    parts = requested_parts(request, rival, of_another=True)
    rows = conditioned(requested(parts), rival)
    mine, its = _scores(found), _scores(_likelihood(request, reporter, rival, rows))
    if mine.mass != its.mass:
        raise UnsupportedError(
            f"{request.model} and {other} cannot be compared: one gives a probability mass, the "
            "other a density, and their nats are of different kinds"
        )
    try:
        return marginal_difference(mine, its)
    except DataError as error:
        reason = _other_columns(schema, rival.schema) or error
        raise DataError(f"{request.model} cannot be compared with {other}: {reason}") from error


def _other_columns(mine: Schema, other: Schema) -> str:
    """Which columns two models read differently, in words; "" if there are none."""
    own = {column.name: column.kind for column in mine.modeled}
    its = {column.name: column.kind for column in other.modeled}
    differing = [
        f"{name!r} ({own.get(name, 'not modeled')} and {its.get(name, 'not modeled')})"
        for name in {**own, **its}
        if own.get(name) != its.get(name)
    ]
    return f"they model columns differently: {listed(differing)}" if differing else ""


def _scores(found: LikelihoodFindings) -> Scores:
    if isinstance(found.scores, Skipped):
        raise UnsupportedError(found.scores.reason)
    return found.scores


def _see_latents_and_samples(
    request: EvaluateRequest, reporter: Reporter, fitted: Fitted, parts: DataParts, sight: _Sight
) -> SampleFindings | None:
    """Measure latents and samples; without a test part, half of the rows act as training rows.

    Returns:
        The measurements of samples, if they are requested.
    """
    options = request.measuring
    if parts.test is None:
        first, second = parts.training.split(0.5, options.seed)
    else:
        first, second = parts.training, parts.test
    first, second = conditioned(first, fitted), conditioned(second, fitted)
    if request.suite in ("latents", "all"):
        reporter.say("measuring the latents")
        latents = latent_suite(fitted.model, first, second, options)
        sight.findings |= jsonable(latents.to_mapping())
        sight.lines += about_latents(latents)
    if request.suite in ("samples", "all"):
        reporter.say("drawing samples and measuring them")
        judge = fit_realism_classifier(first, second, seed=options.seed)
        reference = reference_samples(first, second, options)
        samples = sample_suite(fitted.model, first, judge, options, reference=reference)
        sight.findings |= jsonable(samples.to_mapping())
        sight.lines += about_samples(samples, unseen=sight.unseen)
        return samples
    return None


def write_scores(path: Path, scores: Scores, rows: Dataset) -> tuple[str, ...]:
    """Write one line per row, in the order of the data."""
    named: dict[str, Any] = {} if rows.ids is None else {"id": list(rows.ids)}
    named |= {
        "elbo": scores.elbo,
        "bound": scores.bound,
        "distortion": scores.distortion,
        "rate": scores.rates.sum(0),
        "effective_sample_size": scores.effective_sample_size,
    }
    if scores.pareto_k is not None:
        named["pareto_k"] = scores.pareto_k
    return write_columns(path, named)
