"""Forms made from dataclasses: one entry per field, one group per nested dataclass.

The command line makes flags from the entries, other interfaces make widgets. The answers become the
dataclass again. An option that is added to a dataclass therefore appears in every interface, and
there is no second list of options.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lowerbound.config import finite, from_mapping, in_words, option, option_of, type_hints
from lowerbound.data.options import OnError as OnError, PlainReading
from lowerbound.errors import DataError, OptionError, unknown

Request = TypeVar("Request")
Path = tuple[str, ...]
PartOptions = Callable[[], Mapping[str, Mapping[str, Sequence[str]]]]

REQUIRED: Any = dataclasses.MISSING
"""The default of a required field."""


def unreadable() -> Any:
    """The field ``on_error`` of a request that reads pictures or texts from files."""
    return option_of(PlainReading, "on_error")


@dataclass(frozen=True, kw_only=True)
class DeviceRequest:
    """The option of an application whose model computes on any device."""

    device: str = option(
        "auto", "where the model computes: auto, cpu, cuda, cuda:N or mps", metavar="NAME"
    )


@dataclass(frozen=True)
class FolderRequest:
    """The options of an application that uses a fitted model on the processor."""

    model: str = option(REQUIRED, "model folder", positional=True, metavar="MODEL", reads="model")


@dataclass(frozen=True)
class ModelRequest(FolderRequest, DeviceRequest):
    """The options of an application that uses a fitted model on any device."""


@dataclass(frozen=True)
class FolderDataRequest(FolderRequest):
    """The options of an application that uses a fitted model on data, on the processor or where
    its options of training say."""

    data: str = option(
        REQUIRED, "data of the kind that the model was fitted on", positional=True, reads="data"
    )


@dataclass(frozen=True)
class DataRequest(FolderDataRequest, DeviceRequest):
    """The options of an application that uses a fitted model on data, on any device."""


@dataclass(frozen=True)
class PhotographsRequest:
    """The options of an application that has a model of its own for photographs."""

    model: str = option(
        REQUIRED,
        "model folder; may be left out for photographs",
        positional=True,
        metavar="MODEL",
        reads="model",
    )
    data: str = option(
        "", "data of the kind that the model was fitted on", positional=True, reads="data"
    )

    @property
    def named_model(self) -> str | None:
        """The model folder; None: the model that comes with the package."""
        return self.model if self.data else None  # a single argument is the data

    @property
    def source(self) -> str:
        """The data."""
        return self.data or self.model


_KINDS = (int, float, bool, str)
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True}
_BOOLEANS |= {"false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Entry:
    """One field of a form.

    Attributes:
        path: names from the outermost dataclass to the field: ("training", "epochs").
        kind: type of a value: bool, int, float or str.
        many: whether the field takes a tuple of values.
        default: default value; ``dataclasses.MISSING`` if the field is required.
        help: help text, one sentence.
        choices: allowed values; empty: any value of this kind.
        positional: whether the command takes it as a positional argument instead of a flag.
        short: a one-letter flag such as "-o", or "".
        metavar: name of the value in help texts.
        formerly: the old name of the field, or "".
        common: whether most people need it; the short help of a long command shows only these.
        reads: of a path that is read, whose it is: "data", which results neither replace nor join,
            or "model", a folder that lowerbound or a model library wrote; "": it reads none.
        writes: whether the value is a path that is written. One that is also read is kept for later
            runs, which share it.
        part_options: for an option such as ``--set``: gives the names of the options that it sets,
            by part and registered name ({"network": {"mlp": ("hidden",)}}); None: it sets none.
    """

    path: Path
    kind: type
    many: bool
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    positional: bool = False
    short: str = ""
    metavar: str = ""
    formerly: str = ""
    common: bool = False
    reads: str = ""
    writes: bool = False
    part_options: PartOptions | None = None

    @property
    def name(self) -> str:
        """The field's name."""
        return self.path[-1]

    @property
    def flag(self) -> str:
        """Its flag on the command line; a field named like a Python keyword ends in "_"."""
        return self._flag(self.name)

    @property
    def old_flag(self) -> str:
        """Its flag by the old name, or ""."""
        return self._flag(self.formerly) if self.formerly else ""

    def _flag(self, name: str) -> str:
        stem = name.rstrip("_").replace("_", "-")
        return f"--no-{stem}" if self.kind is bool and self.default is True else f"--{stem}"

    @property
    def called(self) -> str:
        """Its name in messages: the name of the positional argument, or the flag."""
        return (self.metavar or self.name.upper()) if self.positional else self.flag

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is dataclasses.MISSING

    @property
    def names_file(self) -> bool:
        """Whether it is an option whose value is the name of a file or a folder."""
        return bool(self.reads or self.writes) and not self.positional

    def of(self, request: Any) -> Any:
        """The value in ``request``."""
        for name in self.path:
            request = getattr(request, name)
        return request

    def parse(self, text: str) -> Any:
        """Parse a value.

        Raises:
            OptionError: the value is not of this kind, or not one of the choices.
        """
        if self.choices and text not in self.choices:
            raise unknown(f"value for {self.called}:", text, self.choices)
        try:
            return _BOOLEANS[text.lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError):
            raise OptionError(f"{self.called} takes {in_words(self.kind)}, not {text!r}") from None


