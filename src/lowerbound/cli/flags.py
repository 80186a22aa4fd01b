"""Make flags from the entries of a form, and a request from the flags that were typed."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lowerbound import untrusted
from lowerbound.applications.base import Application
from lowerbound.applications.form import Entry, answer, entries
from lowerbound.config import warn_renamed
from lowerbound.errors import OptionError

PROGRAM = "lowerbound"
SEED = "seed"
LARGEST_SEED = 2**32 - 1  # of numpy


class Parser(argparse.ArgumentParser):
    """An argument parser that raises ``OptionError`` instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        sentence = message.removeprefix("the following arguments are required: ")
        if sentence != message:
            sentence = f"missing: {sentence}"
        raise OptionError(f"{self.prog}: {sentence}; see {self.prog} --help")


def parse(application: Application, help: str, words: Sequence[str]) -> argparse.Namespace:
    """Parse the words after the command; ``request`` of the result is the Request.

    Raises:
        OptionError: an option is unknown (the message suggests the nearest), or a value is invalid.
        SystemExit: after ``--help``.
    """
    form = entries(application.request)
    parser = command_parser(application.name, help, form)
    typed, extra = _parsed(parser, form, by_new_flags(form, words))
    if extra:
        raise _unexpected(parser, extra[0])
    given = [entry for entry in form if entry.name != SEED and hasattr(typed, _key(entry))]
    answers = {entry.path: _value(entry, typed) for entry in given}
    if typed.seed is not None:  # one seed for every part of the request
        seed = _seed(typed.seed)
        answers |= {entry.path: seed for entry in form if entry.name == SEED}
    typed.request = answer(application.request, answers)
    typed.memory = _gigabytes(typed.memory)
    return typed


def by_new_flags(form: Sequence[Entry], words: Sequence[str]) -> list[str]:
    """The words with each old flag replaced by its new one, with a warning."""
    new_flags = {entry.old_flag: entry.flag for entry in form if entry.formerly}
    found = []
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in new_flags:
            warn_renamed(flag, new_flags[flag])
        found.append(f"{new_flags.get(flag, flag)}{equals}{value}")
    return found


def _parsed(
    parser: Parser, form: Sequence[Entry], words: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The parsed words, and the words that no argument takes.

    If a positional argument is optional, flags are read first. Otherwise argparse leaves it out as
    soon as a flag follows the argument before it.
    """
    if any(entry.positional and not entry.required for entry in form):
        return parser.parse_known_intermixed_args(words)
    return parser.parse_known_args(words)


def command_parser(name: str, help: str, form: Sequence[Entry]) -> Parser:
    """The parser of one command: a flag per entry, with a group for each nested dataclass."""
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        usage=_usage(name, form),
        description=help,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups: dict[str, Any] = {"": parser}
    for entry in form:
        title = entry.path[-2] if len(entry.path) > 1 else ""
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        if entry.name != SEED:
            _add(groups[title], entry)
    _add_shared(parser)
    return parser


def _usage(name: str, form: Sequence[Entry]) -> str:
    """The usage line: required and positional arguments, then ``[options]``."""
    placed = [entry for entry in form if entry.positional]
    needed = [_metavar(e) if e.required else f"[{_metavar(e)}]" for e in placed]
    for entry in form:
        if entry.required and not entry.positional:
            needed += [entry.short or entry.flag, _metavar(entry)]
    return " ".join([PROGRAM, name, *needed, "[options]"])


def _add_shared(parser: Parser) -> None:
    shared = parser.add_argument_group("every command")
    shared.add_argument(
        "--json", action="store_true", default=False, help="one JSON object on standard output"
    )
    shared.add_argument(
        "--seed", default=None, metavar="N", help="seed of everything that is drawn (default: 0)"
    )
    shared.add_argument(
        "--memory",
        default=str(untrusted.MEMORY),
        metavar="GB",
        help="largest memory that a file may declare, or that may be asked for (default: "
        f"{untrusted.MEMORY:g} GB)",
    )
    shared.add_argument(
        "--keep-formulas",
        action="store_true",
        default=False,
        help="write texts that begin with = + - @ to .csv as they are (default: with a ' before "
        "them, so that a spreadsheet does not compute them)",
    )
    shared.add_argument(
        "-v", "--verbose", action="store_true", default=False, help="print more while working"
    )


def _add(group: Any, entry: Entry) -> None:
    names = [entry.flag] if not entry.short else [entry.short, entry.flag]
    if entry.kind is bool and not entry.many:
        group.add_argument(
            *names, dest=_key(entry), action="store_const", const=not entry.default, help=entry.help
        )
        return
    rest: dict[str, Any] = {"help": _help(entry), "metavar": _metavar(entry)}
    if entry.positional:
        if entry.many:
            rest["nargs"] = "+"
        elif not entry.required:
            rest["nargs"] = "?"
        group.add_argument(_key(entry), **rest)
        return
    if entry.many:
        rest["action"] = "append"
    group.add_argument(*names, dest=_key(entry), required=entry.required, **rest)


def _key(entry: Entry) -> str:
    return ".".join(entry.path)


def _value(entry: Entry, typed: argparse.Namespace) -> Any:
    value = getattr(typed, _key(entry))
    if isinstance(value, list):
        return tuple(entry.parse(text) for text in value)
    return entry.parse(value) if isinstance(value, str) else value


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise OptionError(f"--seed takes a whole number from 0 up, not {text!r}")
    if len(text) > 20 or int(text) > LARGEST_SEED:
        raise OptionError(f"--seed takes a whole number from 0 to {LARGEST_SEED:,}, not {text}")
    return int(text)


def _gigabytes(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"--memory takes a number of gigabytes, not {text!r}") from None


def _metavar(entry: Entry) -> str:
    if entry.metavar or entry.positional:
        return entry.metavar or entry.name.upper()
    if entry.choices:
        return "|".join(entry.choices) if len(entry.choices) <= 4 else "NAME"
    return {int: "N", float: "X"}.get(entry.kind, "TEXT")


def _help(entry: Entry) -> str:
    """The entry's help text, followed by its default if there is one to show."""
    text = entry.help.replace("%", "%%")
    if len(entry.choices) > 4:
        text = f"{text} ({', '.join(entry.choices)})"
    silent = (None, "", (), False, dataclasses.MISSING)
    if entry.required or any(entry.default is value for value in silent) or "default" in text:
        return text
    return f"{text} (default: {entry.default})"


def _unexpected(parser: Parser, word: str) -> OptionError:
    flags: Mapping[str, Any] = parser._option_string_actions
    if not word.startswith("-"):
        return OptionError(
            f"{parser.prog}: {word!r} is one word too many; see {parser.prog} --help"
        )
    close = difflib.get_close_matches(word.split("=")[0], list(flags), n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else f"; see {parser.prog} --help"
    return OptionError(f"{parser.prog}: unknown option {word}{hint}")
