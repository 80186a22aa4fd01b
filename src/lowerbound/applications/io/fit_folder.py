"""The folder of a fit: its state, and the request of the fit.

The request in a folder names data, and nothing in the folder proves who wrote it. A fit therefore
also leaves a record in a folder of the user. The name of the record is a hash of the request and of
the model's options and schema. Only files named by a request with a record are opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from lowerbound.errors import ModelFolderError
from lowerbound.model_folder.manifest import CHECKPOINT, CONFIG, MANIFEST, METRICS, SCHEMA, hashes

REQUEST = "request.json"
State = Literal["absent", "unfinished", "finished"]


def state_of(folder: Path) -> State:
    """Whether ``folder`` is absent (or empty), an unfinished run, or a finished model.

    Raises:
        ModelFolderError: it is something else, and must not be overwritten.
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


def may_write(folder: Path, *, resume: bool, overwrite: bool) -> State:
    """The state of a folder that a fit may write.

    Raises:
        ModelFolderError: the folder must not be overwritten, or there is nothing to resume.
    """
    state = state_of(folder)
    if state == "absent":
        if resume:
            raise ModelFolderError(f"{folder} does not exist: start without --resume")
        return state
    if not resume and not overwrite:
        finished = state == "finished"
        way = "--overwrite replaces it" if finished else "--resume goes on, --overwrite starts anew"
        what = "a model" if finished else "an unfinished run"
        raise ModelFolderError(f"{folder} holds {what} already: {way}")
    return state


def ending(folder: Path) -> str:
    """How the training of the model in ``folder`` ended; "" if unknown or without training."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        return str(json.loads(lines[-1])["ended"])
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return ""


def remember(folder: Path, request: Mapping[str, Any]) -> None:
    """Write the request of the fit, so that the fit can be resumed without typing it again.

    Also write a record of it for this user, if the user's folder can be written.
    """
    from lowerbound.applications.io.files import write_text

    text = json.dumps(request, indent=1)
    write_text(folder / REQUEST, text)
    with suppress(OSError):
        write_text(_record(folder, text), "")


def objective_of(folder: Path) -> str | None:
    """The objective of the run in ``folder``; None if unknown."""
    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["objective"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remembered(folder: Path) -> dict[str, Any] | None:
    """The request of the fit in ``folder``; None if unknown.

    Anyone may have written it, so files that it names are opened only if it is ``recorded``.
    """
    try:
        request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return request if isinstance(request, dict) else None


def recorded(folder: Path) -> dict[str, Any] | None:
    """The request of the fit in ``folder`` if this user wrote it on this machine, else None."""
    try:
        text = (folder / REQUEST).read_text(encoding="utf-8")
        return json.loads(text) if _record(folder, text).is_file() else None
    except (OSError, ValueError):
        return None


def _record(folder: Path, request: str) -> Path:
    """The record of a request, in $XDG_STATE_HOME/lowerbound or ~/.local/state/lowerbound.

    Raises:
        ModelFolderError: there is no model in ``folder``.
    """
    files = hashes(folder)
    content = json.dumps([request, files[CONFIG], files[SCHEMA]])
    base = os.environ.get("XDG_STATE_HOME")
    states = Path(base) if base else Path.home() / ".local" / "state"
    return states / "lowerbound" / "fits" / hashlib.sha256(content.encode()).hexdigest()
