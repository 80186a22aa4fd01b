"""Checkpoints that stay valid if the process is killed at any time.

::

    checkpoint/tensors-7.safetensors   all tensors
    checkpoint/state.json              all other values, name and SHA-256 of the tensors' file

The tensors are written first, under a new name. Replacing ``state.json`` by a rename makes them
valid. The previous file is removed last. If the process is killed between two steps, ``state.json``
still names a complete file. No pickle is written or read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lowerbound import durable, untrusted
from lowerbound.errors import ModelFolderError
from lowerbound.untrusted import folders

FOLDER = "checkpoint"  # of a model folder; ``fitting.manifest`` names it too
STATE = "state.json"
FORMAT = 1
TENSORS = re.compile(r"tensors-\d{1,18}\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A run between two updates.

    Attributes:
        tensors: by part and name: "model/...", "optimizer/...", "average/...", "random/...".
        values: JSON values.
        folder: that it was read from.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    folder: Path = Path()

    def used(self) -> AbstractContextManager[None]:
        """Context in which a run continues from it; each failure is a ``ModelFolderError``."""
        return untrusted.guarded(f"the checkpoint in {self.folder}", ModelFolderError)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, by name within the part."""
        start = f"{name}/"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def joined(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Merge the tensors of all parts under "part/name"; the inverse of ``Checkpoint.part``."""
    return {f"{part}/{name}": t for part, tensors in parts.items() for name, t in tensors.items()}


@folders.closing
def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to ``folder/checkpoint``, and then remove the previous one.

    Raises:
        OSError: it cannot be written; the previous checkpoint is intact.
    """
    directory = folder / FOLDER
    folders.make(directory)
    name = f"tensors-{_generation(directory) + 1}.safetensors"
    try:
        durable.write_tensors(directory / name, checkpoint.tensors)
        state = {"format": FORMAT, "tensors": name, "sha256": durable.sha256(directory / name)}
        text = json.dumps({**state, **checkpoint.values}, allow_nan=False)
        durable.write_text(directory / STATE, text)
    finally:
        _tidy(directory)


def is_there(folder: Path) -> bool:
    """Whether a folder has a checkpoint."""
    return (folder / FOLDER / STATE).exists()


@folders.closing
def load(folder: Path) -> Checkpoint | None:
    """Read the checkpoint in ``folder/checkpoint``; None if there is none.

    Raises:
        ModelFolderError: it is damaged, or a newer version wrote it.
    """
    directory = folder / FOLDER
    if not is_there(folder):
        return None
    values = _read_state(directory)
    name = str(values.pop("tensors", ""))
    if not TENSORS.fullmatch(name):
        raise _damaged(directory / STATE)
    path = directory / name
    content = untrusted.content(path, ModelFolderError) if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != values.pop("sha256", None):
        raise _damaged(path)
    tensors = untrusted.tensors(content, str(path), ModelFolderError)
    return Checkpoint(tensors, values, folder)


def _read_state(directory: Path) -> dict[str, Any]:
    try:
        values = untrusted.read_mapping(directory / STATE, ModelFolderError)
        version = values.pop("format")
    except (ModelFolderError, KeyError) as error:
        raise _damaged(directory / STATE) from error
    if version != FORMAT:
        raise ModelFolderError(
            f"the checkpoint {directory} has format {version}, and this version of lowerbound "
            f"reads format {FORMAT}; resume it with the version that wrote it, or train again"
        )
    return values


def _damaged(path: Path) -> ModelFolderError:
    return ModelFolderError(
        f"the checkpoint file {path} is missing or damaged; train again, without resume"
    )


def _generation(directory: Path) -> int:
    """The highest number of a file of tensors; 0 if there are none."""
    numbers = [path.stem.partition("-")[2] for path in directory.glob("tensors-*.safetensors")]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def _tidy(directory: Path) -> None:
    """Remove obsolete files of tensors, and partial files of a killed process."""
    try:
        counts = untrusted.read_mapping(directory / STATE, ModelFolderError)["tensors"]
    except (OSError, ValueError, KeyError):
        return
    for path in (*directory.glob("tensors-*.safetensors"), *directory.glob(".*.part")):
        if path.name != counts:
            folders.remove(path)
