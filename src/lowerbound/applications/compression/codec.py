"""Interface of codecs. A codec writes data into files of one kind, and reads them.

::

    request ──> serving(request, fitted) ──> codec.write ──> file(s)
    file ──> CODECS[its header's kind] ──> codec.decode, codec.decompress

To add a codec, write one file that registers a class here. Add one line to this package's
``__init__`` and a number to ``lowerbound.coding.files.header.KINDS``. The commands use only codecs.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.reports import CompareReport, CompressReport
from lowerbound.applications.compression.requests import (
    CodecRequest,
    CompareRequest,
    CompressRequest,
)
from lowerbound.coding.files.container import Container
from lowerbound.coding.lossless import Progress
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import Fitted
from lowerbound.models import name_of
from lowerbound.registry import Registry


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

CODECS: Registry[type[Codec]] = Registry("kind of compressed data")
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
