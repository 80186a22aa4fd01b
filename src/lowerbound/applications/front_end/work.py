"""A second stage inside a model folder: the options of its training, its checkpoints and its curve.

::

    MODEL/prior/ and MODEL/refiner/
      latents.safetensors   draws from q(z | x) of the rows; see ``lowerbound.inference.latents``
      KIND/checkpoint/      of a training that has not ended; removed when it ends
      metrics.jsonl         history of the training that made the model's prior, or its refiner

Only a prior has latents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from lowerbound import durable
from lowerbound.applications.form import FolderDataRequest, OnError, unreadable
from lowerbound.applications.io import fit_folder
from lowerbound.config import option
from lowerbound.errors import ModelFolderError
from lowerbound.model_folder.manifest import CHECKPOINT, METRICS
from lowerbound.training import History, TrainingOptions
from lowerbound.untrusted import folders

CACHE = "latents.safetensors"


@dataclass(frozen=True)
class StageRequest(FolderDataRequest):
    """The options of training a second stage, whatever it is."""

    trains_model: ClassVar[bool] = True
    output: str = option(
        "",
        "model folder to write (default: MODEL itself)",
        short="-o",
        metavar="MODEL",
        common=True,
    )
    training: TrainingOptions = field(default_factory=TrainingOptions)
    resume: bool = option(False, "continue the training that was interrupted", common=True)
    overwrite: bool = option(
        False, "replace the model in the folder of -o, or an interrupted training", common=True
    )
    allow_resize: bool = option(
        False, "bring pictures of another size or color to those of the model"
    )
    on_error: OnError = unreadable()

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self.training.device


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
