"""Help texts, kept from one call to the next: making one imports every part that it lists."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lowerbound import __version__
from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.form import entries
from lowerbound.cache import cache_folder
from lowerbound.cli.flags import HELP_ALL, command_parser, few_options
from lowerbound.durable import replacing

WORDS = ("-h", "--help", HELP_ALL)
COLORS = ("NO_COLOR", "FORCE_COLOR", "PYTHON_COLORS", "TERM")  # what argparse asks for


def help_text(name: str, words: Sequence[str]) -> str:
    """The help of a command, made once for each version of the package and width of the terminal.

    Args:
        name: of the command.
        words: after the command: ``--help`` or ``--help-all``.
    """
    if "torch" in sys.modules:  # nothing is saved, and the caller may have registered parts
        return _made(name, words)
    folder = _folder()
    place = folder / hashlib.sha256(repr(_circumstances(name, words)).encode()).hexdigest()[:16]
    with suppress(OSError, UnicodeError):
        return place.read_text("utf-8")
    text = _made(name, words)
    with suppress(OSError):  # the next call makes it again
        _keep(place, text)
    return text


def _made(name: str, words: Sequence[str]) -> str:
    form = entries(load(name).request)
    every = HELP_ALL in words or few_options(form)
    return command_parser(name, APPLICATIONS[name].help, form, every=every).format_help()


def _keep(place: Path, text: str) -> None:
    """Write a text, and remove those of other versions."""
    for other in place.parent.parent.glob("*"):
        if other != place.parent:
            shutil.rmtree(other, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as temporary:
        temporary.write_text(text, "utf-8")


def _folder() -> Path:
    """The folder of the texts of this version; it changes with every file of the package."""
    files = sorted(_files(os.fspath(Path(__file__).parents[1])))
    version = hashlib.sha256(repr((__version__, sys.version, files)).encode()).hexdigest()[:16]
    return cache_folder() / "help" / version


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of the last change of each file of the package."""
    for found in os.scandir(folder):
        if found.is_dir():
            yield from _files(found.path)
        elif found.name.endswith(".py"):
            state = found.stat()
            yield found.path, state.st_size, state.st_mtime_ns


def _circumstances(name: str, words: Sequence[str]) -> tuple[object, ...]:
    """What else a text depends on."""
    colors = (sys.stdout.isatty(), *map(os.environ.get, COLORS))
    return (name, HELP_ALL in words, shutil.get_terminal_size().columns, colors)
