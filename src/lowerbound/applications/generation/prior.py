"""``lowerbound prior``: train the prior of a fitted model on its latents.

Such a second stage, of a prior or a refiner, keeps its options, checkpoints and curve in the
folder:

::

    MODEL/prior/ and MODEL/refiner/
      latents.safetensors   draws from q(z | x) of the rows; see ``lowerbound.inference.codes``
      KIND/checkpoint/      of a training that has not ended; removed when it ends
      metrics.jsonl         history of the training that made the model's prior, or its refiner

Only a prior has latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lowerbound import durable
from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.conditions import with_prompts
from lowerbound.applications.common.fit_rows import training_and_test_rows
from lowerbound.applications.common.form import (
    PromptOptions,
    typed,
    value_of,
)
from lowerbound.applications.common.sources import unconditioned
from lowerbound.applications.generation.chapters import before_and_after
from lowerbound.applications.generation.requests import PriorRequest
from lowerbound.applications.generation.temporal_prior import fit_temporal_prior
from lowerbound.data.dataset import Dataset
from lowerbound.data.sequences.frame_clips import read_frame_clips
from lowerbound.data.vocabulary import CAPTIONS
from lowerbound.distributions.point import Density
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.evaluation.report.effort import Measurement, affordable
from lowerbound.evaluation.report.page import write_report
from lowerbound.evaluation.report.sizes import RequestedSizes
from lowerbound.evaluation.report.subjects import Subject
from lowerbound.fitting.fitted import Fitted, held_out
from lowerbound.fitting.gains import comparison, warning_if_worse
from lowerbound.fitting.manifest import CHECKPOINT, METRICS, PRIOR
from lowerbound.fitting.options import PriorFit
from lowerbound.fitting.prior import TASK, fit_prior, learns_from_clips, with_untrained_prior
from lowerbound.inference.codes import Latents, draw_latents, refuse_collapsed
from lowerbound.models.powers import LearnsPrior, require
from lowerbound.parts import AUTO
from lowerbound.training.loop import Interrupted
from lowerbound.training.reporter import History
from lowerbound.untrusted import folders

CACHE = "latents.safetensors"


class StageWork:
    """The work on a second stage of one kind.

    Args:
        model: the model folder.
        stage: name of its folder there, PRIOR or REFINER.
        kind: of the prior or the refiner.
    """

    def __init__(self, model: Path, stage: str, kind: str) -> None:
        self.model, self.stage = model, stage
        self.cache = model / stage / CACHE
        self.folder = model / stage / kind

    @property
    def unfinished(self) -> bool:
        """Whether a training of this kind was interrupted."""
        return (self.folder / CHECKPOINT).is_dir()

    def check(self, output: Path, *, resume: bool, overwrite: bool) -> None:
        """Check that nothing is replaced without permission.

        Args:
            output: the model folder to write.
            resume: whether to continue an interrupted training.
            overwrite: whether a model or a training may be replaced.

        Raises:
            ModelFolderError: a model or an interrupted training must not be replaced, or there is
                no training to resume.
        """
        if resume and not self.unfinished:
            raise ModelFolderError(
                f"{self.folder} holds no interrupted training: start without --resume"
            )
        own = output.resolve() == self.model.resolve()
        free = own or fit_folder.state_of(output) == "absent"
        if overwrite:
            return
        if self.unfinished and not resume:
            raise ModelFolderError(
                f"{self.folder} holds an interrupted training: --resume goes on, --overwrite "
                "starts anew"
            )
        if not free:
            raise ModelFolderError(f"{output} holds a model already: --overwrite replaces it")

    def finish(self, output: Path, history: History) -> None:
        """Keep the history in the model folder that was written, and remove the checkpoint."""
        if len(history):
            folders.make(output / self.stage)
            durable.write_text(output / self.stage / METRICS, history.to_lines())
        else:
            folders.remove(output / self.stage / METRICS)
        folders.remove_tree(self.folder)


@dataclass(frozen=True)
class PriorReport(Report):
    """A prior was trained.

    Attributes:
        model: the folder that holds it.
        kind: its name.
        former: name of the prior that the model had before.
        rows: how many rows the latents are of.
        prompts: what the prior takes as prompts: names of attributes, or "captions".
        updates, seconds: of training.
        ended: how training ended; "" for a prior without numbers to train.
        held_out: latents of so many rows were held out to compare the two priors.
        before, after: their log p(z) in nats per row, under the former prior and under the new one;
            None if none were held out.
        before_density, after_density: "bound" where the figure is a lower bound, else "exact".
        error: standard error of the paired difference ``after`` minus ``before``.
        latents: the file that keeps the latents; "" if it could not be written.
        page: path of the report, which compares the two priors; "" if none is requested.
    """

    model: str
    kind: str
    former: str
    rows: int
    prompts: tuple[str, ...]
    updates: int
    seconds: float
    ended: str
    held_out: int
    before: float | None
    after: float | None
    before_density: Density
    after_density: Density
    error: float | None
    latents: str
    page: str

    def text(self) -> str:
        lines = [f"prior: {self.kind}, trained on the latents of {self.rows:,} rows"]
        if self.prompts:
            flags = [
                *(["--given"] if set(self.prompts) - {CAPTIONS} else []),
                *(["--prompt"] if CAPTIONS in self.prompts else []),
            ]
            lines.append(f"given: {', '.join(self.prompts)} (lowerbound sample {', '.join(flags)})")
        facts: dict[str, Any] = {
            "validation": self.after,
            "density": self.after_density,
            "former": self.before,
        }
        facts |= {"former_kind": self.former, "former_density": self.before_density}
        facts |= {"error": self.error, "held_out": self.held_out}
        lines.append(f"log p(z) of latents: {comparison(facts)}")
        if self.latents:
            size = Path(self.latents).stat().st_size / 1e6
            lines.append(
                f"latents: {self.latents} ({size:.1f} MB) serves the next training; delete it "
                "before you share the model, because it describes the rows"
            )
        page = [f"report: {self.page}"] if self.page else []
        return "\n".join((*lines, f"model: {self.model}", *page))


def prior(request: PriorRequest, reporter: Reporter, fitted: Fitted) -> PriorReport:
    """Encode the rows once, train the prior on the latents, and write the model folder.

    The folder keeps its former prior until training has ended.

    Raises:
        UnsupportedError: the model has no latents that a prior can be trained on.
        DataError: the data cannot be read, or is of another kind than the model's.
        OptionError: an unknown prior or option, or collapsed latents.
        ModelFolderError: a model or an interrupted training must not be replaced, or there is no
            training to resume.
        Interrupted: Ctrl-C; the message names what is kept and how to continue.
    """
    request = decided(request, fitted)
    options = settings(request.set)
    untrained = with_untrained_prior(fitted, request.kind, options)  # refused before any encoding
    folder = Path(request.output or request.model)
    work = StageWork(Path(request.model), PRIOR, request.kind)
    work.check(folder, resume=request.resume, overwrite=request.overwrite)
    parts = None
    if learns_from_clips(untrained):
        made, history = _on_clips(request, options, fitted, work, reporter)
    else:
        made, history, parts = _on_rows(request, options, fitted, work, reporter)
    fit_folder.rewrite(folder, made, fit_folder.recorded(Path(request.model)))
    work.finish(folder, history)
    if warning := warning_if_worse(asdict(_facts(made))):
        reporter.say(warning)
    page = ""
    if request.report and parts and fitted.schema.data_kind.report_style(fitted.schema):
        page = _page(folder, request, (fitted, made), parts, history, reporter)
    return _report(folder, made, history, work, page)


def _on_rows(
    request: PriorRequest,
    options: dict[str, Any],
    fitted: Fitted,
    work: StageWork,
    reporter: Reporter,
) -> tuple[Fitted, History, tuple[Dataset, Dataset | None]]:
    """The model with a prior trained on latents of rows, how training went, and the training rows
    and test rows."""
    prompted = partial(with_prompts, request.prompts)
    rows, test = training_and_test_rows(request, fitted, prompted)
    options |= rows.vocabulary.options
    with_untrained_prior(fitted, request.kind, options)
    latents = _encoded(request, rows, fitted, work, reporter)
    refuse_collapsed(latents)
    with _resumable(request):
        made, history = fit_prior(
            fitted,
            latents.dataset(),
            request.kind,
            options,
            request.training,
            draws=latents.z.shape[1],
            sha256=latents.sha256,
            folder=work.folder,
            resume=request.resume,
            reporter=reporter.training(),
        )
    return made, history, (rows, test)


def _on_clips(
    request: PriorRequest,
    options: dict[str, Any],
    fitted: Fitted,
    work: StageWork,
    reporter: Reporter,
) -> tuple[Fitted, History]:
    """The model with a prior trained on latents of clips, and how training went."""
    if request.prompts != PromptOptions():
        raise OptionError(
            f"the prior {request.kind!r} takes no prompts: leave out --label, --attributes and "
            "--captions"
        )
    clips = read_frame_clips(request.data, unconditioned(fitted), request.on_error)
    latents = _encoded(request, clips.frames, fitted, work, reporter)
    refuse_collapsed(latents)
    with _resumable(request):
        return fit_temporal_prior(
            fitted,
            clips,
            latents.z,
            request.kind,
            options,
            request.training,
            sha256=latents.sha256,
            folder=work.folder,
            resume=request.resume,
            reporter=reporter.training(),
        )


@contextmanager
def _resumable(request: PriorRequest) -> Iterator[None]:
    """Context of a training whose interruption says how to continue it."""
    try:
        yield
    except Interrupted as interruption:
        again = typed("prior", replace(request, resume=True))
        raise Interrupted(
            f"{interruption}; the model keeps its former prior: {again}", interruption.history
        ) from None


def decided(request: PriorRequest, fitted: Fitted) -> PriorRequest:
    """The request with the model's default kind of prior if it names none.

    Raises:
        UnsupportedError: the model has no latents that a prior can be trained on.
    """
    kinds = require(fitted.model, LearnsPrior, TASK).prior_kinds()
    return replace(request, kind=kinds[0]) if request.kind == AUTO else request


def _encoded(
    request: PriorRequest, rows: Dataset, fitted: Fitted, work: StageWork, reporter: Reporter
) -> Latents:
    try:
        latents = draw_latents(
            fitted.model,
            rows,
            cache=work.cache,
            seed=request.training.seed,
            advance=lambda done, total: reporter.advance("encoding", done, total),
            say=reporter.say,
        )
    except KeyboardInterrupt:
        again = typed("prior", replace(request, resume=False))
        raise KeyboardInterrupt(
            f"interrupted while rows were encoded; nothing is kept, and the model is unchanged: "
            f"{again}"
        ) from None
    if latents.origin == "kept":
        reporter.say(f"latents: those in {work.cache}, of the same model and the same rows")
    return latents


def _page(
    folder: Path,
    request: PriorRequest,
    models: tuple[Fitted, Fitted],
    parts: tuple[Dataset, Dataset | None],
    history: History,
    reporter: Reporter,
) -> str:
    """Write ``report.html`` again, because the one of the fit is of the former prior.

    Args:
        folder: the model folder.
        request: of the training.
        models: with the former prior, and with the new one.
        parts: the training rows, and the test rows of the fit; None: latents were held out of the
            training rows.
        history: of the training of the prior.
        reporter: receives one message.
    """
    former, made = models
    facts = _facts(made)
    seen, unseen = parts
    if unseen is None:
        seen, unseen = held_out(seen, request.training)
    if unseen is None or not len(unseen):
        return ""
    # the former prior takes no prompts, and both are compared on the same rows
    seen, unseen = replace(seen, prompt=None), replace(unseen, prompt=None)
    measured = Measurement((replace(made, history=history), former), unseen, seen)
    anew = f"lowerbound evaluate {folder} {request.data} --suite all"
    effort = affordable(RequestedSizes(), measured, anew)
    reporter.say(f"measuring on {len(unseen):,} rows and drawing the figures")
    try:
        written = write_report(
            folder,
            [
                Subject(f"{name} prior".replace("_", " "), one.model, latents=one.latents)
                for name, one in ((facts.kind, made), (f"former {facts.former_kind}", former))
            ],
            seen,
            unseen,
            title=f"The prior of {folder.name}",
            command=typed("prior", replace(request, resume=False)),
            first=before_and_after(history, facts.former),
            options=effort.options,
            remark=effort.remark,
            progress=partial(reporter.advance, "measuring"),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; the model in {folder} is saved with its new prior, and report.html is "
            f"not written again: {anew} measures the model"
        ) from None
    return str(written.page)


def _facts(made: Fitted) -> PriorFit:
    facts = made.options.prior_fit
    assert isinstance(facts, PriorFit)
    return facts


def _report(
    folder: Path, made: Fitted, history: History, work: StageWork, page: str
) -> PriorReport:
    facts, last = _facts(made), history.last
    return PriorReport(
        model=str(folder),
        kind=facts.kind,
        former=facts.former_kind,
        rows=facts.rows,
        prompts=made.options.model.prompts.names,
        updates=last.updates if last else 0,
        seconds=last.seconds if last else 0.0,
        ended=history.ended,
        held_out=facts.held_out,
        before=facts.former,
        after=facts.validation,
        before_density=facts.former_density,
        after_density=facts.density,
        error=facts.error,
        latents=str(work.cache) if work.cache.exists() else "",
        page=page,
    )


def settings(words: Sequence[str], example: str = "components=500") -> dict[str, Any]:
    """Options of a prior or a refiner from OPTION=VALUE.

    Args:
        words: as typed.
        example: for the message.

    Raises:
        OptionError: a word is not of that form.
    """
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (equals and name.strip()):
            raise OptionError(f"--set takes OPTION=VALUE, such as {example}, not {word!r}")
        found[name.strip().replace("-", "_")] = value_of(text.strip())
    return found
