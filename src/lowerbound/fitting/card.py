"""The model card: a page beside the weights that describes the model to its readers."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict

from lowerbound._version import __version__
from lowerbound.config import to_mapping
from lowerbound.data.schema import Schema
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.gains import comparison, distortion, realism
from lowerbound.fitting.options import PriorFit
from lowerbound.fitting.source import RefinerFit
from lowerbound.models.base import MODELS, title_of
from lowerbound.models.powers import LearnsPrior
from lowerbound.training.reporter import History
from lowerbound.untrusted import printable

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
