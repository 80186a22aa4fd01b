"""Flags from the entries of a form, a request from the flags that were typed, and near misses.

What an unknown command or option may have meant is found by its meaning, by parts, by its spelling.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lowerbound import untrusted
from lowerbound.applications import APPLICATIONS, request_of
from lowerbound.applications.common.form import Entry, entries
from lowerbound.config import warn_renamed
from lowerbound.errors import OptionError

LISTS_PARTS = "fit"  # the command whose help lists the registered parts
FAMILIES = ("model", "network", "likelihood", "prior", "posterior", "objective")  # of these parts
MOST_PARTS = 3  # that a message names
NEAR, NEAREST = 0.7, 0.8  # likeness of spellings; the two dashes alone are a part of it
DEVICES: Mapping[str, str] = {  # what --device takes, by words that may be typed instead
    **dict.fromkeys(("gpu", "cuda"), "cuda"),
    **dict.fromkeys(("cpu", "processor"), "cpu"),
    **dict.fromkeys(("mps", "metal"), "mps"),
    **dict.fromkeys(("accelerator", "devices", "device"), "auto"),
}

# Words of the field that spelling does not lead from to the name here.
COMMANDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "learn", "build"), "fit"),
    **dict.fromkeys(("generate", "draw"), "sample"),
    **dict.fromkeys(("eval", "test", "score", "measure"), "evaluate"),
    **dict.fromkeys(("embed", "transform", "codes"), "encode"),
    **dict.fromkeys(("recon", "rebuild", "autoencode"), "reconstruct"),
    **dict.fromkeys(("anomaly", "anomalies", "outliers"), "detect"),
    **dict.fromkeys(("fill", "inpaint", "complete"), "impute"),
    **dict.fromkeys(("zip", "pack"), "compress"),
    **dict.fromkeys(("unzip", "unpack"), "decompress"),
    **dict.fromkeys(("show", "describe", "inspect", "summary"), "info"),
    **dict.fromkeys(("morph", "walk", "traverse"), "interpolate"),
    **dict.fromkeys(("regress", "forecast"), "predict"),
}
OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("lr", "rate", "step_size"), "learning_rate"),
    **dict.fromkeys(("latents", "z", "z_dim", "zdim", "z_size", "code_size", "dim"), "latent_dim"),
    **dict.fromkeys(("bs", "minibatch"), "batch_size"),
    **dict.fromkeys(("target", "y", "class", "labels"), "label"),
    **dict.fromkeys(("arch", "architecture", "encoder", "decoder"), "network"),
    **dict.fromkeys(("kl_weight", "kl"), "beta"),
    **dict.fromkeys(("n", "count", "num"), "number"),
    **dict.fromkeys(("k", "iwae"), "samples"),
    **dict.fromkeys(("loss",), "objective"),
    **dict.fromkeys(("val", "dev", "validation_split"), "validation"),
    **dict.fromkeys(("holdout", "test_size", "test_split"), "test"),
    **dict.fromkeys(("early_stopping",), "patience"),
    **dict.fromkeys(("force", "replace"), "overwrite"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    **dict.fromkeys(("jobs", "workers", "num_workers", "cores"), "threads"),
    **dict.fromkeys(("random_state",), "seed"),
    **dict.fromkeys(("size", "resolution"), "image_size"),
    **dict.fromkeys(("time_limit", "max_time"), "minutes"),
    **dict.fromkeys(("steps", "iterations"), "updates"),
    **dict.fromkeys(("units",), "hidden"),
}
PROGRAM = "lowerbound"
SEED = "seed"
LARGEST_SEED = 2**32 - 1  # of numpy
FEW = 15  # options that --help shows all; of more it shows the common ones
HELP_ALL = "--help-all"


def meant_command(word: str) -> str:
    """What to do instead of the unknown command ``word``."""
    known = COMMANDS.get(word.lower())
    if known is None and (found := _listed_parts(word.lower())):
        return found
    close = [known] if known else difflib.get_close_matches(word, list(APPLICATIONS), 1, 0.5)
    return f"did you mean: lowerbound {close[0]}?" if close else "see lowerbound --help"


def _listed_parts(word: str) -> str:
    """Where the parts are listed whose family is ``word``, such as models; "" if it is none."""
    family = word.removesuffix("s")
    if family not in FAMILIES:
        return ""
    form = {entry.name: entry for entry in entries(request_of(LISTS_PARTS))}
    return (
        f"lowerbound {LISTS_PARTS} --help-all lists what {form[family].flag} takes: "
        f"{', '.join(form[family].choices)}"
    )


def meant_option(
    word: str, words: Sequence[str], form: Sequence[Entry], flags: Sequence[str]
) -> str:
    """What to do instead of the unknown option ``word``; "" if nothing is near it.

    Args:
        word: the option, with its value if one follows after "=".
        words: all words after the command.
        form: the entries of the command.
        flags: all flags of the command.
    """
    flag, equals, value = word.partition("=")
    name = flag.lstrip("-").replace("-", "_").lower()
    if name in DEVICES:
        if "--device" not in flags:
            return "this command computes on the processor"
        return f"did you mean --device {DEVICES[name]}?"
    settings = _settings(form)
    meant = OPTIONS.get(name, "")
    by_name = {entry.flag.removeprefix("--").replace("-", "_"): entry.flag for entry in form}
    if meant in by_name:
        return f"did you mean {by_name[meant]}?"
    for setting in (name, meant):
        if setting in settings:
            return _as_setting(settings[setting], value if equals else _after(word, words))
    for known, cutoff in ((flags, NEAREST), (list(settings), NEAREST), (flags, NEAR)):
        if close := difflib.get_close_matches(flag if known is flags else name, known, 1, cutoff):
            if known is flags:
                return f"did you mean {close[0]}?"
            return _as_setting(settings[close[0]], value if equals else _after(word, words))
    return ""


def _settings(form: Sequence[Entry]) -> dict[str, dict[str, list[str]]]:
    """The options of parts: name -> {what is typed after --set: the parts that have it}."""
    found: dict[str, dict[str, list[str]]] = {}
    for entry in form:
        if entry.part_options is None:
            continue
        for family, parts in entry.part_options().items():
            for part, names in parts.items():
                for name in names:
                    typed = f"{entry.flag} {family}.{name}" if family else f"{entry.flag} {name}"
                    found.setdefault(name, {}).setdefault(typed, []).append(part)
    return found


def _as_setting(found: Mapping[str, Sequence[str]], value: str) -> str:
    """The settings that an option may have meant, with the parts that have it."""
    shown = [
        f"{typed}={value}" + (f" (of {', '.join(parts)})" if len(parts) <= MOST_PARTS else "")
        for typed, parts in found.items()
    ]
    return f"did you mean {' or '.join(shown[:MOST_PARTS])}?"


def _after(word: str, words: Sequence[str]) -> str:
    """The value that follows an option."""
    following = words[words.index(word) + 1 :] if word in words else ()
    return following[0] if following and not following[0].startswith("--") else "VALUE"


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
        text = typed.seed
        if not text.isdecimal():
            raise OptionError(f"--seed takes a whole number from 0 up, not {text!r}")
        if len(text) > 20 or int(text) > LARGEST_SEED:
            raise OptionError(f"--seed takes a whole number from 0 to {LARGEST_SEED:,}, not {text}")
        seed = int(text)
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
