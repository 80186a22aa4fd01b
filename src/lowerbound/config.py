"""Options as frozen dataclasses that reject unknown keys; JSON and flags derive from them.

A renamed option keeps its old name for one version: use ``option(..., formerly="old")`` in a
dataclass, and ``@renamed_keywords(old="new")`` for a function or a class with keyword arguments.
The old name still works, with a warning that names the new one.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from lowerbound.errors import OptionError, unknown

Options = TypeVar("Options")
Part = TypeVar("Part", bound=Callable[..., Any])
Result = TypeVar("Result")
Fields = ParamSpec("Fields")


class RenamedWarning(UserWarning):
    """An option was given by its old name."""


def option(default: Any, help: str, *, formerly: str = "", **metadata: Any) -> Any:
    """A dataclass field with a help text for the command line.

    Args:
        default: default value.
        help: help text.
        formerly: old name, which still works; "": none.
        metadata: further attributes of ``applications.form.Entry``.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "formerly": formerly, **metadata}
    )


def option_of(record: Any, name: str, **changed: Any) -> Any:
    """The option ``name`` of the dataclass ``record``, for a field of another one.

    Args:
        record: has the option.
        name: of the option.
        changed: what differs there: the default, the help text or another argument of ``option``.
    """
    field = record.__dataclass_fields__[name]
    return option(**{"default": field.default, **field.metadata, **changed})


def keywords_of(
    record: Callable[Fields, Any],
) -> Callable[[Callable[..., Result]], Callable[Concatenate[Any, Fields], Result]]:
    """Decorator of a function ``(source, **options)`` that makes a dataclass of the options.

    Its signature names the fields of ``record``, with their types and defaults, for editors, type
    checkers and ``construct``; another keyword is a TypeError, as in any function.
    """
    fields = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(record).parameters.values()
    ]
    names = {parameter.name for parameter in fields}

    def decorate(
        function: Callable[..., Result],
    ) -> Callable[Concatenate[Any, Fields], Result]:
        @functools.wraps(function)
        def called(source: Any, **options: Any) -> Result:
            for name in options.keys() - names:
                raise TypeError(
                    f"{function.__name__}() got an unexpected keyword argument {name!r}"
                )
            return function(source, **options)

        signature = inspect.signature(function)
        parameters = [*signature.parameters.values()][:-1]  # without **options
        vars(called)["__signature__"] = signature.replace(parameters=[*parameters, *fields])
        hints = type_hints(record)
        types_of = {name: hints[name] for name in names}
        called.__annotations__ = {**called.__annotations__, **types_of}
        return typing.cast(Callable[Concatenate[Any, Fields], Result], called)

    return decorate


def renamed_keywords(**renamed: str) -> Callable[[Part], Part]:
    """Decorator of a function or class whose renamed keyword arguments keep their old names."""

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
    """Map the old names of the keyword arguments of ``part`` to their new names."""
    found: Mapping[str, str] = getattr(_function(part), "renamed", {})
    return found


