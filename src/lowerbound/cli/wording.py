"""Messages in the words of the command line: flags in place of the names of Python arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

from lowerbound.applications.common.form import Entry
from lowerbound.errors import LowerboundError

ALONE = r"(?<![\w.'\"-])(?<!--set )"  # no part of another name, as in model.levels, nor quoted
ASSIGNED = re.compile(ALONE + r"(?P<name>\w+)=(?P<quote>['\"]?)(?P<value>[\w.:+-]*\w)(?P=quote)")
OF_WORDS = re.compile(ALONE + r"[a-z]+(?:_[a-z]+)+(?![\w.='])")
SUBJECT = re.compile(r"^\w+(?: and \w+)?(?= (?:is|are|must|takes)\b)")
LEFT = re.compile(r"(?<=\bleave )\w+(?= (?:out|at)\b)")
# which a command may lack
REMEDY = re.compile(r" \((?P<name>on_error|data_options|resize)=[^)]*\)")
SETTING = re.compile(r"(?P<place>(?:\w+\.)?(?P<name>[\w-]+))=")


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
    """The message with flags: ``batch_size`` becomes ``--batch-size``, and ``missing='model'``
    becomes ``--missing model``.

    An option of a part that was typed as a setting is named as typed, such as ``--set
    objective.beta``. A name that is both an option of the command and an option of a part is left
    as it is, unless it was typed as a flag.

    Args:
        message: of an error.
        form: the entries of the command.
        words: the words after the command.
    """
    entries = _named_options(form, words)
    names = {name: entry.flag for name, entry in entries.items()}
    for place, name in _typed_settings(form, words).items():
        message = message.replace(f"option '{name}'", place)
        names.setdefault(name, place)

    def named(found: re.Match[str]) -> str:
        return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), found[0])

    message = _assigned_by_flags(message, entries)
    for pattern in (SUBJECT, LEFT, OF_WORDS):
        message = pattern.sub(named, message)
    return message + _flag_instead(message, form, words)


def note_by_flags(note: str, form: Sequence[Entry], words: Sequence[str]) -> str:
    """A note with flags in place of assigned arguments: ``folds=0`` becomes ``--folds 0``."""
    return _assigned_by_flags(note, _named_options(form, words))


def _named_options(form: Sequence[Entry], words: Sequence[str]) -> dict[str, Entry]:
    """The options that a message means by their names."""
    given = {word.partition("=")[0] for word in words}
    of_parts = _options_of_parts(form)
    return {
        entry.name: entry
        for entry in form
        if not entry.positional
        and (entry.name not in of_parts or given & {entry.flag, entry.short})
    }


def _assigned_by_flags(message: str, entries: Mapping[str, Entry]) -> str:
    """The message with flags for assigned arguments, without remedies that the command lacks."""

    def assigned(found: re.Match[str]) -> str:
        entry = entries.get(found["name"])
        if entry is None:
            return found[0]
        return entry.flag if entry.kind is bool else f"{entry.flag} {found['value']}"

    message = REMEDY.sub(lambda found: found[0] if found["name"] in entries else "", message)
    return ASSIGNED.sub(assigned, message)


def _flag_instead(message: str, form: Sequence[Entry], words: Sequence[str]) -> str:
    """The flag to use if the unknown option of a part is an option of the command."""
    flags = {entry.name: entry.flag for entry in form if not entry.positional}
    for place, name in _typed_settings(form, words).items():
        if message.startswith(f"unknown {place} ") and name in flags:
            return f"; did you mean {flags[name]}?"
    return ""


def _options_of_parts(form: Sequence[Entry]) -> set[str]:
    """The names of all options that a setting of this command can have."""
    families: list[Mapping[str, Sequence[str]]] = []
    for entry in form:
        families += entry.part_options().values() if entry.part_options else ()
    return {name for parts in families for names in parts.values() for name in names}


def _typed_settings(form: Sequence[Entry], words: Sequence[str]) -> dict[str, str]:
    """The settings that were typed: "--set objective.beta" -> "beta"."""
    flags = {entry.flag for entry in form if entry.part_options is not None}
    found = {}
    for flag, word in pairwise(words):
        match = SETTING.match(word)
        if flag in flags and match:
            found[f"{flag} {match['place']}"] = match["name"].replace("-", "_")
    return found
