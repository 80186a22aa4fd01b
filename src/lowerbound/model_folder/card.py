"""The page that lies beside the weights and says to people what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lowerbound import __version__
from lowerbound.config import to_mapping
from lowerbound.data.schema import Schema
from lowerbound.fitting import Fitted
from lowerbound.models import MODELS
from lowerbound.models.base import title_of
from lowerbound.training import History

SHOWN_NAMES = 12

_PARTS = {
    "network": "networks",
    "likelihood": "likelihood p(x | z)",
    "prior": "prior p(z)",
    "posterior": "posterior q(z | x)",
}
_ENDS = {
    "finished": "the budget was used up",
    "early stop": "the held-out bound stopped rising",
    "interrupted": "it was interrupted, and can be resumed",
    "running": "it was going on when this was written, and can be resumed",
}


def model_card(name: str, fitted: Fitted) -> str:
    """What the model is, of which data, how it was fitted, how good it is, how to load it.

    Args:
        name: of the model folder.
        fitted: the model.
    """
    sections = {
        "Model": _model(fitted),
        "Data": _data(fitted.schema),
        "Training": _training(fitted.history),
        "Quality": _quality(fitted.history),
        "Use": _use(name),
        "Options": _options(fitted),
    }
    parts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join([f"# {name}", *parts]) + "\n"


def _model(fitted: Fitted) -> Iterator[str]:
    options = fitted.options.model
    conditional = "conditional " if options.conditional else ""
    weights = sum(value.numel() for value in fitted.model.parameters())
    title = f"{conditional}{title_of(options.model)}"
    yield f"{title[0].upper()}{title[1:]} with {options.latent_dim} latent dimensions."
    yield ""
    for part in MODELS[options.model].uses:
        yield f"- {_PARTS[part]}: {getattr(options, part)}"
    yield f"- {weights:,} parameters"


def _data(schema: Schema) -> Iterator[str]:
    shape = " x ".join(map(str, schema.event_shape))
    yield f"- kind: {schema.kind}, {shape} values per row"
    if schema.data_kind.named_columns:
        yield f"- columns: {_listed([column.name for column in schema.columns])}"
    if schema.levels is not None:
        yield f"- levels: {schema.levels}"
    if schema.binarize != "none":
        yield f"- binarization: {schema.binarize}"
    if schema.class_names:
        yield f"- classes: {_listed(schema.class_names)}"


def _training(history: History) -> Iterator[str]:
    last = history.last
    if last is None:
        yield "Solved in closed form: there was nothing to train."
        return
    yield f"- {last.updates:,} updates, {last.epoch:.4g} epochs, {last.seconds / 60:.3g} minutes"
    yield f"- training ended because {_ENDS.get(history.ended, history.ended)}"
    if last.skipped:
        yield f"- {last.skipped:,} updates were skipped, because loss or gradient was not finite"


def _quality(history: History) -> Iterator[str]:
    if history.validation is None:
        yield "Not measured here: no rows were held out. `lowerbound evaluate` measures it."
        return
    yield (
        f"Lower bound on log p(x) of the rows held out for early stopping: "
        f"{history.validation:.2f} nats per row. These rows chose the weights, so on others expect "
        "slightly less; `lowerbound evaluate` measures it."
    )


def _use(name: str) -> Iterator[str]:
    yield f"    lowerbound info {name}"
    yield f"    lowerbound sample {name} -n 16 -o new.npz"
    yield ""
    yield "    from pathlib import Path"
    yield "    from lowerbound.model_folder.folder import read"
    yield f'    model = read(Path("{name}")).model'


def _options(fitted: Fitted) -> Iterator[str]:
    yield f"Written by lowerbound {__version__}."
    yield ""
    yield "```json"
    yield json.dumps(to_mapping(fitted.options), indent=1)
    yield "```"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:SHOWN_NAMES])
    more = len(names) - SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown
