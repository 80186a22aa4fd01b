"""``lowerbound fit``: read the data, print the choices, train, measure, and write the folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lowerbound import processes
from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.fit_rows import SET_ASIDE, set_aside_rows
from lowerbound.applications.common.form import PROCESSOR, entries, typed
from lowerbound.applications.common.sentences import about_rare_levels
from lowerbound.applications.common.sources import DataParts, SetAside, read_parts
from lowerbound.applications.fit.measuring import (
    UNMEASURED,
    Measured,
    Page,
    about_data,
    about_model,
    measure_all,
    measure_likelihood,
)
from lowerbound.applications.fit.preparing import (
    PublicSchema,
    check_parts,
    check_processes,
    public_schema,
    rows_folder,
    with_settings,
)
from lowerbound.applications.fit.requests import FitRequest
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.pictures.shards import is_unpacked
from lowerbound.errors import LowerboundError, OptionError
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.assembly import resolve, start_from_model
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit as fit_model
from lowerbound.fitting.options import FitOptions
from lowerbound.fitting.source import DataSource
from lowerbound.training.device import AUTO, chosen_device
from lowerbound.training.loop import Interrupted

NOT_REMEMBERED = ("output", "resume", "overwrite", "together")


@dataclass(frozen=True)
class FitReport(Report):
    """The result of a fit.

    Attributes:
        model: the model folder.
        kind: name of the model, such as vae.
        latent_dim: number of latent dimensions; of a model with several latents, of its code.
        network, likelihood: names of these parts.
        training_rows, test_rows: number of rows of each part.
        protocol: how the test part was chosen.
        ended: how training ended; empty for a model solved in closed form.
        updates, seconds: updates and duration of training.
        findings: all measurements on the test part, one mapping per model, this model first.
        verdict: whether the model is good, whether its figures are trustworthy, what to do next.
        page: path of the report; empty if none is requested, or none could be written.
        unwritten: why the requested report could not be written; empty otherwise.
        lines: the text of the report.
    """

    model: str
    kind: str
    latent_dim: int
    network: str
    likelihood: str
    training_rows: int
    test_rows: int
    protocol: str
    ended: str
    updates: int
    seconds: float
    findings: tuple[Mapping[str, Any], ...]
    verdict: Mapping[str, Any]
    page: str
    lines: tuple[str, ...]
    unwritten: str = ""

    def text(self) -> str:
        page = self.page or (f"none, because it could not be drawn ({self.unwritten})")
        asked = bool(self.page or self.unwritten)
        written = [f"model:  {self.model}", *([f"report: {page}"] if asked else [])]
        return "\n".join((*self.lines, *written))


def fit(request: FitRequest, reporter: Reporter) -> FitReport:
    """Fit a model and write its folder.

    Raises:
        DataError: the data cannot be read or cannot be modeled.
        OptionError: an option makes no sense, or differs from those of the run to be resumed.
        ModelFolderError: the folder holds something else, or a model that must not be replaced.
        Interrupted: Ctrl-C; the message names what is saved and how to continue.
    """
    check_processes(request.together)
    folder = Path(request.output)
    request = started_again(folder, request)
    state = fit_folder.may_write(folder, resume=request.resume, overwrite=request.overwrite)
    finished = state == "finished" and not request.overwrite
    if request.resume:
        request = resumed(folder, request)
    options = with_settings(request.fitting, request.set)
    check_parts(options.model)
    chosen_device(options.training.device)  # one that is absent is refused before data is read
    request = without_rows_of_the_report(request, reporter)
    with rows_folder(request, options.privacy.private, reporter) as cache:
        return _fit(folder, request, options, cache, reporter, finished=finished)


def _fit(
    folder: Path,
    request: FitRequest,
    options: FitOptions,
    cache: Path | None,
    reporter: Reporter,
    *,
    finished: bool,
) -> FitReport:
    """Read the data, fit and measure; of a finished fit, measure only.

    Of several processes, the first measures.
    """
    with processes.joined():
        with processes.first_alone(cache is not None or is_unpacked(request.data)):
            public = public_schema(request.data, options.privacy, request.reading)
            options = replace(options, privacy=public.privacy)
            parts = _read(request, options, public, cache)
        if finished:
            reporter.say(f"the run in {folder} is finished: there is nothing to resume")
            fitted = model_folder.read(folder, options.training.device)
        else:
            fitted = _train(folder, request, options, parts, reporter)
    if not processes.speaks():
        return _report(folder, fitted, parts, UNMEASURED)
    try:
        return _report(folder, fitted, parts, _measured(folder, fitted, parts, request, reporter))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; the model in {folder} is saved; this command measures it: "
            f"{_again(request)}"
        ) from None


def _read(
    request: FitRequest, options: FitOptions, public: PublicSchema, cache: Path | None
) -> DataParts:
    """Training and test rows."""
    return read_parts(
        request.data,
        request.reading,
        SetAside.of(request.test, options.training.seed, options.model.infers_label),
        options.model.numbers_only,
        options.model.normal_scores,
        options.model.is_regression,
        public.schema,
        public.rows,
        cache,
        options.model.conditional,
    )


def started_again(folder: Path, request: FitRequest) -> FitRequest:
    """The request of processes that a launcher starts again: to go on from the checkpoint."""
    if not processes.restarts():
        return request
    state, began = fit_folder.state_of(folder), processes.launch_time()
    older = fit_folder.last_write(folder) < began if began else state == "finished"
    if state == "absent" or (request.overwrite and older):
        return request  # the first checkpoint had not been written
    return replace(request, resume=True, overwrite=False)


def without_rows_of_the_report(request: FitRequest, reporter: Reporter) -> FitRequest:
    """The request without report.html if the fit is private: that page shows rows."""
    if not (request.fitting.privacy.private and request.report):
        return request
    reporter.say("private fit: no report.html is written, because it would show rows of the data")
    return replace(request, report=False)


def _again(request: FitRequest) -> str:
    """The command that resumes the fit."""
    return shlex.join(["lowerbound", "fit", request.data, "-o", request.output, "--resume"])


def resumed(folder: Path, request: FitRequest) -> FitRequest:
    """The request that started the run in ``folder``, with data and folder of the new request.

    Raises:
        OptionError: an option of the new request differs from the first request; or the first
            request is not recorded for this user, and names a file that the new one does not.
    """
    then = fit_folder.remembered(folder)
    if then is None:
        return request
    then = {name: value for name, value in then.items() if name != SET_ASIDE}
    before = from_mapping(FitRequest, {**then, "data": request.data, "output": request.output})
    used = fit_folder.objective_of(folder) or before.fitting.objective
    device = request.fitting.training.device
    if device == AUTO:  # not given
        device = before.fitting.training.device
    training = replace(before.fitting.training, device=device)
    fitting = replace(before.fitting, objective=used, training=training)
    before = replace(before, fitting=fitting, together=request.together, resume=True)
    default = FitRequest(request.data, request.output, resume=True)
    differing = _differences(to_mapping(before), to_mapping(request), to_mapping(default))
    if differing:
        raise OptionError(
            f"the run in {folder} was started with other options ({', '.join(differing)}): resume "
            "it without them, or start anew with --overwrite"
        )
    if fit_folder.recorded(folder) is None:
        _refuse_files(folder, before, request)
    return before


def _refuse_files(folder: Path, before: FitRequest, now: FitRequest) -> None:
    """Check that a request from another user or machine names no files to open or write.

    Raises:
        OptionError: it names a file that ``now`` does not.
    """
    for entry in entries(FitRequest):
        value = entry.of(before)
        if entry.names_file and value not in (entry.default, entry.of(now)):
            raise OptionError(
                f"the run in {folder} used {entry.flag} {value}, and no fit of yours on this "
                f"machine recorded it: give {entry.flag} again to resume the run"
            )


def _differences(
    then: Mapping[str, Any], now: Mapping[str, Any], default: Mapping[str, Any]
) -> list[str]:
    """Options of the new request that differ from both the defaults and the first request."""
    flags = {entry.name: entry.flag for entry in entries(FitRequest)}
    names: list[str] = []
    for name, value in now.items():
        if isinstance(value, Mapping) and isinstance(default[name], Mapping):
            names += _differences(then[name], value, default[name])
        elif value not in (default[name], then[name]):
            names.append(flags.get(name, f"--{name.replace('_', '-')}"))
    return list(dict.fromkeys(names))  # a seed is of the split and of the training


def _train(
    folder: Path, request: FitRequest, options: FitOptions, parts: DataParts, reporter: Reporter
) -> Fitted:
    """Print the choices, fit the model, and write the folder at every checkpoint."""
    training = parts.training
    if request.reading.entity is not None and not options.privacy.private:
        options = replace(options, data=DataSource.of(request.data))
    rows = training.conditioned_on_label() if options.model.conditional else training
    chosen = resolve(rows.schema, options.model)
    for line in [*about_data(training), *about_model(training.schema, options.model, chosen)]:
        reporter.say(line)
    reporter.say(f"parts: {len(training):,} training rows; test: {parts.protocol}")
    start = None
    if request.start is not None:
        start = partial(
            start_from_model, other=model_folder.read(Path(request.start), PROCESSOR).model
        )
        reporter.say(f"start: the weights of {request.start}, where names and sizes agree")

    # of a private fit, nothing that depends on single rows may leave it
    aside = {} if options.privacy.private else set_aside_rows(parts)

    def publish(fitted: Fitted) -> None:
        model_folder.write(folder, fitted)
        values = {k: v for k, v in to_mapping(request).items() if k not in NOT_REMEMBERED}
        fit_folder.remember(folder, values | aside)

    try:
        fitted = fit_model(
            training,
            options,
            folder=folder,
            resume=request.resume,
            reporter=reporter.training(),
            publish=publish,
            start=start,
        )
    except Interrupted as interruption:
        again = typed("fit", replace(request, resume=True, overwrite=False))
        if fit_folder.remembered(folder) is not None:
            again = _again(request)
        raise Interrupted(f"{interruption}: {again}", interruption.history) from None
    if processes.leads():
        publish(fitted)
    return fitted


def _about_labels(fitted: Fitted) -> tuple[str, ...]:
    return (f"labels: {fitted.calibration}",) if fitted.calibration else ()


def _measured(
    folder: Path, fitted: Fitted, parts: DataParts, request: FitRequest, reporter: Reporter
) -> Measured:
    """Measure the model on the test part and write its page."""
    schema = fitted.schema
    drawn = bool(schema.data_kind.report_style(schema))
    if request.report and not drawn:
        reporter.say("no report.html is written: a report has no figures of such rows")
    if not (request.report and drawn):
        return measure_likelihood(fitted, parts, request.measuring, reporter)
    command = typed("fit", replace(request, resume=False, overwrite=False))
    title = request.title or f"Evaluation of {folder.name}"
    try:
        page = Page(folder, title, command, request.compare)
        return measure_all(fitted, parts, request.measuring, page, reporter)
    except LowerboundError:
        raise
    except Exception as error:  # a defect in a figure must not cost the fit
        why = f"{type(error).__name__}: {error}"
        reporter.say(
            f"the report could not be written ({why}); the model in {folder} is saved, and its "
            "likelihood is measured without it"
        )
        likelihood = measure_likelihood(fitted, parts, request.measuring, reporter)
        return replace(likelihood, unwritten=why)


def _report(folder: Path, fitted: Fitted, parts: DataParts, measured: Measured) -> FitReport:
    """The report, and the measured likeness of a table in the folder."""
    if measured.likeness is not None:
        kept = replace(fitted.options, likeness=measured.likeness)
        made = replace(fitted, options=kept)
        fit_folder.rewrite(folder, made, fit_folder.recorded(folder))
    chosen, last = fitted.options.model, fitted.history.last
    rare = "" if fitted.options.privacy.private else about_rare_levels(parts.training)
    return FitReport(
        model=str(folder),
        kind=chosen.model,
        latent_dim=int(getattr(fitted.model, "latent_dim", chosen.latent_dim) or 0),
        network=chosen.network,
        likelihood=chosen.likelihood,
        training_rows=len(parts.training),
        test_rows=0 if parts.test is None else len(parts.test),
        protocol=parts.protocol,
        ended=fitted.history.ended,
        updates=last.updates if last else 0,
        seconds=last.seconds if last else 0.0,
        findings=measured.findings,
        verdict=measured.verdict,
        page=measured.page,
        lines=(*_about_labels(fitted), *measured.lines, *filter(None, (rare,))),
        unwritten=measured.unwritten,
    )
