"""The requests of codecs. Options that a codec does not take are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lowerbound.applications.common.form import (
    REQUIRED,
    EngineRequest,
    OnError,
    PhotographsRequest,
    ResumableRequest,
    unreadable,
)
from lowerbound.config import option
from lowerbound.errors import OptionError

SUFFIX = ".lbz"
PHOTOGRAPHS = Path(__file__).parents[2] / "shipped" / "photographs"
"""The model folder of the codec of photographs."""
Tune = Literal["ssim", "psnr"]


@dataclass(frozen=True)
class CodecRequest(PhotographsRequest):
    """Options that all codec commands share."""

    output: str = option("", "file or folder to write", short="-o", metavar="OUT", writes=True)
    part: Literal["all", "test"] = option(
        "all", "all rows, or those that were set aside when the model was fitted"
    )
    on_error: OnError = unreadable()
    seed: int = option(0, "seed of the bits, if grey values become bits")
    codebooks: int | None = option(
        None,
        "number of codebooks to use of a model with several; fewer take fewer bytes (default: all)",
    )
    tune: Literal["ssim", "psnr"] = option(
        "ssim",
        "pictures by a transform coder: ssim keeps weak texture, which people see; psnr has the "
        "least squared error",
    )


@dataclass(frozen=True)
class CompressRequest(CodecRequest, ResumableRequest, EngineRequest):
    """Write rows as a small file."""

    output: str = option(
        "",
        "the file NAME.lbz (default for a photograph: beside it), or a folder for a folder of "
        "pictures",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    quality: int | None = option(
        None, "quality of pictures by a transform coder, 0 to 100 (default: 50)", metavar="Q"
    )
    times: float | None = option(
        None,
        "pictures by a transform coder: at least X times smaller than a byte per pixel and color",
        metavar="X",
    )
    bytes: int | None = option(
        None, "pictures by a transform coder: at most N bytes per file", metavar="N"
    )


@dataclass(frozen=True)
class CompareRequest(CodecRequest):
    """Compare a model with other codecs."""

    output: str = option(
        "",
        "page NAME.html that shows pictures by a transform coder, or plays sound, beside "
        "other codecs",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    codebooks: int | None = option(
        None,
        "number of codebooks to use of a model with several (default: all; for sound also half)",
    )


@dataclass(frozen=True)
class DecompressRequest:
    """Read the rows of a compressed file."""

    model: str = option(
        REQUIRED,
        "model folder; may be left out for photographs",
        positional=True,
        metavar="MODEL",
        reads="model",
    )
    file: str = option(
        "", "file that compress wrote", positional=True, metavar="FILE", reads="data"
    )
    output: str = option(
        "",
        "a folder, .png sheet or .npz for pictures; a folder or .wav for sound; .csv, .parquet or "
        ".npz for other rows (default, for a photograph: a .png beside it)",
        short="-o",
        metavar="OUT",
        writes=True,
    )

    @property
    def folder(self) -> Path:
        """The model folder, or that of the codec in the package."""
        return Path(self.model) if self.file else PHOTOGRAPHS

    @property
    def source(self) -> Path:
        """The file, or a folder of compressed files."""
        return Path(self.file or self.model)


@dataclass(frozen=True)
class VerifyRequest:
    """Check that a file is intact."""

    file: str = option(
        REQUIRED, "file that compress wrote", positional=True, metavar="FILE", reads="data"
    )
    model: str | None = option(
        None, "model folder, to decode the whole file too", metavar="MODEL", reads="model"
    )


def output_file(request: CompressRequest) -> Path:
    """The single file to write.

    Raises:
        OptionError: no name is given, or the name has another suffix.
    """
    if not request.output:
        raise OptionError("name the file with -o")
    path = Path(request.output)
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"{path}: compressed data is written as NAME{SUFFIX}")
    return path