def entries(cls: type[Any], path: Path = ()) -> list[Entry]:
    """One entry per field of ``cls`` that text can represent; mappings are left out.

    Fields that are keyword-only come last, because they are options of many classes.
    """
    found: list[Entry] = []
    hints = type_hints(cls)
    for field in sorted(dataclasses.fields(cls), key=lambda field: bool(field.kw_only)):
        if not field.metadata and field.default is None:  # a record, which a fit makes
            continue
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found += entries(hint, (*path, field.name))
        else:
            entry = _entry(field, hint, path)
            found += [entry] if entry else []
    return found


def answer(cls: type[Request], answers: Mapping[Path, Any]) -> Request:
    """Build the dataclass from the answers; other fields keep their defaults.

    Raises:
        DataError: a required answer is missing.
        OptionError: an answer is of the wrong kind.
    """
    for entry in entries(cls):
        if entry.required and entry.path not in answers:
            raise DataError(f"{entry.called} is missing: {entry.help}")
    nested: dict[str, Any] = {}
    for path, value in answers.items():
        place = nested
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = finite(value, f"--{path[-1].replace('_', '-')}")
    return from_mapping(cls, nested)


def typed(name: str, request: Any) -> str:
    """The command line that makes ``request``, without options at their defaults."""
    words = ["lowerbound", name]
    for entry in entries(type(request)):
        value = entry.of(request)
        if value != entry.default:
            words += _words(entry, value)
    return shlex.join(words)


def value_of(text: str) -> Any:
    """Parse a JSON value, or several with commas between them; anything else is text."""
    for json_text in (text, f"[{text}]"):
        try:
            value = json.loads(json_text)
        except (ValueError, RecursionError):
            continue
        return tuple(value) if isinstance(value, list) else value
    return text


def _words(entry: Entry, value: Any) -> list[str]:
    if entry.positional:
        return [str(value)]
    if entry.kind is bool:
        return [entry.flag]
    flag = entry.short or entry.flag
    return [word for item in (value if entry.many else [value]) for word in (flag, str(item))]


def _entry(field: dataclasses.Field[Any], hint: Any, path: Path) -> Entry | None:
    kind, many, choices = _kind(hint)
    if kind is None:
        return None
    metadata = field.metadata
    return Entry(
        path=(*path, field.name),
        kind=kind,
        many=many,
        default=_default(field),
        help=metadata.get("help", ""),
        choices=tuple(str(choice) for choice in metadata.get("choices", choices)),
        positional=metadata.get("positional", False),
        short=metadata.get("short", ""),
        metavar=metadata.get("metavar", ""),
        formerly=metadata.get("formerly", ""),
        common=metadata.get("common", False),
        reads=metadata.get("reads", ""),
        writes=metadata.get("writes", False),
        part_options=metadata.get("part_options"),
    )


def _kind(hint: Any) -> tuple[type | None, bool, tuple[Any, ...]]:
    """(kind of one value, whether many, choices); kind None if text cannot represent it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind(argument) for argument in arguments if argument is not type(None)]
        return next((kind for kind in kinds if kind[0]), (None, False, ()))
    if origin is tuple:
        kind, _, choices = _kind(arguments[0])
        return kind, True, choices
    if origin is typing.Literal:
        return type(arguments[0]), False, arguments
    return (hint if hint in _KINDS else None), False, ()


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@dataclass(frozen=True, kw_only=True)
class ResumableRequest:
    """The option of an application that keeps the results of finished parts."""

    resume: bool = option(
        False, "go on where the same command was interrupted, if it works part by part"
    )


PROCESSOR, ANY_DEVICE = "cpu", "auto"
"""Where the model of a request without the option ``device`` computes, such as that of a codec; and
the device of a request that gives none."""

LOCAL = "local"
"""The engine that is this process; the workers of another may have no GPU."""

RAY = "ray"


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """Where an application computes the parts of its work.

    Raises:
        OptionError: workers are requested of an engine that has none.
    """

    engine: typing.Literal["local", "ray"] = option(
        LOCAL, "what computes the parts of the work: local, this process; ray, workers"
    )
    workers: int = option(0, "workers of --engine ray, with one core each; 0: one for each core")
    address: str | None = option(
        None,
        "cluster of --engine ray, such as auto or ray://HOST:10001 (default: this machine)",
        metavar="ADDRESS",
    )

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise OptionError(f"workers is 0 or more, not {self.workers}")
        if self.engine == LOCAL and (self.workers or self.address):
            raise OptionError("workers and address are for engine=ray: set it, or leave them out")
        device = getattr(self, "device", PROCESSOR)
        if self.engine == RAY and device not in (ANY_DEVICE, PROCESSOR):
            raise OptionError("engine=ray computes on processors: leave device out")


@dataclass(frozen=True)
class DrawnRequest(ResumableRequest, EngineRequest):
    """The options of an application that draws rows part by part."""


@dataclass(frozen=True)
class PromptOptions:
    """What a conditional prior is given of each row."""

    label: bool = option(False, "the class of each row is known to the prior")
    attributes: str = option(
        "",
        "attributes of each row are known to the prior: a csv or parquet file with a column for "
        "each attribute and a row for each row of the data, in its order or with a column of its "
        "names; or 'data', if the .npz data holds factors",
        metavar="FILE",
        reads="data",
    )
    only: tuple[str, ...] = option(
        (), "use this attribute and no other; repeatable", metavar="NAME"
    )
    captions: str = option(
        "",
        "the prior learns to read captions: a .txt, csv or parquet file with one for each row; or "
        "a .json file of phrases, with which captions are made from the attributes; or 'names', "
        "for captions made from the names of the attributes",
        metavar="FILE",
        reads="data",
    )


FRAMES_PER_SECOND = 12.0
