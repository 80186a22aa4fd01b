"""The model card: a page beside the weights that describes the model to its readers.

It compares a trained prior with the former one, and says what a refiner changes: distortion and
realism, always side by side. This module does not import torch, so that ``lowerbound info`` starts
quickly.
"""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from lowerbound import __version__
from lowerbound.config import to_mapping
from lowerbound.data.schema import Schema
from lowerbound.fitting.model import Fitted, PriorFit
from lowerbound.fitting.source import RefinerFit
from lowerbound.models.base import MODELS, title_of
from lowerbound.models.powers import LearnsPrior
from lowerbound.training.history import History
from lowerbound.untrusted import printable

NOT_COMPARED = "not measured: too few rows to hold latents out"  # a prior with the former one
NOT_MEASURED = "not measured: too few pictures to hold some out"  # what a refiner changes
SHOWN_NAMES = 12  # of columns or classes

_PARTS = {
    "network": "networks",
    "likelihood": "likelihood p(x | z)",
    "prior": "prior p(z)",
    "posterior": "posterior q(z | x)",
}
UNFINISHED = ("interrupted", "running")
_ENDS = {
    "finished": "the budget was used up",
    "early stop": "the held-out bound stopped rising",
    "interrupted": "it was interrupted, and can be resumed",
    "running": "it was not finished when this card was written, and can be resumed",
}


def comparison(facts: Mapping[str, Any]) -> str:
    """log p(z) of held-out latents under both priors, and the paired difference.

    Args:
        facts: the fields of a ``PriorFit``.
    """
    after, before, error = facts["validation"], facts["former"], facts["error"]
    if after is None or before is None:
        return NOT_COMPARED
    few = " (no standard error, because only one row or one episode was held out)"
    spread = few if error is None else f" ± {error:.2f}"
    return (
        f"{_nats(after, facts['density'])}, on {facts['held_out']:,} held-out rows; "
        f"{_nats(before, facts['former_density'])} under the former prior {facts['former_kind']}; "
        f"difference {after - before:+.2f}{spread}"
    )


def warning_if_worse(facts: Mapping[str, Any]) -> str:
    """A warning if the new prior is worse than the former by more than the standard error, or by
    anything where there is none; else an empty text.

    Args:
        facts: the fields of a ``PriorFit``.
    """
    after, before = facts["validation"], facts["former"]
    if after is None or before is None or not after - before < -(facts["error"] or 0.0):
        return ""
    bound = (
        " (or less, because its log p(z) is a lower bound)" if facts["density"] == "bound" else ""
    )
    return (
        "warning: the new prior is worse than the former on held-out rows by "
        f"{before - after:.2f} nats per row{bound}: train longer; with -o, a new folder gets the "
        "new prior and MODEL keeps its own"
    )


def _nats(value: float, density: str) -> str:
    """A mean log density in nats per row; a lower bound is called one."""
    kind = "a lower bound" if density == "bound" else density
    return f"{value:.2f} nats per row ({kind})"


def distortion(facts: Mapping[str, Any]) -> str:
    """The error of reconstructions, refined and before.

    Args:
        facts: the fields of a ``RefinerFit``.
    """
    if facts["psnr"] is None:
        return NOT_MEASURED
    return (
        f"PSNR {facts['psnr']:.2f} dB refined, {facts['former_psnr']:.2f} dB before, on "
        f"{facts['held_out']:,} held-out pictures"
    )


def realism(facts: Mapping[str, Any]) -> str:
    """Distance and sharpness of reconstructions, refined and before.

    Args:
        facts: the fields of a ``RefinerFit``.
    """
    if facts["psnr"] is None:
        return NOT_MEASURED
    return "; ".join((_distance(facts), _sharpness(facts)))


def _distance(facts: Mapping[str, Any]) -> str:
    if facts["frechet"] is None:
        return f"Fréchet distance not measured: {facts['skipped']}"
    error = facts["frechet_error"]
    spread = "" if error is None else f" ± {error:.2f}"
    return (
        f"Fréchet distance {facts['frechet']:.2f}{spread} refined, "
        f"{facts['former_frechet']:.2f} before, {facts['frechet_of_real']:.2f} of real pictures "
        f"({facts['features']})"
    )


def _sharpness(facts: Mapping[str, Any]) -> str:
    if facts["sharpness"] is None or facts["former_sharpness"] is None:
        return "sharpness not measured: the pictures are flat or tiny"
    return (
        f"sharpness {facts['sharpness']:.2f} refined, {facts['former_sharpness']:.2f} before, "
        "1 of real pictures"
    )


def model_card(name: str, fitted: Fitted) -> str:
    """Markdown that describes the model, its data, training, quality, use and options.

    Args:
        name: of the model folder.
        fitted: the model.
    """
    sections = {
        "Model": _model(fitted),
        "Data": _data(fitted.schema),
        "Training": _training(fitted.history),
        "Quality": _quality(fitted),
        **({} if fitted.options.release is None else {"Privacy": fitted.options.release.lines()}),
        "Use": _use(name),
        "Options": _options(fitted),
    }
    parts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join([f"# {_text(name)}", *parts]) + "\n"


