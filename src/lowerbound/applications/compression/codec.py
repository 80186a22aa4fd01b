"""What a codec is: one way to put data into files of one kind, and to take it out again.

::

    request ──> serving(request, fitted) ──> codec.write ──> file(s)
    file ──> CODECS[its header's kind] ──> codec.decode, codec.decompress

A new codec is its file, which registers a class here, one line in this package's ``__init__`` and a
number in ``lowerbound.coding.files.header.KINDS``. The commands use codecs alone.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
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
        f"{name_of(fitted.model)} cannot compress: there are codecs for "
        f"{', and for '.join(codec.takes for codec in every)}"
    )


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
