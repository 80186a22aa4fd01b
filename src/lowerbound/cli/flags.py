"""Make flags from the entries of a form, and a request from the flags that were typed."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from lowerbound import untrusted
from lowerbound.applications.form import Entry
from lowerbound.cli.near_misses import meant_option
from lowerbound.config import warn_renamed
from lowerbound.errors import OptionError

PROGRAM = "lowerbound"
SEED = "seed"
LARGEST_SEED = 2**32 - 1  # of numpy
FEW = 15  # options that --help shows all; of more it shows the common ones
HELP_ALL = "--help-all"


class Parser(argparse.ArgumentParser):
    """An argument parser that raises ``OptionError`` instead of ending the process.

    Attributes:
        meanings: help texts of the required arguments, by their names in messages of argparse.
    """

    meanings: dict[str, str]

    @property
    def flags(self) -> list[str]:
        """Every flag that the parser takes."""
        return list(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{self._sentence(message)}; see {self.prog} --help")

    def _sentence(self, message: str) -> str:
        """A message of argparse in the words of this package."""
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            named = [f"{name} ({self.meanings[name]})" for name in missing.split(", ")]
            return f"missing: {', '.join(named)}"
        for pattern, sentence in _SENTENCES.items():
            found = re.fullmatch(pattern, message)
            if found:
                return sentence.format(found[1])
        return message


_SENTENCES = {
    r"argument (\S+): expected (?:one|at least one) argument": "{} needs a value after it",
    r"argument (\S+): ignored explicit argument .*": "{} takes no value",
}


def parse(name: str, help: str, form: Sequence[Entry], words: Sequence[str]) -> argparse.Namespace:
    """Parse the words after the command; ``answers`` of the result are those to its form.

    Raises:
        OptionError: an option is unknown (the message suggests the nearest), or a value is invalid.
        SystemExit: after ``--help``.
    """
    every = HELP_ALL in words or len(_flagged(form)) <= FEW
    parser = command_parser(name, help, form, every=every)
    words = by_new_flags(form, words)
    for word in words:  # before argparse misses the arguments that may follow
        if re.match(r"--[^\s=]+(=|$)", word) and word.partition("=")[0] not in parser.flags:
            raise _unexpected(parser, word, words, form)
    typed, extra = _parsed(parser, form, words)
    if extra:
        raise _unexpected(parser, extra[0], words, form)
    given = [entry for entry in form if entry.name != SEED and hasattr(typed, _key(entry))]
    answers = {entry.path: _value(entry, typed) for entry in given}
    if typed.seed is not None:  # one seed for every part of the request
        seed = _seed(typed.seed)
        answers |= {entry.path: seed for entry in form if entry.name == SEED}
    typed.answers = answers
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


def command_parser(name: str, help: str, form: Sequence[Entry], *, every: bool = True) -> Parser:
    """The parser of one command: a flag per entry, with a group for each nested dataclass.

    Args:
        name: of the command.
        help: what the command does.
        form: its entries.
        every: whether the help shows every option; False: only the common ones.
    """
    rest = f"{PROGRAM} {name} {HELP_ALL} shows all {len(_flagged(form))} options of this command."
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        usage=_usage(name, form),
        description=help,
        epilog=None if every else rest,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(HELP_ALL, action="help", help=argparse.SUPPRESS)
    parser.meanings = {_called(entry): entry.help for entry in form if entry.required}
    groups: dict[str, Any] = {"": parser}
    for entry in form:
        title = entry.path[-2] if len(entry.path) > 1 else ""
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        if entry.name != SEED:
            _add(groups[title], entry, every or entry.common or entry.required)
    _add_shared(parser, every)
    return parser


def _flagged(form: Sequence[Entry]) -> list[Entry]:
    """The entries with a flag of this command alone."""
    return [entry for entry in form if not entry.positional and entry.name != SEED]


def _called(entry: Entry) -> str:
    """The entry's name in messages of argparse."""
    return _metavar(entry) if entry.positional else "/".join(_names(entry))


def _names(entry: Entry) -> list[str]:
    return [entry.short, entry.flag] if entry.short else [entry.flag]


def _usage(name: str, form: Sequence[Entry]) -> str:
    """The usage line: required and positional arguments, then ``[options]``."""
    placed = [entry for entry in form if entry.positional]
    needed = [_metavar(e) if e.required else f"[{_metavar(e)}]" for e in placed]
    for entry in form:
        if entry.required and not entry.positional:
            needed += [entry.short or entry.flag, _metavar(entry)]
    return " ".join([PROGRAM, name, *needed, "[options]"])


def _add_shared(parser: Parser, every: bool) -> None:
    """Add the options of every command; the help shows all of them, or the first two."""
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
        f"{untrusted.MEMORY:g} GB)"
        if every
        else argparse.SUPPRESS,
    )
    shared.add_argument(
        "--keep-formulas",
        action="store_true",
        default=False,
        help="write texts that begin with = + - @ to .csv as they are (default: with a ' before "
        "them, so that a spreadsheet does not compute them)"
        if every
        else argparse.SUPPRESS,
    )
    shared.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=False,
        help="print more while working" if every else argparse.SUPPRESS,
    )


def _add(group: Any, entry: Entry, shown: bool) -> None:
    names, text = _names(entry), _help(entry) if shown else argparse.SUPPRESS
    if entry.kind is bool and not entry.many:
        group.add_argument(
            *names, dest=_key(entry), action="store_const", const=not entry.default, help=text
        )
        return
    rest: dict[str, Any] = {"help": text, "metavar": _metavar(entry)}
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
    if entry.kind is bool and not entry.many:
        return text
    silent = (None, "", (), False, dataclasses.MISSING)
    if entry.required or any(entry.default is value for value in silent) or "default" in text:
        return text
    return f"{text} (default: {entry.default})"


def _unexpected(
    parser: Parser, word: str, words: Sequence[str], form: Sequence[Entry]
) -> OptionError:
    """The error for a word that no argument takes."""
    if not word.startswith("-"):
        return OptionError(f"{word!r} is one word too many; see {parser.prog} --help")
    hint = meant_option(word, words, form, parser.flags)
    return OptionError(f"unknown option {word}; {hint or f'see {parser.prog} --help'}")
