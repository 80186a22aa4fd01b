"""Train the prior of a fitted model on its latents, and keep it in the model's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.fit.settings import value_of
from lowerbound.applications.form import DataRequest, OnError, unreadable
from lowerbound.applications.io import fit_folder
from lowerbound.applications.io.fit_rows import training_rows
from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.latents import draw_latents, refuse_collapsed
from lowerbound.model_folder import folder as model_folder
from lowerbound.training import Interrupted, TrainingOptions

WORK = "prior"  # folder inside the model folder: latents and checkpoints
CACHE = "latents.safetensors"


@dataclass(frozen=True)
class PriorRequest(DataRequest):
    """Train a prior on the latents of this data."""

    kind: str = option(
        "flow",
        "the prior to train: diffusion, flow or mixture for latents that are numbers; "
        "autoregressive or marginal for codes",
    )
    output: str = option(
        "", "model folder to write (default: MODEL itself)", short="-o", metavar="MODEL"
    )
    set: tuple[str, ...] = option(
        (), "an option of the prior, such as components=500; repeatable", metavar="OPTION=VALUE"
    )
    training: TrainingOptions = field(default_factory=TrainingOptions)
    resume: bool = option(False, "continue the training that was interrupted in this folder")
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class PriorReport(Report):
    """A prior was trained.

    Attributes:
        model: the folder that holds it.
        kind: its name.
        rows: how many rows the latents are of.
        updates, seconds: of training.
        ended: how training ended.
        before, after: log p(z) of held-out latents in nats per row, under the former prior and
            under the new one (a bound where the prior has no exact density); None where no latents
            were held out.
    """

    model: str
    kind: str
    rows: int
    updates: int
    seconds: float
    ended: str
    before: float | None
    after: float | None

    def text(self) -> str:
        lines = [f"prior: {self.kind}, trained on the latents of {self.rows:,} rows"]
        if self.after is not None and self.before is not None:
            lines.append(
                f"log p(z) of held-out latents: {self.after:.2f} nats per row, "
                f"{self.before:.2f} under the former prior"
            )
        return "\n".join((*lines, f"model: {self.model}"))


def prior(request: PriorRequest, reporter: Reporter, fitted: Fitted) -> PriorReport:
    """Encode the rows once, train the prior on the latents and write the model folder.

    Raises:
        UnsupportedError: the model has no latents that a prior can be trained on.
        OptionError: an unknown prior or option, or collapsed latents.
        Interrupted: Ctrl-C; the message says how to continue.
    """
    folder = Path(request.output or request.model)
    rows = training_rows(request, fitted)
    fit = fit_folder.recorded(Path(request.model))
    if folder.resolve() != Path(request.model).resolve() and not request.resume:
        keep(folder, fitted, fit)  # the copy has the former prior until training ends
    latents = draw_latents(
        fitted.model,
        rows,
        cache=folder / WORK / CACHE,
        seed=request.training.seed,
        advance=lambda done, total: reporter.advance("encoding", done, total),
    )
    refuse_collapsed(latents)
    try:
        made, history = fit_prior(
            fitted,
            latents.dataset(),
            request.kind,
            settings(request.set),
            request.training,
            draws=latents.z.shape[1],
            sha256=latents.sha256,
            folder=folder / WORK,
            resume=request.resume,
            reporter=reporter.training(),
        )
    except Interrupted as interruption:
        raise Interrupted(f"{interruption} (--resume)", interruption.history) from None
    keep(folder, made, fit)
    last = history.last
    return PriorReport(
        model=str(folder),
        kind=request.kind,
        rows=len(rows),
        updates=last.updates if last else 0,
        seconds=last.seconds if last else 0.0,
        ended=history.ended,
        before=None,
        after=history.validation,
    )


def keep(folder: Path, made: Fitted, fit: Mapping[str, Any] | None) -> None:
    """Write the model, and the record of its fit again: the record is kept by its options."""
    model_folder.write(folder, made)
    if fit is not None:
        fit_folder.remember(folder, dict(fit))


def settings(words: Sequence[str]) -> dict[str, Any]:
    """Options of the prior from OPTION=VALUE.

    Raises:
        OptionError: a word is not of that form.
    """
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (equals and name.strip()):
            raise OptionError(f"--set takes OPTION=VALUE, such as components=500, not {word!r}")
        found[name.strip().replace("-", "_")] = value_of(text.strip())
    return found
