"""The identity of a run, which prevents resuming with other options, data or models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lowerbound.config import to_mapping
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.errors import OptionError
from lowerbound.models import Model
from lowerbound.objectives import Objective
from lowerbound.training.settings.options import TrainingOptions

FREE_TO_CHANGE = ("checkpoint_seconds", "threads", "device")
SAMPLED_ROWS = 256
LONGEST_VALUE = 80  # characters of a value in a message


def identity(
    model: Model,
    objective: Objective,
    dataset: Dataset,
    validation: Dataset | None,
    options: TrainingOptions,
) -> dict[str, Any]:
    """JSON values that are equal if and only if the runs are the same."""
    chosen = {k: v for k, v in to_mapping(options).items() if k not in FREE_TO_CHANGE}
    return {
        "options": chosen,
        "objective": _settings(objective),
        "model": {name: list(value.shape) for name, value in model.state_dict().items()},
        # what has no weights, such as a likelihood or an activation, is part of the model too
        "part": {name: type(each).__name__ for name, each in model.named_modules()},
        "data": _data(dataset),
        "validation data": None if validation is None else _data(validation),
    }


def refuse_another_run(then: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Check that a checkpoint belongs to this run.

    Raises:
        OptionError: the identities differ; the message names all differences.
    """
    differences = list(_differences(then, now))
    if differences:
        raise OptionError(
            f"cannot resume the training in {folder}, because it was started with other settings: "
            f"{'; '.join(differences)}. Use the same settings, or train again, without resume"
        )


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for part in now:
        before, after = then.get(part), now[part]
        if part == "part" and before is None:  # a checkpoint from before parts were noted
            continue
        if not isinstance(before, Mapping) or not isinstance(after, Mapping):
            if before != after:
                yield f"{part} was {_said(before)} and is {_said(after)}"
            continue
        yield from _of_parts(before, after, "" if part == "options" else f"{part} ")


def _of_parts(before: Mapping[str, Any], after: Mapping[str, Any], place: str) -> Iterator[str]:
    """The differences of two mappings, also of the mappings in both."""
    for name in {**before, **after}:
        then, now = before.get(name), after.get(name)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            yield from _of_parts(then, now, f"{place}{name} ")
        elif then != now:
            yield f"{place}{name} was {_said(then)} and is {_said(now)}"


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return "given"
    words = "not given" if value is None else repr(value)
    return words if len(words) <= LONGEST_VALUE else f"{words[:LONGEST_VALUE]}..."


def _settings(objective: Objective) -> dict[str, Any]:
    """The objective's class and its public attributes of simple types.

    Those at the default of the class are left out, so that a checkpoint from before an option
    belongs to the run with its default.
    """
    plain = {
        name: value
        for name, value in vars(objective).items()
        if isinstance(value, (bool, int, float, str)) and name != "training" and name[0] != "_"
        if value != getattr(type(objective), name, None)
    }
    return {"kind": type(objective).__name__, **plain}


def _data(dataset: Dataset) -> dict[str, Any]:
    """Number of rows, and a hash of evenly spaced rows with their labels."""
    index = spread_rows(len(dataset), SAMPLED_ROWS)
    batch = dataset.batch(index.to(dataset.x.device), None)
    digest = hashlib.sha256()
    for name, value in sorted(batch.tensors.items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return {"rows": len(dataset), "content": digest.hexdigest()[:16]}
