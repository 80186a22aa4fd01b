"""``lowerbound refiner``: train a diffusion model that restores the detail of pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.fit_rows import training_and_test_rows
from lowerbound.applications.common.form import typed
from lowerbound.applications.generation.chapters import with_and_without
from lowerbound.applications.generation.prior import StageWork, settings
from lowerbound.applications.generation.requests import RefinerRequest
from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.report.effort import Measurement, affordable
from lowerbound.evaluation.report.page import write_report
from lowerbound.evaluation.report.sizes import RequestedSizes
from lowerbound.evaluation.report.subjects import Subject
from lowerbound.evaluation.samples.refinement import RefinementQuality, refinement_quality
from lowerbound.fitting.fitted import Fitted, held_out
from lowerbound.fitting.gains import distortion, realism
from lowerbound.fitting.manifest import REFINER
from lowerbound.fitting.refiner import fit_refiner, with_untrained_refiner
from lowerbound.fitting.source import RefinerFit
from lowerbound.training.loop import Interrupted
from lowerbound.training.reporter import History

KIND = "diffusion"


@dataclass(frozen=True)
class RefinerReport(Report):
    """A refiner was trained.

    Attributes:
        model: the folder that holds it.
        rows: how many pictures it was trained on.
        updates, seconds: of training.
        ended: how training ended.
        fit: distortion and realism of reconstructions with and without it; see ``RefinerFit``.
        page: path of the report; "" if none is requested.
    """

    model: str
    rows: int
    updates: int
    seconds: float
    ended: str
    fit: RefinerFit
    page: str

    def text(self) -> str:
        facts = asdict(self.fit)
        lines = [
            f"refiner: {KIND}, trained on {self.rows:,} pictures",
            f"distortion: {distortion(facts)}",
            f"realism: {realism(facts)}",
        ]
        page = [f"report: {self.page}"] if self.page else []
        return "\n".join((*lines, f"model: {self.model}", *page))


def refiner(request: RefinerRequest, reporter: Reporter, fitted: Fitted) -> RefinerReport:
    """Train a refiner on pictures and their decoded means, and write the model folder.

    The folder stays as it is until training has ended.

    Raises:
        UnsupportedError: the model is not of pictures.
        DataError: the data cannot be read, or is of another kind than the model's.
        OptionError: an unknown option.
        ModelFolderError: a model or an interrupted training must not be replaced, or there is no
            training to resume.
        Interrupted: Ctrl-C; the message names what is kept and how to continue.
    """
    options = settings(request.set, "width=48")
    with_untrained_refiner(fitted, options)  # refused before any row is read
    folder = Path(request.output or request.model)
    work = StageWork(Path(request.model), REFINER, KIND)
    work.check(folder, resume=request.resume, overwrite=request.overwrite)
    rows, test = training_and_test_rows(request, fitted)
    try:
        made, history = fit_refiner(
            fitted,
            rows,
            options,
            request.training,
            folder=work.folder,
            resume=request.resume,
            reporter=reporter.training(),
        )
    except Interrupted as interruption:
        again = typed("refiner", replace(request, resume=True))
        raise Interrupted(
            f"{interruption}; the model is unchanged: {again}", interruption.history
        ) from None
    fit = fit_folder.recorded(Path(request.model))
    fit_folder.rewrite(folder, made, fit)
    work.finish(folder, history)
    seen, unseen = (rows, test) if test is not None else held_out(rows, request.training)
    measured = _measured(folder, made, (seen, unseen), request, reporter)
    page = ""
    if measured is not None and unseen is not None:
        facts = measured.added_to(_facts(made))
        made = replace(made, options=replace(made.options, refiner_fit=facts))
        fit_folder.rewrite(folder, made, fit)
        if request.report:
            page = _page(folder, request, made, (seen, unseen), history, measured, reporter)
    facts, last = _facts(made), history.last
    return RefinerReport(
        model=str(folder),
        rows=facts.rows,
        updates=last.updates if last else 0,
        seconds=last.seconds if last else 0.0,
        ended=history.ended,
        fit=facts,
        page=page,
    )


def _measured(
    folder: Path,
    made: Fitted,
    parts: tuple[Dataset, Dataset | None],
    request: RefinerRequest,
    reporter: Reporter,
) -> RefinementQuality | None:
    """Distortion and realism on held-out pictures; None if there are none."""
    seen, unseen = parts
    if unseen is None or not len(unseen):
        return None
    try:
        return refinement_quality(
            made.model,
            seen,
            unseen,
            seed=request.training.seed,
            progress=partial(reporter.advance, "refining held-out pictures"),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; the model in {folder} is saved with its refiner, which is not measured"
        ) from None


def _page(
    folder: Path,
    request: RefinerRequest,
    made: Fitted,
    parts: tuple[Dataset, Dataset],
    history: History,
    measured: RefinementQuality,
    reporter: Reporter,
) -> str:
    """Write ``report.html`` again, because the one of the fit has no refined pictures."""
    trained = Measurement((replace(made, history=history),), parts[1], parts[0])
    anew = f"lowerbound evaluate {folder} {request.data} --suite all"
    effort = affordable(RequestedSizes(), trained, anew)
    reporter.say(f"measuring on {len(parts[1]):,} rows and drawing the figures")
    try:
        written = write_report(
            folder,
            [Subject("refined model", made.model, latents=made.latents)],
            *parts,
            title=f"The refiner of {folder.name}",
            command=typed("refiner", replace(request, resume=False)),
            first=with_and_without(history, measured),
            options=effort.options,
            remark=effort.remark,
            progress=partial(reporter.advance, "measuring"),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; the model in {folder} is saved with its refiner, and report.html is not "
            f"written again: {anew} measures the model"
        ) from None
    return str(written.page)


def _facts(made: Fitted) -> RefinerFit:
    facts = made.options.refiner_fit
    assert isinstance(facts, RefinerFit)
    return facts
