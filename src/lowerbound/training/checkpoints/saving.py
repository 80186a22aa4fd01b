"""Writing checkpoints at intervals, and handling errors of writing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from lowerbound.training.checkpoints import checkpoint as files
from lowerbound.training.checkpoints.checkpoint import Checkpoint, joined
from lowerbound.training.checkpoints.identity import refuse_another_run
from lowerbound.training.progress.history import Ended, History
from lowerbound.training.run import TrainingRun
from lowerbound.training.settings.plan import TrainingPlan

SHARE_OF_TIME = 0.05

Publish = Callable[[History], None]


class Keeper:
    """Writes a run's checkpoints.

    Args:
        folder: checkpoints are written to ``folder/checkpoint``.
        identity: of the run; see ``lowerbound.training.checkpoints.identity``.
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
