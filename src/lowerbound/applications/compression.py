r"""Rows as small files that give every bit back.

.. math:: \text{bits} \approx \sum_\text{rows} \frac{-\text{ELBO}}{\ln 2}

The bound that training raised is the length of the file: see ``lowerbound.coding.bits_back``.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from lowerbound.applications import audio_compression as sound, rows as written
from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.codecs import Codec, bits_of, codec_for, codec_of
from lowerbound.applications.compressed_files import SUFFIX, FileReport, whole
from lowerbound.applications.evaluate import AsksForPart, measured, measured_parts
from lowerbound.applications.form import REQUIRED
from lowerbound.coding.bits_back import levels_of
from lowerbound.coding.container import Container, open_container
from lowerbound.coding.export import check_exact
from lowerbound.coding.lossless import Progress, read_rows, write_rows
from lowerbound.coding.sound import KIND as SOUND
from lowerbound.coding.stack import constriction
from lowerbound.config import option
from lowerbound.data import Dataset
from lowerbound.data.arrays import listed
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted

FEWEST_TOLD = 20  # rows below which the start is most of a file


@dataclass(frozen=True)
class CompressRequest:
    """Rows as a small file, please."""

    model: str = option(REQUIRED, "model folder", positional=True, metavar="MODEL")
    data: str = option(REQUIRED, "data of the kind it was fitted on", positional=True)
    output: str = option(REQUIRED, "the file, NAME.lbz", short="-o", metavar="OUT")
    part: Literal["all", "test"] = option(
        "all", "all rows, or those that were set aside when the model was fitted"
    )
    on_error: Literal["raise", "skip"] = option("raise", "pictures that cannot be read")
    seed: int = option(0, "of the bits, where grey values become bits")
    codebooks: int | None = option(
        None, "of a model with several codebooks, how many to use: fewer take less (default: all)"
    )


@dataclass(frozen=True)
class CompressReport(Report):
    """A file was written.

    Attributes:
        file: where.
        rows: how many.
        bytes: of the file.
        header_bytes: of these.
        raw_bytes: the same numbers as they are, in as many whole bits as their levels need.
        bits_per_dimension: 8 bytes / (rows x numbers per row).
        codec: the model's name in the file.
        gap: by how much the bound is worse in whole numbers, as a share, on up to 1,000 rows.
        seconds: it took.
    """

    file: str
    rows: int
    bytes: int
    header_bytes: int
    raw_bytes: int
    bits_per_dimension: float
    codec: str
    gap: float
    seconds: float

    def text(self) -> str:
        lines = [
            f"{self.rows:,} rows in {self.bytes:,} bytes, {self.bits_per_dimension:.4f} bits per "
            f"dimension, {self.raw_bytes / self.bytes:.1f} times smaller: {self.file}",
            f"codec {self.codec}, kept in the model folder; whole numbers cost {self.gap:.2%} of "
            "the bound",
        ]
        if self.rows < FEWEST_TOLD:
            lines.append(
                "each file begins anew, at a price: many rows in one file are smaller than many "
                "files"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class DecompressRequest:
    """The rows of a file, please."""

    model: str = option(REQUIRED, "model folder", positional=True, metavar="MODEL")
    file: str = option(REQUIRED, "what compress wrote", positional=True, metavar="FILE")
    output: str = option(
        REQUIRED,
        "a folder, .png sheet or .npz for pictures; a folder or .wav for sound; .csv, .parquet or "
        ".npz for other rows",
        short="-o",
        metavar="OUT",
    )


@dataclass(frozen=True)
class DecompressReport(Report):
    """Rows were written.

    Attributes:
        rows: how many.
        files: where they are; the first few where there are many.
        files_written: how many files there are.
        seconds: it took.
    """

    rows: int
    files: tuple[str, ...]
    files_written: int
    seconds: float

    def text(self) -> str:
        return f"{self.rows:,} rows: {listed(self.files, self.files_written)}"


@dataclass(frozen=True)
class VerifyRequest:
    """Is this file whole?"""

    file: str = option(REQUIRED, "what compress wrote", positional=True, metavar="FILE")
    model: str | None = option(None, "model folder: also decode all of it", metavar="MODEL")


def compress(
    request: CompressRequest, reporter: Reporter, fitted: Fitted
) -> CompressReport | sound.SoundReport:
    """Write rows as a file that loses nothing; sound as one of codes.

    Raises:
        UnsupportedError: a part of the model has no exact form.
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: the output's name makes no sense.
    """
    path = Path(request.output)
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"{path}: compressed rows are written as NAME{SUFFIX}")
    if fitted.schema.kind == "audio":
        asked = (request.codebooks, request.on_error, request.part)
        return sound.compress_sound(fitted, request.data, path, *asked)
    began = time.perf_counter()
    dataset, codec = coded_rows(fitted, request, request.seed, reporter)
    x = units(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, codec.model, x, progress=advancing(reporter, "compressing"))
    file = open_container(path)
    return CompressReport(
        file=str(path),
        rows=len(x),
        bytes=file.size,
        header_bytes=file.overhead,
        raw_bytes=raw_bytes(x, levels_of(codec.model)),
        bits_per_dimension=8 * file.size / x.numel(),
        codec=codec.hash.hex(),
        gap=codec.gap,
        seconds=time.perf_counter() - began,
    )


def decompress(request: DecompressRequest, reporter: Reporter) -> DecompressReport:
    """Write the rows of a file.

    Raises:
        BitstreamError: it is damaged, or was compressed with another model.
        OptionError: the output's name makes no sense.
    """
    began = time.perf_counter()
    file, path = open_container(request.file), Path(request.output)
    if file.header.kind == SOUND:
        clips, files = sound.decompress_sound(Path(request.model), file, path)
        return DecompressReport(clips, files[:8], len(files), time.perf_counter() - began)
    codec = codec_for(Path(request.model), file.header.model_hash, file.name)
    written.check_suffix(path, codec.schema)
    x = _decoded(file, codec, reporter)
    files = written.write_rows(path, codec.schema, x, rounded=True)
    return DecompressReport(len(x), tuple(files[:8]), len(files), time.perf_counter() - began)


def verify(request: VerifyRequest, reporter: Reporter) -> FileReport:
    """Check every byte of a file, and with a model that it decodes to what was compressed.

    Raises:
        BitstreamError: it does not; the message says where.
    """
    file = open_container(request.file)
    found = whole(file)
    if request.model is None:
        return found
    if file.header.kind == SOUND:
        sound.heard(Path(request.model), file)
        return replace(found, decoded=True)
    codec = codec_for(Path(request.model), file.header.model_hash, file.name)
    _decoded(file, codec, reporter)
    return replace(found, decoded=True)


def coded_rows(
    fitted: Fitted, request: AsksForPart, seed: int, reporter: Reporter
) -> tuple[Dataset, Codec]:
    """The rows asked for, as they are coded, and the model's codec.

    Raises:
        UnsupportedError: a part of the model has no exact form.
        DataError: they are not of the kind that the model was fitted on.
    """
    check_exact(fitted.model)
    constriction()  # named before any work is done, where it is missing
    dataset = bits_of(measured(measured_parts(request, fitted)), seed)
    codec = codec_of(fitted, Path(request.model), dataset)
    reporter.say(f"codec {codec.hash.hex()}: {codec.gap:.2%} of the bound lost to whole numbers")
    return dataset, codec


def units(dataset: Dataset) -> Tensor:
    """Rows in model units, (rows, *event)."""
    x = dataset.all().x
    assert x is not None
    return x.float()


def raw_bytes(x: Tensor, levels: int) -> int:
    """Bytes of the rows as whole numbers of as many bits as their levels need, row by row."""
    bits = max(1, math.ceil(math.log2(levels)))
    return len(x) * -(-x[0].numel() * bits // 8)


def advancing(reporter: Reporter, task: str) -> Progress:
    """Who tells the reporter of rows done."""
    return lambda done, total: reporter.advance(task, done, total)


def _decoded(file: Container, codec: Codec, reporter: Reporter) -> Tensor:
    return read_rows(file, codec.model, advancing(reporter, "decompressing"))
