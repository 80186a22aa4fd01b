"""The folder of a fit: its state, and the request of the fit with options as ``part.option=value``.

The request in a folder names data, and nothing in the folder proves who wrote it. A fit therefore
also leaves a record in a folder of the user. The name of the record is a hash of the request and of
the model's options and schema. Only files named by a request with a record are opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lowerbound import durable, untrusted
from lowerbound.applications.common.form import value_of
from lowerbound.config import options_of
from lowerbound.errors import ModelFolderError, OptionError, unknown
from lowerbound.fitting.manifest import CHECKPOINT, CONFIG, MANIFEST, METRICS, SCHEMA, hashes
from lowerbound.registry import Registry
from lowerbound.untrusted import folders

if TYPE_CHECKING:
    from lowerbound.fitting.fitted import Fitted

REQUEST = "request.json"
DIRECTORY = "directory"  # in which the command was given, of a request as ``recorded`` gives it
TRAINED_AFTER = ("prior", "refiner")  # folders of trainings of parts of a fitted model
State = Literal["absent", "unfinished", "finished"]


def option_names(registry: Registry[Any]) -> Mapping[str, Sequence[str]]:
    """The names of the options of every registered part."""
    return {name: options_of(registry[name]) for name in registry}


def split_setting(setting: str, parts: Sequence[str]) -> tuple[str, str, Any]:
    """Part, name of the option, and value.

    Raises:
        OptionError: a setting is not ``part.option=value``, or there is no such part.
    """
    place, equals, text = setting.partition("=")
    part, dot, name = place.strip().partition(".")
    if not (equals and dot and part and name):
        raise OptionError(
            f"--set takes part.option=value, such as network.hidden=[200,200]: {setting!r}"
        )
    if part not in parts:
        raise unknown("part", part, parts)
    return part, name.replace("-", "_"), value_of(text.strip())


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


def last_write(folder: Path) -> float:
    """When a model or a checkpoint was last written there, seconds since the epoch; 0: never."""
    files = [folder / MANIFEST, *(folder / CHECKPOINT).glob("*.json")]
    return max((path.stat().st_mtime for path in files if path.is_file()), default=0.0)


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


def way_on(folder: Path, interruption: str, again: str) -> str:
    """What an interrupted fit says.

    Args:
        folder: of the fit.
        interruption: where it was interrupted.
        again: the command that goes on, if there is something to go on with.
    """
    if state_of(folder) != "unfinished":
        return "interrupted, and nothing of this fit can be resumed: start again"
    return f"{interruption}; continue by {again}"


def check_startable(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that a fit may start in a folder, or go on there.

    Raises:
        ModelFolderError: as ``may_write``, or the fit to resume is finished.
    """
    if may_write(folder, resume=resume, overwrite=overwrite) == "finished" and resume:
        raise ModelFolderError(f"{folder} holds a finished model: there is nothing to resume")


def ending(folder: Path) -> str:
    """How the training of the model in ``folder`` ended; "" if unknown or without training."""
    try:
        lines = untrusted.text(folder / METRICS, ModelFolderError).splitlines()
        return str(untrusted.parsed_mapping(lines[-1], METRICS, ModelFolderError)["ended"])
    except (OSError, ValueError, IndexError, KeyError):
        return ""


@folders.closing
def remember(folder: Path, request: Mapping[str, Any]) -> None:
    """Write the request of the fit, so that the fit can be resumed without typing it again.

    Also write a record of it for this user, if the user's folder can be written. The record holds
    the current directory, from which relative paths of the request start, or the request's own.
    """
    from lowerbound.applications.common.files import write_text

    typed = {name: value for name, value in request.items() if name != DIRECTORY}
    text = json.dumps(typed, indent=1)
    write_text(folder / REQUEST, text)
    record = _record(folder, text)
    if record is not None:
        with suppress(OSError):
            write_text(record, str(request.get(DIRECTORY, Path.cwd())))


@folders.closing
def rewrite(folder: Path, made: Fitted, request: Mapping[str, Any] | None) -> None:
    """Write the model, and the record of its fit again: the record is kept by its options.

    Args:
        folder: the model folder.
        made: the changed model.
        request: of the fit, as ``recorded`` gives it before; None: there is no record.
    """
    from lowerbound.fitting.folder import write

    write(folder, made)
    if request is not None:
        remember(folder, request)


@folders.closing
def forget(folder: Path) -> None:
    """Remove the request of the fit in ``folder``, and what was trained after it."""
    folders.remove(folder / REQUEST)
    for name in (CHECKPOINT, *TRAINED_AFTER):
        folders.remove_tree(folder / name)


def objective_of(folder: Path) -> str | None:
    """The objective of the run in ``folder``; None if unknown."""
    try:
        return str(untrusted.read_mapping(folder / CONFIG, ModelFolderError)["objective"])
    except (OSError, ValueError, KeyError):
        return None


def remembered(folder: Path) -> dict[str, Any] | None:
    """The request of the fit in ``folder``; None if unknown.

    Anyone may have written it, so files that it names are opened only if it is ``recorded``.
    """
    try:
        return untrusted.read_mapping(folder / REQUEST, ModelFolderError)
    except (OSError, ValueError):
        return None


def recorded(folder: Path) -> dict[str, Any] | None:
    """The request of the fit in ``folder`` if this user wrote it on this machine, else None.

    It has the directory in which the command was given as ``DIRECTORY``; "" if an older version
    recorded it.
    """
    try:
        text = untrusted.text(folder / REQUEST, ModelFolderError)
        record = _record(folder, text)
        if record is None or not record.is_file():
            return None
        found = untrusted.parsed_mapping(text, REQUEST, ModelFolderError)
        return {**found, DIRECTORY: untrusted.text(record, ModelFolderError)}
    except (OSError, ValueError):
        return None


def _record(folder: Path, request: str) -> Path | None:
    """The record of a request in the user's states; None: the user has none.

    Raises:
        ModelFolderError: there is no model in ``folder``.
    """
    files = hashes(folder)
    content = json.dumps([request, files[CONFIG], files[SCHEMA]])
    states = durable.user_states()
    if states is None:
        return None
    return states / "fits" / hashlib.sha256(content.encode()).hexdigest()
