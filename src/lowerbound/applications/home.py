"""The folder that a fit lives in: what is there already, and how the fit was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lowerbound.errors import ModelFolderError
from lowerbound.manifest import CHECKPOINT, MANIFEST, METRICS

REQUEST = "request.json"
State = Literal["absent", "unfinished", "finished"]


def state_of(folder: Path) -> State:
    """What is at ``folder``: nothing (or an empty folder), an unfinished run, or a finished model.

    Raises:
        ModelFolderError: something else, which nothing may be written into.
    """
    if not folder.exists():
        return "absent"
    if not folder.is_dir():
        raise ModelFolderError(f"{folder} is a file: choose another name for the model folder")
    if (folder / MANIFEST).exists():
        return "unfinished" if ending(folder) in ("interrupted", "running") else "finished"
    if (folder / CHECKPOINT).is_dir():
        return "unfinished"
    if any(folder.iterdir()):
        raise ModelFolderError(
            f"{folder} holds other files and no model: choose another name, so that nothing of "
            "yours is overwritten"
        )
    return "absent"


def ending(folder: Path) -> str:
    """How the training of the model in ``folder`` ended; "" where it needed none, or is unknown."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        return str(json.loads(lines[-1])["ended"])
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return ""


def remember(folder: Path, request: Mapping[str, Any]) -> None:
    """Keep how the fit was asked for, so that it can be resumed without typing it again."""
    from lowerbound.applications.files import write_text

    write_text(folder / REQUEST, json.dumps(request, indent=1))


def remembered(folder: Path) -> dict[str, Any] | None:
    """How the fit in ``folder`` was asked for; None where that is not known."""
    try:
        request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return request if isinstance(request, dict) else None
