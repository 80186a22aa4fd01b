"""Options are frozen dataclasses that reject unknown keys; JSON and flags derive from them.

An option that gets a new name keeps its old one for a version: ``option(..., formerly="old")`` of a
dataclass, ``@renamed_keywords(old="new")`` of a function or a class with keyword arguments. The old
name works and is answered by one line with the new one.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from lowerbound.errors import OptionError, unknown

Options = TypeVar("Options")
Part = TypeVar("Part", bound=Callable[..., Any])


class RenamedWarning(UserWarning):
    """An option was given by the name that it had before."""


def option(default: Any, help: str, *, formerly: str = "", **metadata: Any) -> Any:
    """A dataclass field with the sentence that the command line shows for it.

    Args:
        default: its value where none is given.
        help: the sentence.
        formerly: the name that it had before, which still works.
        metadata: more for interfaces; see ``applications.form.Entry``.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "formerly": formerly, **metadata}
    )


def renamed_keywords(**renamed: str) -> Callable[[Part], Part]:
    """Decorate a function or a class: keyword arguments ``old="new"`` also work by the old name."""

    def decorate(part: Part) -> Part:
        if isinstance(part, type):
            part.__init__ = decorate(part.__init__)  # type: ignore[misc]
            return part

        @functools.wraps(part)
        def called(*arguments: Any, **keywords: Any) -> Any:
            return part(*arguments, **by_new_names(keywords, renamed))

        vars(called)["renamed"] = renamed
        return typing.cast(Part, called)

    return decorate


def renamed_of(part: Any) -> Mapping[str, str]:
    """New names of the keyword arguments of ``part`` by their old ones."""
    found: Mapping[str, str] = getattr(_function(part), "renamed", {})
    return found


def by_new_names(values: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """The values with each old name replaced; a ``RenamedWarning`` says the new one.

    Raises:
        OptionError: a value is given by both names.
    """
    for old in values.keys() & renamed.keys():
        if renamed[old] in values:
            raise OptionError(f"option {old!r} is the old name of {renamed[old]!r}: give one")
        warn_renamed(f"option {old!r}", repr(renamed[old]))
    return {renamed.get(name, name): value for name, value in values.items()}


def warn_renamed(old: str, new: str) -> None:
    """Say that ``old`` is ``new`` from now on."""
    warnings.warn(
        f"{old} is now called {new}; the old name works in this version only",
        RenamedWarning,
        stacklevel=3,
    )


@contextmanager
def old_names_in_silence() -> Iterator[None]:
    """Inside, old names raise no warning: they are from a file of an earlier version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWarning)
        yield


def from_mapping(cls: type[Options], mapping: Mapping[str, Any]) -> Options:
    """Build the frozen dataclass ``cls`` from JSON-like values; nested dataclasses included.

    Raises:
        OptionError: a key is not a field of ``cls`` (the nearest name is suggested), or a value has
            a type that the field does not take.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    old_names = {name: field.metadata.get("formerly") for name, field in fields.items()}
    renamed = {old: name for name, old in old_names.items() if old}
    values = {}
    for key, value in by_new_names(mapping, renamed).items():
        if key not in fields:
            raise unknown("option", key, fields)
        values[key] = _convert(hints[key], value, key)
    return cls(**values)


def to_mapping(options: Any) -> dict[str, Any]:
    """The JSON-like values of a dataclass, such that ``from_mapping`` restores it."""
    return {
        field.name: _plain(getattr(options, field.name)) for field in dataclasses.fields(options)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _convert(hint: Any, value: Any, key: str) -> Any:
    if hint is Any:
        return value
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, key)
    if origin is tuple and isinstance(value, (list, tuple)):
        arguments = typing.get_args(hint)
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) != len(value):
            raise OptionError(f"option {key!r} takes {len(kinds)} values, not {len(value)}")
        return tuple(_convert(kind, item, key) for kind, item in zip(kinds, value, strict=True))
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise unknown(f"value for option {key!r}:", value, map(str, typing.get_args(hint)))
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_mapping(hint, value)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or hint
    if isinstance(plain, type) and not (
        isinstance(value, plain)
        and (plain is bool or not isinstance(value, bool) or plain is object)
    ):
        raise OptionError(f"option {key!r} takes {plain.__name__}, not {value!r}")
    return value


def _convert_union(hints: tuple[Any, ...], value: Any, key: str) -> Any:
    if value is None and type(None) in hints:
        return None
    errors = []
    for hint in hints:
        if hint is type(None):
            continue
        try:
            return _convert(hint, value, key)
        except OptionError as error:
            errors.append(error)
    raise errors[0]


def construct(part: Any, *arguments: Any, options: Mapping[str, Any] | None = None) -> Any:
    """Call ``part(*arguments, **options)``, naming an option that it does not take.

    Raises:
        OptionError: an option is not a keyword of ``part`` (the nearest is suggested), or a value
            has a type that the keyword does not take.
    """
    keywords = [
        name
        for name, parameter in inspect.signature(part).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    hints = typing.get_type_hints(_function(part))
    values = {}
    for name, value in by_new_names(options or {}, renamed_of(part)).items():
        if name not in keywords:
            raise unknown(f"option of {part.__name__}", name, keywords)
        values[name] = _convert(hints[name], value, name)
    return part(*arguments, **values)


def _function(part: Any) -> Any:
    return part if inspect.isfunction(part) else part.__init__
