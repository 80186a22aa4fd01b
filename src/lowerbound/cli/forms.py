"""The options of each command, kept from one call to the next.

To find them, a command imports every part that it lists, and these import torch. Its help, and what
it answers to a wrong word, need not wait for that more than once. A wheel brings the options of all
commands along, so there they need not wait at all:

    python -m lowerbound.cli.forms      write them, before the wheel is built
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lowerbound import __version__
from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import REQUIRED, Entry, entries
from lowerbound.durable import cache_folder, replacing
from lowerbound.untrusted import folders

FORM, FILES, FORMS = "form", "files", "forms"
PACKAGE = Path(__file__).parents[1]
SHIPPED = PACKAGE / "shipped" / "forms.json"
KINDS: Mapping[str, type] = {kind.__name__: kind for kind in (bool, int, float, str)}


def form_of(name: str) -> list[Entry]:
    """The entries of a command's request; those that are kept, if there are any.

    They are kept for this version of every file of the package.
    """
    if "torch" in sys.modules:  # nothing is saved, and the caller may have registered parts
        return entries(load(name).request)
    with suppress(OSError, ValueError, KeyError, TypeError):
        shipped = json.loads(SHIPPED.read_text("utf-8"))
        if shipped[FILES] == _sizes():
            return [_entry(each) for each in shipped[FORMS][name]]
    try:
        place = _folder() / f"{name.replace(' ', '-')}.json"
    except (OSError, RuntimeError):  # a user without a home
        return entries(load(name).request)
    with suppress(OSError, ValueError, KeyError, TypeError):
        return [_entry(each) for each in json.loads(place.read_text("utf-8"))[FORM]]
    form = entries(load(name).request)
    with suppress(OSError):  # the next call finds them again
        _keep(place, json.dumps({FORM: [_plain(entry) for entry in form]}))
    return form


def ship() -> None:
    """Write the forms of all commands, for the files of the package as they are now."""
    forms = {
        name: [_plain(entry) for entry in entries(load(name).request)] for name in APPLICATIONS
    }
    with replacing(SHIPPED) as temporary:
        temporary.write_text(json.dumps({FILES: _sizes(), FORMS: forms}), "utf-8")


def _plain(entry: Entry) -> dict[str, Any]:
    """The entry as JSON types."""
    values = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    values["kind"] = entry.kind.__name__
    values["part_options"] = entry.part_options and entry.part_options()
    if entry.required:
        del values["default"]
    return values


def _entry(values: dict[str, Any]) -> Entry:
    """The entry of ``_plain``."""
    options = values.pop("part_options")
    default = values.pop("default", REQUIRED)
    return Entry(
        path=tuple(values.pop("path")),
        kind=KINDS[values.pop("kind")],
        default=tuple(default) if isinstance(default, list) else default,
        choices=tuple(values.pop("choices")),
        part_options=None if options is None else lambda: options,
        **values,
    )


def _keep(place: Path, text: str) -> None:
    """Write a form, and remove those of other versions."""
    for other in place.parent.parent.glob("*"):
        if other != place.parent:
            folders.remove_tree(other)
    folders.make(place.parent)
    with replacing(place) as temporary:
        temporary.write_text(text, "utf-8")


def _folder() -> Path:
    """The folder of the forms of this version; it changes with every file of the package."""
    files = sorted(_files(os.fspath(PACKAGE)))
    version = hashlib.sha256(repr((__version__, sys.version, files)).encode()).hexdigest()[:16]
    return cache_folder() / "forms" / version


def _sizes() -> str:
    """A hash of the names and sizes of the package's files, which an installation keeps."""
    files = sorted(_files(os.fspath(PACKAGE)))
    sizes = [(Path(path).relative_to(PACKAGE).as_posix(), size) for path, size, _ in files]
    return hashlib.sha256(repr((__version__, sizes)).encode()).hexdigest()


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of the last change of each file of the package."""
    for found in os.scandir(folder):
        if found.is_dir():
            yield from _files(found.path)
        elif found.name.endswith(".py"):
            state = found.stat()
            yield found.path, state.st_size, state.st_mtime_ns


if __name__ == "__main__":
    ship()
