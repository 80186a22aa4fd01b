"""What a codec is: one way to put data into files of one kind, and to take it out again.

::

    request ──> serving(request, fitted) ──> codec.write ──> file(s)
    file ──> CODECS[its header's kind] ──> codec.decode, codec.decompress

A new codec is its file, which registers a class here, one line in this package's ``__init__`` and a
number in ``lowerbound.coding.files.header.KINDS``. The commands ask codecs alone.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from lowerbound.applications.base import Report, Reporter, jsonable
from lowerbound.applications.compression.shipped import PHOTOGRAPHS
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io.compressed_files import SUFFIX
from lowerbound.coding.files.container import Container
from lowerbound.coding.lossless import Progress
from lowerbound.config import option
from lowerbound.data.arrays import listed
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import Fitted
from lowerbound.registry import Registry

SHOWN = 8  # names of files
WORDS = ("what", "rate", "lines")  # of a report, which JSON has as numbers


@dataclass(frozen=True)
class CodecRequest:
    """What every use of a codec may say. Options that a codec does not take are refused."""

    model: str = option(
        REQUIRED, "model folder; may be left out for photographs", positional=True, metavar="MODEL"
    )
    data: str = option("", "data of the kind it was fitted on", positional=True)
    output: str = option("", "what is written", short="-o", metavar="OUT")
    part: Literal["all", "test"] = option(
        "all", "all rows, or those that were set aside when the model was fitted"
    )
    on_error: Literal["raise", "skip"] = option("raise", "pictures that cannot be read")
    seed: int = option(0, "of the bits, where grey values become bits")
    codebooks: int | None = option(
        None, "of a model with several codebooks, how many to use: fewer take less (default: all)"
    )

    @property
    def named_model(self) -> str | None:
        """The model folder; None: the codec that comes with the package."""
        return named_first(self.model, self.data)[0]

    @property
    def source(self) -> str:
        """The data."""
        return named_first(self.model, self.data)[1]


@dataclass(frozen=True)
class CompressRequest(CodecRequest):
    """Rows as a small file, please."""

    output: str = option(
        "",
        "the file, NAME.lbz (default, for a photograph: beside it); a folder for a folder of them",
        short="-o",
        metavar="OUT",
    )
    quality: int | None = option(
        None, "of pictures by a transform coder, 0 to 100 (default: 50)", metavar="Q"
    )
    times: float | None = option(None, "alike: how many times smaller at least", metavar="X")
    bytes: int | None = option(None, "alike: bytes of a picture's file at most", metavar="N")


@dataclass(frozen=True)
class CompareRequest(CodecRequest):
    """What is this model worth as a codec?"""

    output: str = option(
        "",
        "of pictures by a transform coder, and of sound: a page NAME.html to look at or listen to",
        short="-o",
        metavar="OUT",
    )
    codebooks: int | None = option(
        None,
        "of a model with several codebooks, how many to use (default: all; of sound also half)",
    )


@dataclass(frozen=True)
class CompressReport(Report):
    """Data was written as files.

    Attributes:
        files: where; the first few where there are many.
        files_written: how many files there are.
        bytes: of all files.
        raw_bytes: of the same numbers as they are.
        codec: the model's name in the files.
        what: how many rows, pictures or clips, in words.
        rate: bytes per number, pixel or second, in words.
        measures: these and what else the codec counts, by the names that JSON has.
        lines: what else to read.
        seconds: it took.
    """

    files: tuple[str, ...]
    files_written: int
    bytes: int
    raw_bytes: int
    codec: str
    what: str
    rate: str
    measures: Mapping[str, Any]
    lines: tuple[str, ...]
    seconds: float = 0.0

    def text(self) -> str:
        first = (
            f"{self.what} in {self.bytes:,} bytes, {self.rate}, "
            f"{self.raw_bytes / self.bytes:.1f} times smaller: "
            f"{listed(self.files, self.files_written)}"
        )
        return "\n".join((first, *self.lines))

    def to_mapping(self) -> dict[str, Any]:
        fields = super().to_mapping()
        measures: dict[str, Any] = fields.pop("measures")
        return {name: fields[name] for name in fields if name not in WORDS} | measures


@dataclass(frozen=True)
class CompareReport(Report):
    """Codecs beside each other on the same data.

    Attributes:
        measures: bytes and what else was measured, by the names that JSON has.
        lines: the same to read.
    """

    measures: Mapping[str, Any]
    lines: tuple[str, ...]

    def text(self) -> str:
        return "\n".join(self.lines)

    def to_mapping(self) -> dict[str, Any]:
        return {name: jsonable(value) for name, value in self.measures.items()}


class Codec(ABC):
    """One way to put data into files.

    Attributes:
        takes: data and models, in words.
        unit: what it counts: rows, pictures or clips.
        options: of a request's, those that it takes besides ``on_error`` and ``seed``.
        alone: suffix of what a file holds, where it holds one thing and that is named after the
            file; "": a file holds many.
        has_page: whether ``compare`` writes a page where one is named.
    """

    takes: ClassVar[str]
    unit: ClassVar[str] = "row"
    options: ClassVar[frozenset[str]] = frozenset()
    alone: ClassVar[str] = ""
    has_page: ClassVar[bool] = False

    @abstractmethod
    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        """Whether the request's data, by this model, is for this codec."""

    @abstractmethod
    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        """Write the data as files.

        Raises:
            UnsupportedError: a part of the model has no exact form.
            DataError: the data cannot be read, or is of another kind than the model's.
            OptionError: the request makes no sense.
        """

    @abstractmethod
    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Any:
        """What a file holds, every number of it checked.

        Args:
            file: of this codec's kind.
            folder: of the model that wrote it.
            progress: hears of the units done.

        Raises:
            BitstreamError: it is damaged, or was compressed with another model.
        """

    @abstractmethod
    def decompress(
        self, file: Container, folder: Path, output: Path, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        """Write what a file holds: (how many rows, pictures or clips, the files' names).

        Raises:
            BitstreamError: as of ``decode``.
            OptionError: the output's name makes no sense; said before anything is decoded.
        """

    @abstractmethod
    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        """Bytes of the data by this codec and by those that everybody has.

        Raises:
            UnsupportedError, DataError, OptionError: as of ``write``.
        """

    def refuse(self, request: CodecRequest) -> None:
        """Raise OptionError where the request has an option that this codec does not take."""
        for field in dataclasses.fields(request):
            name = field.name
            if name in NOT_FOR_ALL - self.options and getattr(request, name) != field.default:
                takers = [CODECS[kind].takes for kind in CODECS if name in CODECS[kind].options]
                raise OptionError(
                    f"--{name} is for {', or '.join(takers)}; this is {self.takes}: leave --{name} "
                    "out"
                )


NOT_FOR_ALL = frozenset({"part", "codebooks", "quality", "times", "bytes"})

CODECS: Registry[type[Codec]] = Registry("kind of compressed data")
"""By the kind in a file's header; of two that serve a request, the one that came last is taken."""


def serving(request: CodecRequest, fitted: Fitted) -> Codec:
    """The codec of the data by this model, ready for the request's options.

    Raises:
        UnsupportedError: there is none.
        OptionError: it does not take an option of the request.
    """
    every = [CODECS[kind]() for kind in CODECS]
    for codec in reversed(every):
        if codec.serves(request, fitted):
            codec.refuse(request)
            return codec
    raise UnsupportedError(
        f"{type(fitted.model).__name__} cannot compress: there are codecs for "
        f"{', and for '.join(codec.takes for codec in every)}"
    )


def named_first(first: str, second: str) -> tuple[str | None, str]:
    """(the model folder, if one is named, and what it is for): one word alone is the latter."""
    return (first, second) if second else (None, first)


def folder_of(named: str | None) -> Path:
    """The model folder, or that of the codec which comes with the package."""
    return PHOTOGRAPHS if named is None else Path(named)


def output_file(request: CompressRequest) -> Path:
    """The one file that is to be written.

    Raises:
        OptionError: it has no name, or one of another suffix.
    """
    if not request.output:
        raise OptionError("name the file with -o")
    path = Path(request.output)
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"{path}: compressed data is written as NAME{SUFFIX}")
    return path


def beside(source: Path, suffix: str) -> Path:
    """The source's name with another suffix, where there is no such file yet.

    Raises:
        OptionError: there is, or the source is a folder.
    """
    path = source.with_suffix(suffix)
    if source.is_dir() or path.exists():
        why = f"{source} is a folder" if source.is_dir() else f"{path} is there already"
        raise OptionError(f"name the output with -o: {why}")
    return path


def advancing(reporter: Reporter, task: str) -> Progress:
    """Tells a reporter of what is done of a task."""
    return lambda done, total: reporter.advance(task, done, total)
