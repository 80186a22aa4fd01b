"""What a person may ask of codecs. Options that a codec does not take are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lowerbound.applications.compression.shipped import PHOTOGRAPHS
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io.compressed_files import SUFFIX
from lowerbound.config import option
from lowerbound.errors import OptionError


@dataclass(frozen=True)
class CodecRequest:
    """What every use of a codec may say."""

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
        return self.model if self.data else None  # one word alone is the data

    @property
    def source(self) -> str:
        """The data."""
        return self.data or self.model


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
class DecompressRequest:
    """The rows of a file, please."""

    model: str = option(
        REQUIRED, "model folder; may be left out for photographs", positional=True, metavar="MODEL"
    )
    file: str = option("", "what compress wrote", positional=True, metavar="FILE")
    output: str = option(
        "",
        "a folder, .png sheet or .npz for pictures; a folder or .wav for sound; .csv, .parquet or "
        ".npz for other rows (default, for a photograph: a .png beside it)",
        short="-o",
        metavar="OUT",
    )

    @property
    def folder(self) -> Path:
        """The model folder, or that of the codec which comes with the package."""
        return Path(self.model) if self.file else PHOTOGRAPHS

    @property
    def source(self) -> Path:
        """The file, or a folder of such."""
        return Path(self.file or self.model)


@dataclass(frozen=True)
class VerifyRequest:
    """Is this file whole?"""

    file: str = option(REQUIRED, "what compress wrote", positional=True, metavar="FILE")
    model: str | None = option(None, "model folder: also decode all of it", metavar="MODEL")


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