def _model(fitted: Fitted) -> Iterator[str]:
    options = fitted.options.model
    conditional = "conditional " if options.conditional else ""
    weights = sum(value.numel() for value in fitted.model.parameters())
    title = f"{conditional}{title_of(options.model)}"
    yield f"{title[0].upper()}{title[1:]} with {fitted.latents}."
    yield ""
    for part in MODELS[options.model].uses:
        if part != "prior":
            yield f"- {_PARTS[part]}: {getattr(options, part)}"
    if isinstance(fitted.model, LearnsPrior):
        yield f"- {_PARTS['prior']}: {fitted.model.prior_name(options)}"
    elif "prior" in MODELS[options.model].uses:
        yield f"- {_PARTS['prior']}: {options.prior}"
    if options.refiner is not None:
        yield "- refiner of pictures p(x | z, decoder's mean): diffusion"
    yield f"- {weights:,} parameters"


def _data(schema: Schema) -> Iterator[str]:
    shape = " x ".join(map(str, schema.event_shape))
    yield f"- kind: {schema.kind}, {shape} values per row"
    if schema.data_kind.named_columns:
        modeled = schema.modeled
        names = {column.name for column in modeled}
        others = [column.name for column in schema.columns if column.name not in names]
        apart = f"; not modeled: {_listed(others)}" if others else ""
        yield f"- columns: {_listed([column.name for column in modeled])}{apart}"
    if schema.levels is not None:
        yield f"- levels: {schema.levels}"
    if schema.binarize != "none":
        yield f"- binarization: {schema.binarize}"
    if schema.class_names:
        yield f"- classes: {_listed(schema.class_names)}"


def _training(history: History) -> Iterator[str]:
    last = history.last
    if last is None and history.ended in UNFINISHED:
        yield f"- training ended before its first measurement: {_ENDS[history.ended]}"
        return
    if last is None:
        yield "The model was solved in closed form, without training."
        return
    yield f"- {last.updates:,} updates, {last.epoch:.4g} epochs, {last.seconds / 60:.3g} minutes"
    yield f"- training ended because {_ENDS.get(history.ended, history.ended)}"
    if last.skipped:
        yield f"- {last.skipped:,} updates were skipped because the loss or gradient was not finite"


def _quality(fitted: Fitted) -> Iterator[str]:
    history, prior = fitted.history, fitted.options.prior_fit
    if fitted.options.likeness is not None:
        yield _sentence(fitted.options.likeness.sentence)
        yield ""
    if prior is not None:
        yield from _prior(prior)
    if fitted.options.refiner_fit is not None:
        yield from _refiner(fitted.options.refiner_fit)
    bound = "The lower bound on log p(x) is"
    if prior is not None:
        bound = "Before this, the lower bound on log p(x) was"
    if history.validation is None:
        reason = "the fit held out no rows"
        if history.last is None and history.ended in UNFINISHED:
            reason = "training did not reach the first measurement"
        yield f"The bound was not measured, because {reason}. Use `lowerbound evaluate`."
        return
    yield (
        f"{bound} {history.validation:.2f} nats per row, on the rows held "
        "out for early stopping. Other rows may score slightly lower, because the held-out rows "
        "selected the weights. Use `lowerbound evaluate` to measure other rows."
    )


def _prior(fit: PriorFit) -> Iterator[str]:
    yield (
        f"The prior {fit.kind} was trained on the latents of {fit.rows:,} rows, after the rest of "
        f"the model. log p(z) of latents: {comparison(asdict(fit))}."
    )
    yield ""


def _refiner(fit: RefinerFit) -> Iterator[str]:
    facts = asdict(fit)
    yield (
        f"The refiner was trained on {fit.rows:,} pictures, after the rest of the model. Of "
        f"reconstructions: {distortion(facts)}; {realism(facts)}."
    )
    yield ""


def _use(name: str) -> Iterator[str]:
    named = shlex.quote(printable(name))
    yield f"    lowerbound info {named}"
    yield f"    lowerbound sample {named} -n 16 -o new.npz"
    yield ""
    yield "    from pathlib import Path"
    yield "    from lowerbound.fitting.folder import read"
    yield f"    model = read(Path({json.dumps(name, ensure_ascii=False)})).model"


def _options(fitted: Fitted) -> Iterator[str]:
    yield f"Written by lowerbound {__version__}."
    yield ""
    options = json.dumps(to_mapping(fitted.options), indent=1)
    longest = max(map(len, re.findall(r"`+", options)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}json"
    yield options
    yield fence


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _text(name: str) -> str:
    """A name from the data as one line of Markdown that is no HTML and no link."""
    line = " ".join(printable(name).split())
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(line, quote=False))


def _listed(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(map(_text, names[:SHOWN_NAMES]))
    more = len(names) - SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown
