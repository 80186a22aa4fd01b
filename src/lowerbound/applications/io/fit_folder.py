"""The folder of a fit: what is there already, and the request of the fit.

The request in a folder names data, and nothing in the folder proves who wrote it. So a fit also
leaves a record outside, in a folder of the user's. The record's name is a hash of the request and
of the model's options and schema, and only a request with a record may say which files are opened.
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
    """Keep the request of the fit, so that it can be resumed without typing it again.

    A record of it is kept for this user, unless no file can be written there.
    """
    from lowerbound.applications.io.files import write_text

    text = json.dumps(request, indent=1)
    write_text(folder / REQUEST, text)
    with suppress(OSError):
        write_text(_record(folder, text), "")


def objective_of(folder: Path) -> str | None:
    """What the run in ``folder`` maximizes; None where that is not known."""
    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["objective"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remembered(folder: Path) -> dict[str, Any] | None:
    """The request of the fit in ``folder``; None where it is unknown.

    Anyone may have written it: files that it names are opened only where it is ``recorded``.
    """
    try:
        request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return request if isinstance(request, dict) else None


def recorded(folder: Path) -> dict[str, Any] | None:
    """The same, where a fit of this user on this machine wrote it; None otherwise."""
    try:
        text = (folder / REQUEST).read_text(encoding="utf-8")
        return json.loads(text) if _record(folder, text).is_file() else None
    except (OSError, ValueError):
        return None


def _record(folder: Path, request: str) -> Path:
    """The record of a request: under $XDG_STATE_HOME/lowerbound, else ~/.local/state/lowerbound.

    Raises:
        ModelFolderError: there is no model in ``folder``.
    """
    files = hashes(folder)
    content = json.dumps([request, files[CONFIG], files[SCHEMA]])
    base = os.environ.get("XDG_STATE_HOME")
    states = Path(base) if base else Path.home() / ".local" / "state"
    return states / "lowerbound" / "fits" / hashlib.sha256(content.encode()).hexdigest()