def by_new_names(values: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """The values by their new names; each old name issues a ``RenamedWarning``.

    Raises:
        OptionError: a value is given by both names.
    """
    for old in values.keys() & renamed.keys():
        if renamed[old] in values:
            raise OptionError(f"option {old!r} is the old name of {renamed[old]!r}: give one")
        warn_renamed(f"option {old!r}", repr(renamed[old]))
    return {renamed.get(name, name): value for name, value in values.items()}


def warn_renamed(old: str, new: str) -> None:
    """Warn that ``old`` is now called ``new``."""
    warnings.warn(
        f"{old} is now called {new}; the old name works in this version only",
        RenamedWarning,
        stacklevel=3,
    )


@contextmanager
def old_names_in_silence() -> Iterator[None]:
    """Context in which old names raise no warning, for files of an earlier version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWarning)
        yield


def from_mapping(cls: type[Options], mapping: Mapping[str, Any]) -> Options:
    """Build the frozen dataclass ``cls``, with its nested dataclasses, from JSON-like values.

    The value of a field ``Annotated[KIND, check]`` is given to ``check``, which raises a TypeError
    or a ValueError if it is none.

    Raises:
        OptionError: a key is not a field of ``cls`` (the message suggests the nearest name), or a
            value has a wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = type_hints(typing.cast(Any, cls))
    old_names = {name: field.metadata.get("formerly") for name, field in fields.items()}
    renamed = {old: name for name, old in old_names.items() if old}
    values = {}
    for key, value in by_new_names(mapping, renamed).items():
        if key not in fields:
            raise unknown("option", key, fields)
        values[key] = _convert(hints[key], value, key)
    return cls(**values)


def to_mapping(options: Any) -> dict[str, Any]:
    """The JSON-like values of a dataclass, from which ``from_mapping`` restores it."""
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
    if origin is typing.Annotated:
        kind, *checks = typing.get_args(hint)
        converted = _convert(kind, value, key)
        for check in checks:
            try:
                check(converted)
            except (TypeError, ValueError) as error:
                raise OptionError(f"option {key!r} does not take {value!r}: {error}") from error
        return converted
    if origin in (typing.Union, types.UnionType):
        return _convert_union(hint, value, key)
    if origin is tuple and isinstance(value, (list, tuple)):
        arguments = typing.get_args(hint)
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) != len(value):
            raise _wrong_type(hint, value, key)
        try:
            return tuple(_convert(kind, item, key) for kind, item in zip(kinds, value, strict=True))
        except OptionError:
            raise _wrong_type(hint, value, key) from None
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise unknown(f"value for option {key!r}:", value, map(str, typing.get_args(hint)))
        return value
    if origin is Mapping and isinstance(value, Mapping):
        kind = typing.get_args(hint)[1]
        return {name: _convert(kind, item, key) for name, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_mapping(hint, value)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or hint
    if isinstance(plain, type) and not (
        isinstance(value, plain)
        and (plain is bool or not isinstance(value, bool) or plain is object)
    ):
        raise _wrong_type(hint, value, key)
    return value


def _wrong_type(hint: Any, value: Any, key: str) -> OptionError:
    shown = list(value) if isinstance(value, tuple) else value
    words = repr(shown)
    words = words if len(words) <= SHOWN else words[:SHOWN] + "..."
    return OptionError(f"option {key!r} takes {in_words(hint)}, not {words}")


def in_words(hint: Any) -> str:
    """The values of a type in words, such as "three whole numbers, such as [200,200,200]"."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(in_words(kind) for kind in arguments if kind is not type(None))
    if typing.get_origin(hint) is tuple:
        example = json.dumps(_example(hint), separators=(",", ":"))
        return f"{_tuple_in_words(arguments)}, such as {example}"
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, arguments))
    return _WORDS[hint][0] if hint in _WORDS else str(getattr(hint, "__name__", hint))


def _tuple_in_words(kinds: tuple[Any, ...]) -> str:
    """How many values a tuple has, and of which kinds."""
    if kinds[-1] is not ... and len(set(kinds)) > 1:
        return "(" + ", ".join(map(in_words, kinds)) + ")"
    of_tuples = typing.get_origin(kinds[0]) is tuple
    each = _tuple_in_words(typing.get_args(kinds[0])) if of_tuples else in_words(kinds[0])
    many = _WORDS[kinds[0]][1] if kinds[0] in _WORDS else f"values, each {each}"
    return many if kinds[-1] is ... else f"{_NUMBERS.get(len(kinds), len(kinds))} {many}"


def _example(hint: Any) -> Any:
    """An example of the values of a type."""
    if typing.get_origin(hint) is not tuple:
        return _EXAMPLES.get(hint, "a")
    kinds = typing.get_args(hint)
    return [_example(kind) for kind in (kinds[:1] * 2 if kinds[-1] is ... else kinds)]


_WORDS: Mapping[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "values true or false"),
    str: ("text", "texts"),
}
_EXAMPLES: Mapping[Any, Any] = {int: 200, float: 0.5, bool: True}
SHOWN = 300  # characters of a wrong value in a message
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def _convert_union(union: Any, value: Any, key: str) -> Any:
    hints = typing.get_args(union)
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
    raise errors[0] if len(errors) == 1 else _wrong_type(union, value, key)


def construct(part: Any, *arguments: Any, options: Mapping[str, Any] | None = None) -> Any:
    """Call ``part(*arguments, **options)`` after checking names and types of the options.

    Raises:
        OptionError: an option is not a keyword of ``part`` (the message suggests the nearest name),
            or a value has a wrong type.
    """
    keywords = _keywords(part)
    hints = type_hints(_function(part))
    values = {}
    for name, value in by_new_names(options or {}, renamed_of(part)).items():
        if name not in keywords:
            raise unknown(f"option of {part.__name__}", name, keywords)
        values[name] = finite(_convert(hints[name], value, name), f"option {name!r}")
    return part(*arguments, **values)


def options_of(part: Any) -> list[str]:
    """The names of the options of a part: the fields of a dataclass, or keyword-only arguments."""
    if dataclasses.is_dataclass(part):
        return [field.name for field in dataclasses.fields(part)]
    return _keywords(part)


def _keywords(part: Any) -> list[str]:
    return [
        name
        for name, parameter in inspect.signature(part).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def finite(value: Any, name: str) -> Any:
    """The value of an option, which holds neither NaN nor infinities.

    Args:
        value: of the option.
        name: of the option, as the message has it.

    Raises:
        OptionError: it does.
    """
    if isinstance(value, tuple | list):
        for item in value:
            finite(item, name)
    if isinstance(value, float) and not math.isfinite(value):
        raise OptionError(f"{name} takes a finite number, not {value!r}")
    return value


def type_hints(part: Any) -> Mapping[str, Any]:
    """The types of fields or arguments; they are text, which takes time to read.

    Those of a dataclass are read one by one when they are looked up. Its module may therefore
    import the types of records by ``lowerbound.registry.public_names``.
    """
    return _type_hints(part)


@functools.cache
def _type_hints(part: Any) -> Mapping[str, Any]:
    fields = dataclasses.is_dataclass(part)
    return _Hints(part) if fields else typing.get_type_hints(part, include_extras=True)


class _Hints(dict[str, Any]):
    def __init__(self, part: Any) -> None:
        super().__init__()
        self._part = part

    def __missing__(self, name: str) -> Any:
        kind = next(kind for kind in self._part.__mro__ if name in vars(kind).get(_WRITTEN, ()))
        module = sys.modules.get(kind.__module__)
        named = types.SimpleNamespace(**{_WRITTEN: {name: vars(kind)[_WRITTEN][name]}})
        found = typing.get_type_hints(
            named, {} if module is None else vars(module), _Given(module), include_extras=True
        )
        return self.setdefault(name, found[name])


class _Given(dict[str, Any]):
    """The names of a module, those that it imports on use included."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, name: str) -> Any:
        try:
            return getattr(self._module, name)
        except AttributeError:
            raise KeyError(name) from None


_WRITTEN = "__annotations__"


def _function(part: Any) -> Any:
    return part if inspect.isfunction(part) else part.__init__
