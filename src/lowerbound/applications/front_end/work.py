"""The folder of a second stage inside a model folder: its checkpoints and its training curve.

::

    MODEL/prior/ and MODEL/refiner/
      latents.safetensors   draws from q(z | x) of the rows; see ``lowerbound.inference.latents``
      KIND/checkpoint/      of a training that has not ended; removed when it ends
      metrics.jsonl         history of the training that made the model's prior, or its refiner

Only a prior has latents.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lowerbound import durable
from lowerbound.applications.io import fit_folder
from lowerbound.errors import ModelFolderError
from lowerbound.model_folder.manifest import CHECKPOINT, METRICS
from lowerbound.training import History

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
            (output / self.stage).mkdir(exist_ok=True)
            durable.write_text(output / self.stage / METRICS, history.to_lines())
        else:
            (output / self.stage / METRICS).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
