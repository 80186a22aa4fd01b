"""Messages in the words of the command line: flags in place of the names of Python arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from lowerbound.applications.form import Entry
from lowerbound.errors import LowerboundError

# neither a part of another name, as in model.levels, nor quoted
_BEFORE = r"(?<![\w.'\"-])"
_SETTING = re.compile(r"(?P<part>(?:\w+\.)?(?P<name>[\w-]+))=")


@contextmanager
def flags_in_messages(form: Sequence[Entry], words: Sequence[str]) -> Iterator[None]:
    """Context whose errors name options as they are typed.

    Args:
        form: the entries of the command.
        words: the words after the command.
    """
    try:
        yield
    except LowerboundError as error:
        error.args = (by_flags(str(error), form, words), *error.args[1:])
        raise


def by_flags(message: str, form: Sequence[Entry], words: Sequence[str]) -> str:
    """The message with ``batch_size`` as ``--batch-size`` and ``missing='model'`` as ``--missing
    model``; options of parts that were typed as settings are named as typed.

    A name that is also an option of a part stays as it is, unless it was typed as a flag.

    Args:
        message: of an error.
        form: the entries of the command.
        words: the words after the command.
    """
    flags = {word.partition("=")[0] for word in words}
    typed = {entry.name for entry in form if flags & {entry.flag, entry.short}}
    of_parts = _options_of_parts(form) - typed
    for place, name in _typed_settings(form, words).items():
        message = re.sub(rf"option '{name}'|(?<![\w.]){name}(?= must\b)", place, message)
    for entry in form:
        if not entry.positional and entry.name not in of_parts:
            message = _by_flag(message, entry)
    return message


def _by_flag(message: str, entry: Entry) -> str:
    name, flag = re.escape(entry.name), entry.flag
    assigned = rf"{_BEFORE}(?<!--set ){name}=(?P<quote>['\"]?)(?P<value>[\w.+-]*\w)(?P=quote)"
    value = "" if entry.kind is bool and not entry.many else r" \g<value>"
    message = re.sub(assigned, f"{flag}{value}", message)
    if "_" in entry.name:
        return re.sub(rf"{_BEFORE}{name}(?![\w.='])", flag, message)
    return re.sub(rf"^{name}(?= (?:is|are|must|takes)\b)", flag, message)


def _options_of_parts(form: Sequence[Entry]) -> set[str]:
    """The names of all options that a setting of this command can have."""
    return {
        name
        for entry in form
        if entry.part_options is not None
        for parts in entry.part_options().values()
        for names in parts.values()
        for name in names
    }


def _typed_settings(form: Sequence[Entry], words: Sequence[str]) -> dict[str, str]:
    """The settings that were typed: "--set objective.beta" -> "beta"."""
    flags = {entry.flag for entry in form if entry.part_options is not None}
    found = {}
    for flag, word in pairwise(words):
        match = _SETTING.match(word)
        if flag in flags and match:
            found[f"{flag} {match['part']}"] = match["name"].replace("-", "_")
    return found
