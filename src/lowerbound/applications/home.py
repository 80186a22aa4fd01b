"""The folder that a fit lives in: what is there already, and how the fit was asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lowerbound.applications.files import write_text
from lowerbound.errors import ModelFolderError

REQUEST = "request.json"
MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint"
OTHERS = (
    REQUEST,
    "config.json",
    "schema.json",
    "model.safetensors",
    "metrics.jsonl",
    "report.html",
    "MODEL_CARD.md",
)
State = Literal["absent", "model", "checkpoint"]


def state_of(folder: Path) -> State:
    """What is at ``folder``: nothing (or an empty folder), a model, or a training run's beginning.

    Raises:
        ModelFolderError: something else, which nothing may be written into.
    """
    if not folder.exists():
        return "absent"
    if not folder.is_dir():
        raise ModelFolderError(f"{folder} is a file: choose another name for the model folder")
    if (folder / MANIFEST).exists():
        return "model"
    if (folder / CHECKPOINT).is_dir():
        return "checkpoint"
    if any(folder.iterdir()):
        raise ModelFolderError(
            f"{folder} holds other files and is no model folder: choose another name, so that "
            "nothing of yours is overwritten"
        )
    return "absent"


def remember(folder: Path, request: Mapping[str, Any]) -> None:
    """Keep how the fit was asked for, so that it can be resumed without typing it again."""
    write_text(folder / REQUEST, json.dumps(request, indent=1))


def remembered(folder: Path) -> dict[str, Any] | None:
    """How the fit in ``folder`` was asked for; None where that is not known."""
    try:
        request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return request if isinstance(request, dict) else None


def is_finished(folder: Path) -> bool:
    """Whether the training of the model in ``folder`` is over, or it never needed any.

    Raises:
        ModelFolderError: the folder is damaged.
    """
    from lowerbound.model_folder import read

    return read(folder).history.ended not in ("interrupted", "running")


def clear(folder: Path) -> None:
    """Remove a model's own files from ``folder``, and nothing else."""
    for name in ("checkpoint", "figures"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (MANIFEST, *OTHERS):
        (folder / name).unlink(missing_ok=True)
