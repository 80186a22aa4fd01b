"""Interface of codecs, which write data into files of one kind and read them; their reports.

::

    request ──> serving(request, fitted) ──> codec.write ──> file(s)
    file ──> CODECS[its header's kind] ──> codec.decode, codec.decompress

To add a codec, write one file that registers a class here, with a line in ``CODECS`` and a number
in ``KINDS`` of ``header``. The commands use only codecs and have one report each, the same for
every codec. The exported model of a compressed file is found by the hash in its header.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lowerbound.applications.common.application import Report, Reporter, jsonable
from lowerbound.applications.compression.container import Container, open_container
from lowerbound.applications.compression.exported_models import FOLDER, ExportedModel, read_exported
from lowerbound.applications.compression.lossless import Progress
from lowerbound.applications.compression.requests import (
    PHOTOGRAPHS,
    CodecRequest,
    CompareRequest,
    CompressRequest,
)
from lowerbound.data.arrays import listed
from lowerbound.errors import BitstreamError, ModelFolderError, OptionError, UnsupportedError
from lowerbound.fitting.fitted import Fitted
from lowerbound.models.powers import name_of
from lowerbound.registry import Registry

SHOWN = 8  # names of files
LARGER, SMALLER = 0.95, 1.05  # bytes of the source over those written, between which both are equal
WORDS = ("what", "rate", "lines")  # fields left out of JSON, which has the numbers


@dataclass(frozen=True)
class CompressReport(Report):
    """Data was written as files.

    Attributes:
        files: paths; only the first few if there are many.
        files_written: number of files.
        bytes: total of all files.
        header_bytes: bytes of headers within that total.
        raw_bytes: bytes of the same numbers, uncompressed.
        codec: the model's name in the files.
        what: number of rows, pictures or clips, as text.
        rate: bits per number or pixel, or kbit/s, as text.
        lines: further lines of the text report.
        measures: these and further numbers of the codec, by their names in JSON.
        source_bytes: bytes of the files that were read; None if they hold other data too.
        seconds: time taken.
    """

    files: tuple[str, ...]
    files_written: int
    bytes: int
    header_bytes: int
    raw_bytes: int
    codec: str
    what: str
    rate: str
    lines: tuple[str, ...]
    measures: Mapping[str, Any]
    source_bytes: int | None = None
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        raw_bytes: int,
        what: str,
        rate: str,
        lines: Iterable[str],
        source_bytes: int | None = None,
        **measures: Any,
    ) -> CompressReport:
        """A report of the files at ``paths``, of one model."""
        files = [open_container(path) for path in paths]
        hashes = [file.header.model_hash for file in files]
        return cls(
            files=tuple(map(str, paths[:SHOWN])),
            files_written=len(files),
            bytes=sum(file.size for file in files),
            header_bytes=sum(file.overhead for file in files),
            raw_bytes=raw_bytes,
            codec=next(filter(any, hashes), hashes[0]).hex(),  # stored files have no model's
            what=what,
            rate=rate,
            lines=tuple(lines),
            measures=measures,
            source_bytes=source_bytes,
        )

    def text(self) -> str:
        first = (
            f"{self.what} in {self.bytes:,} bytes, {self.rate}, {self._times()}: "
            f"{listed(self.files, self.files_written)}"
        )
        return "\n".join((first, *self.lines))

    def _times(self) -> str:
        """How the sizes compare: with the source files, or else with the values as they are."""
        source = self.source_bytes is not None
        before = self.raw_bytes if self.source_bytes is None else self.source_bytes
        ratio = before / self.bytes
        if ratio < LARGER:
            words = f"{1 / ratio:.1f} times larger than"
        else:
            words = f"{ratio:.1f} times smaller than" if ratio > SMALLER else "about as large as"
        return f"{words} {'the source' if source else 'the values'} ({before:,} bytes)"

    def to_mapping(self) -> dict[str, Any]:
        fields = super().to_mapping()
        measures: dict[str, Any] = fields.pop("measures")
        left_out = WORDS if self.source_bytes is not None else (*WORDS, "source_bytes")
        return {name: fields[name] for name in fields if name not in left_out} | measures


@dataclass(frozen=True)
class CompareReport(Report):
    """Codecs compared on the same data.

    Attributes:
        measures: bytes and other measures, by their names in JSON.
        lines: the same as text.
    """

    measures: Mapping[str, Any]
    lines: tuple[str, ...]

    def text(self) -> str:
        return "\n".join(self.lines)

    def to_mapping(self) -> dict[str, Any]:
        return {name: jsonable(value) for name, value in self.measures.items()}


@dataclass(frozen=True)
class CodecRate:
    """One codec at one rate.

    Attributes:
        codec: its name.
        bytes: bytes it takes.
        measures: rate and quality, by their names in JSON.
        words: the same as the rest of a text line.
    """

    codec: str
    bytes: int
    measures: Mapping[str, Any]
    words: str

    def to_mapping(self) -> dict[str, Any]:
        """The numbers alone, for JSON."""
        return {"codec": self.codec, "bytes": self.bytes, **self.measures}


@dataclass(frozen=True)
class DecompressReport(Report):
    """Rows were decompressed and written.

    Attributes:
        rows: number of rows.
        files: paths; only the first few if there are many.
        files_written: number of files.
        seconds: time taken.
        of: name of a row in messages.
    """

    rows: int
    files: tuple[str, ...]
    files_written: int
    seconds: float
    of: str = "row"

    def text(self) -> str:
        several = "" if self.rows == 1 else "s"
        return f"{self.rows:,} {self.of}{several}: {listed(self.files, self.files_written)}"


def exported_for(file: Container, folder: Path) -> ExportedModel:
    """The copy that wrote a file.

    Raises:
        BitstreamError: the folder does not contain it.
        ModelFolderError: there is no such folder.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"there is no model folder {folder}")
    name = file.header.model_hash.hex()
    path = _copy(folder, name)
    if path.exists():
        return read_exported(path)
    if _copy(PHOTOGRAPHS, name).exists():
        raise BitstreamError(
            f"{file.name} was compressed without a model, with the codec of the package: leave "
            f"{folder} out, as in: lowerbound decompress FILE -o OUT"
        )
    raise BitstreamError(
        f"{file.name} was compressed with the codec {name}, and {folder} has none of that "
        "name; give the model folder that it was compressed with"
    )


