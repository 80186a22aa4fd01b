"""Results of finished additional fits, stored beside the checkpoint for resuming."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lowerbound import durable, processes, untrusted
from lowerbound.errors import ModelFolderError
from lowerbound.training.checkpoints.checkpoint import FOLDER
from lowerbound.untrusted import folders

ANSWERS = "folds.safetensors"


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
