"""What finished further fits answered, kept beside the checkpoint so that resuming goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lowerbound import durable
from lowerbound.training.checkpoints.checkpoint import FOLDER

ANSWERS = "folds.safetensors"


class FoldAnswers:
    """The answers of the further fits of one run.

    Args:
        folder: they are kept in ``folder/checkpoint``; None keeps none.
        identity: JSON values of what the fits are; answers of others are not used.
        resume: whether those that are there count.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], *, resume: bool) -> None:
        self._path = None if folder is None else folder / FOLDER / ANSWERS
        text = json.dumps(identity, sort_keys=True)
        self._name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._answers = self._kept() if resume else {}
        if self._path is not None and not resume:
            self._path.unlink(missing_ok=True)

    @property
    def where(self) -> str:
        """For a message: where the answers are kept, if anywhere."""
        if self._path is None:
            return "; without a folder nothing was kept"
        return f" and kept in {self._path.parent}; resume to go on from there"

    def get(self, fold: int) -> Tensor | None:
        """The answer of a fit that was finished before; None: there is none."""
        return self._answers.get(f"{self._name}/{fold}")

    def put(self, fold: int, answer: Tensor) -> None:
        """Keep the answer of a finished fit.

        Raises:
            OSError: it could not be written.
        """
        self._answers[f"{self._name}/{fold}"] = answer
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            durable.write_tensors(self._path, self._answers)

    def _kept(self) -> dict[str, Tensor]:
        """Those on the disk; none where the file is missing or damaged: the fits are done again."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        if self._path is None or not self._path.is_file():
            return {}
        try:
            return dict(load(self._path.read_bytes()))
        except (OSError, SafetensorError):
            return {}