def _copy(folder: Path, name: str) -> Path:
    return folder / FOLDER / f"{name}.safetensors"


@dataclass(frozen=True)
class Output:
    """Where decompressed data goes.

    Attributes:
        path: a file or a folder.
        is_folder: whether it is a folder. Its suffix does not show it, because folders are also
            named after subfolders and compressed files, whose names may have dots.
    """

    path: Path
    is_folder: bool


class Codec(ABC):
    """A method of writing data into compressed files.

    Attributes:
        takes: supported data and models, as text.
        unit: what it counts: row, picture or clip.
        options: the options it takes, besides ``on_error`` and ``seed``.
        alone: suffix of the output, if a file holds one item and the output is named after it;
            "" if a file holds many items.
        has_page: whether ``compare`` can write a page.
    """

    takes: ClassVar[str]
    unit: ClassVar[str] = "row"
    options: ClassVar[frozenset[str]] = frozenset()
    alone: ClassVar[str] = ""
    has_page: ClassVar[bool] = False

    @abstractmethod
    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        """Whether this codec handles the request's data with this model."""

    @abstractmethod
    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        """Write the data as files.

        Raises:
            UnsupportedError: a part of the model has no exact form.
            DataError: the data cannot be read, or is of another kind than the model's.
            OptionError: the request is invalid.
        """

    @abstractmethod
    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Any:
        """Decode a file, and check every number of it.

        Args:
            file: file of this codec's kind.
            folder: folder of the model that wrote it.
            progress: called with the units done.

        Raises:
            BitstreamError: the file is damaged, or was compressed with another model.
        """

    @abstractmethod
    def decompress(
        self, file: Container, folder: Path, output: Output, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        """Decode a file and write the result: (number of rows, pictures or clips; file names).

        Raises:
            BitstreamError: as in ``decode``.
            OptionError: the output's name is invalid; raised before decoding.
        """

    @abstractmethod
    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        """Compare the bytes of the data by this codec and by common codecs.

        Raises:
            UnsupportedError, DataError, OptionError: as in ``write``.
        """

    def refuse(self, request: CodecRequest) -> None:
        """Raise OptionError if the request has an option that this codec does not take."""
        for field in dataclasses.fields(request):
            name = field.name
            if name in NOT_FOR_ALL - self.options and getattr(request, name) != field.default:
                kinds = [kind for kind in CODECS if name in CODECS[kind].options]
                takers = ", or ".join(dict.fromkeys(CODECS[kind].takes for kind in kinds))
                raise OptionError(
                    f"--{name} is for {takers}; this is {self.takes}: leave --{name} out"
                )


PARTS = frozenset({"resume", "engine", "workers", "address"})
"""Options of a codec that works part by part."""
NOT_FOR_ALL = PARTS | {"part", "codebooks", "quality", "times", "bytes", "tune"}

CODECS: Registry[type[Codec]] = Registry(
    "kind of compressed data",
    "lowerbound.applications.compression",
    {
        "transform": "photographs",
        "transform_steps": "photographs",
        "stored": "photographs",
        "bits_back": "rows",
        "vector_quantized": "rows",
        "audio": "sound",
        "bits_back_tiles": "tiles",
    },
)
"""Codecs by the kind in a file's header. If two serve a request, the later one is used."""


def serving(request: CodecRequest, fitted: Fitted) -> Codec:
    """The codec for the request's data and this model.

    Raises:
        UnsupportedError: there is none.
        OptionError: the codec does not take an option of the request.
    """
    every = [CODECS[kind]() for kind in CODECS]
    for codec in reversed(every):
        if codec.serves(request, fitted):
            codec.refuse(request)
            return codec
    raise UnsupportedError(
        f"{name_of(fitted.model)} cannot compress: there are codecs for "
        f"{', and for '.join(dict.fromkeys(codec.takes for codec in every))}"
    )


def beside(source: Path, suffix: str) -> Path:
    """The source's name with another suffix.

    Raises:
        OptionError: this file exists already, or the source is a folder.
    """
    path = source.with_suffix(suffix)
    if source.is_dir() or path.exists():
        why = f"{source} is a folder" if source.is_dir() else f"{path} is there already"
        raise OptionError(f"name the output with -o: {why}")
    return path


def advancing(reporter: Reporter, task: str) -> Progress:
    """A callback that reports the progress of a task."""
    return lambda done, total: reporter.advance(task, done, total)
