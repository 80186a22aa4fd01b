"""``lowerbound COMMAND ...``: find the application, parse, run, print."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowerbound import durable, processes, untrusted
from lowerbound._version import __version__
from lowerbound.applications import APPLICATIONS, load, request_of
from lowerbound.cli import console as outcome
from lowerbound.cli.console import Console
from lowerbound.cli.flags import meant_command
from lowerbound.errors import OptionError
from lowerbound.processes import signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lowerbound.applications.common.form import Entry

MODEL = "model"
HELP = ("-h", "--help", "--help-all")
HEAD = """\
usage: lowerbound COMMAND ...

Fit a variational autoencoder to your own data, measure how good it is, and use it.
"""
TAIL = """\
lowerbound COMMAND --help shows the arguments of a command. Start with: lowerbound demo"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return the process's exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without ± gets a question mark
            stream.reconfigure(errors="replace")
    verbose = "-v" in words or "--verbose" in words
    console = Console("--json" in words, verbose, quiet=not processes.speaks())
    try:
        with console, spoken_warnings(console):
            return run(words, console)
    except KeyboardInterrupt as interruption:
        return _failed(console, words, str(interruption) or "interrupted", signals.exit_code())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return outcome.DONE
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Python 3.11 wraps some in imports
            return _failed(console, words, "interrupted", signals.exit_code())
        known = outcome.sentence(error)
        if known is None:
            raise
        return _failed(console, words, known, outcome.code(error))


def run(words: Sequence[str], console: Console) -> int:
    """Run the command in ``words``, and return its exit code.

    Raises:
        LowerboundError: bad input.
    """
    given = words
    if words and words[0] == "help":
        words = [*words[1:], "--help"]
    if not words or words[0] in HELP:
        print(overview())
        return outcome.DONE
    if words[0] in ("-V", "--version"):
        print(f"lowerbound {__version__}")
        return outcome.DONE
    name, words = known_command(words)
    if name in groups():
        print(overview(name))
        return outcome.DONE
    from lowerbound.applications.common.form import answer, entries
    from lowerbound.cli.flags import parse
    from lowerbound.cli.wording import flags_in_messages, note_by_flags

    form = entries(request_of(name))
    console.wording = partial(note_by_flags, form=form, words=words)
    with flags_in_messages(form, words):
        try:
            typed = parse(name, APPLICATIONS[name].help, form, words)
        except SystemExit:  # --help has been printed
            return outcome.DONE
        check_places(form, typed.answers)
        application = load(name)
        signals.interruptible()  # all before is importing; from here on, work may be kept
        request = answer(application.request, typed.answers)
        from lowerbound.cli.launch import several

        if launcher := several(request, run_one):
            return launcher(given)
        from lowerbound.applications.common.formulas import formulas_kept

        with untrusted.memory(typed.memory), formulas_kept(typed.keep_formulas):
            report = application(request, console)
    console.result(report.text(), {"command": name, **report.to_mapping()})
    return outcome.DONE if report.passed else outcome.CHECK_FAILED


def run_one(words: Sequence[str]) -> int:
    """Run a command in one of the processes that run it together."""
    signals.leave_when_interrupted()
    return main(words)


def check_places(form: Sequence[Entry], answers: Mapping[tuple[str, ...], Any]) -> None:
    """Check what a command writes, and that its model folder is there, before torch is imported.

    Raises:
        OptionError: a positional argument is empty.
        OSError: what it writes cannot be written there.
        ModelFolderError: there is no such folder.
    """
    from lowerbound.fitting.manifest import check_there

    for entry in form:
        value: Any = answers.get(entry.path)
        if entry.positional and (value == "" or (entry.many and value and "" in value)):
            raise OptionError(
                f"{entry.called} is an empty path, such as a variable of the shell without a "
                "value: name a file or a folder"
            )
        if entry.writes and value:
            for path in (value,) if isinstance(value, str) else value:
                durable.check_place(Path(path))
    named = {path[0]: value for path, value in answers.items() if len(path) == 1}
    places = [entry.name for entry in form if entry.positional]
    if MODEL in places and all(place in named for place in places):  # else it may be the data
        check_there(Path(named[MODEL]))


def overview(group: str = "") -> str:
    """The list of commands, or of those of a group."""
    names = [name for name in APPLICATIONS if name.startswith(f"{group} " * bool(group))]
    width = max(map(len, names))
    lines = [f"  {name:{width}}  {APPLICATIONS[name].help}" for name in names]
    return "\n".join([HEAD, *lines, "", TAIL])


def groups() -> set[str]:
    """The first words of commands of two words."""
    return {name.split()[0] for name in APPLICATIONS if " " in name}


def known_command(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command, of one or two words, or the group of commands, and the words after it.

    Raises:
        OptionError: no command has this name; the message says what may have been meant.
    """
    word, more = words[0], words[1:2]
    if word in groups() and (not more or more[0] in HELP):
        return word, words[1:]
    if word in groups():
        word = f"{word} {more[0]}"
    if word in APPLICATIONS:
        return word, words[len(word.split()) :]
    kind = "option" if word.startswith("-") else "command"
    raise OptionError(f"unknown {kind} {word!r}; {meant_command(word)}")


@contextmanager
def spoken_warnings(console: Console) -> Iterator[None]:
    """Context that prints each warning once, as a line on standard error without a source line."""
    spoken: set[str] = set()  # data that is read twice gives the same warning at two places

    def speak(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if (issubclass(category, UserWarning) or console.verbose) and str(message) not in spoken:
            spoken.add(str(message))
            console.say(f"note: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = speak
        yield


def _failed(console: Console, words: Sequence[str], sentence: str, code: int) -> int:
    if processes.speaks(machine=True):
        with suppress(OSError):  # the terminal may be closed
            print(untrusted.printable(f"lowerbound: {sentence}"), file=sys.stderr, flush=True)
    if console.as_json:
        console.result("", {"command": words[0] if words else None, "error": sentence})
    return code
