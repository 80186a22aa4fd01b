"""Writing checkpoints at intervals, and handling errors of writing.

The identity of a run prevents resuming with other options, data or models. Results of finished
additional fits are stored beside the checkpoint for resuming.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound import durable, processes, untrusted
from lowerbound.config import to_mapping
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.models.base import Model
from lowerbound.objectives.base import Objective
from lowerbound.training import checkpoint as files
from lowerbound.training.checkpoint import FOLDER, Checkpoint, joined
from lowerbound.training.options import TrainingOptions
from lowerbound.training.plan import TrainingPlan
from lowerbound.training.reporter import Ended, History
from lowerbound.training.run import TrainingRun
from lowerbound.untrusted import folders

FREE_TO_CHANGE = ("checkpoint_seconds", "threads", "device")
SAMPLED_ROWS = 256  # of the data, in the identity of a run
LONGEST_VALUE = 80  # characters of a value in a message
ANSWERS = "folds.safetensors"  # results of additional fits, beside the checkpoint
SHARE_OF_TIME = 0.05  # at most, for writing checkpoints

Publish = Callable[[History], None]


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


class FoldAnswers:
    """The results of the additional fits of one run.

    Args:
        folder: results are stored in ``folder/checkpoint``; None: they are not stored.
        identity: JSON values that identify the fits; results of other fits are not used.
        resume: whether to use the stored results.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], *, resume: bool) -> None:
        self._path = None if folder is None else folder / FOLDER / ANSWERS
        text = json.dumps(identity, sort_keys=True)
        self._name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._answers = self._kept() if resume else {}
        if self._path is not None and not resume and processes.leads():
            folders.remove(self._path)

    @property
    def where(self) -> str:
        """The end of a message with the folder of the stored results."""
        if self._path is None:
            return "; without a folder nothing was saved"
        return f" and saved in {self._path.parent}; resume to continue from there"

    def get(self, fold: int) -> Tensor | None:
        """The stored result of a finished fit; None: there is none."""
        return self._answers.get(f"{self._name}/{fold}")

    def put(self, fold: int, answer: Tensor) -> None:
        """Store the result of a finished fit.

        Raises:
            OSError: it cannot be written.
        """
        self._answers[f"{self._name}/{fold}"] = answer
        if self._path is not None and processes.leads():
            folders.make(self._path.parent)
            durable.write_tensors(self._path, self._answers)

    def _kept(self) -> dict[str, Tensor]:
        """The results on disk; empty if the file is missing or damaged, to repeat the fits."""
        if self._path is None or not self._path.is_file():
            return {}
        try:
            found = untrusted.content(self._path, ModelFolderError)
            return untrusted.tensors(found, str(self._path), ModelFolderError)
        except (OSError, ModelFolderError):
            return {}


class Keeper:
    """Writes a run's checkpoints.

    Args:
        folder: checkpoints are written to ``folder/checkpoint``.
        identity: of the run; see ``lowerbound.training.saving``.
        seconds: least time between two checkpoints; longer if writing is slow.
        publish: called before each checkpoint, while the model has the weights to keep so far.
        say: called with messages for the log.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        seconds: float,
        publish: Publish | None,
        say: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self._identity = identity
        self._seconds = seconds
        self._publish = publish
        self._say = say
        self._due = time.monotonic() + seconds

    def found(self) -> Checkpoint | None:
        """The checkpoint of this run; None if there is none.

        Raises:
            OptionError: it belongs to another run; the message names the differences.
            ModelFolderError: it is damaged.
        """
        checkpoint = files.load(self.folder)
        if checkpoint is None:
            self._say(f"no checkpoint in {self.folder}: training starts from the beginning")
            return None
        with checkpoint.used():
            refuse_another_run(checkpoint.values["identity"], self._identity, self.folder)
            written = str(checkpoint.values["torch"])
        if written != torch.__version__:
            self._say(
                f"the checkpoint was written with torch {written}, and this is "
                f"{torch.__version__}: the run continues, equal only up to rounding"
            )
        return checkpoint

    def save_if_due(self, run: TrainingRun) -> None:
        """Write a checkpoint if it is due; if writing fails, log a message and continue."""
        if time.monotonic() < self._due:
            return
        began = time.monotonic()
        try:
            self.save(run)
        except OSError as error:
            self._say(
                f"no checkpoint was written at update {run.updates:,} ({reason(error)}); the "
                "previous one is intact, training continues, and will try again"
            )
        now = time.monotonic()
        self._due = now + max(self._seconds, (now - began) / SHARE_OF_TIME)

    def save(self, run: TrainingRun, ended: Ended = "running") -> None:
        """Publish the weights to keep so far, then write a checkpoint.

        Args:
            run: between two updates.
            ended: reason of the end in the published history.

        Raises:
            OSError: it cannot be written; the previous checkpoint is intact.
        """
        if self._publish is not None:
            with run.kept():
                self._publish(replace(run.history(), ended=ended))
        checkpoint = run.checkpoint()
        self._write(checkpoint.tensors, {**checkpoint.values, "plan": asdict(run.plan)})

    def save_finished(self, run: TrainingRun) -> None:
        """Publish, and replace the checkpoint by a small one that marks the run as finished.

        The model must have the weights to keep.
        """
        try:
            if self._publish is not None:
                self._publish(run.history())
            tensors = joined({"model": run.model.state_dict()})
            self._write(tensors, {"finished": run.history().to_mapping()})
        except OSError as error:
            self._say(f"the last checkpoint was not written ({reason(error)})")

    def _write(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        about = {"identity": self._identity, "torch": torch.__version__}
        files.save(self.folder, Checkpoint(tensors, {**about, **values}))


def plan_of(checkpoint: Checkpoint) -> TrainingPlan:
    """The plan that was made when the run began."""
    with checkpoint.used():
        return TrainingPlan(**checkpoint.values["plan"])


def reason(error: OSError) -> str:
    """The system's message of an error."""
    return error.strerror or str(error)
