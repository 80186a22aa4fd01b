r"""Rows as small files.

.. math:: \text{bits} \approx \sum_\text{rows} \frac{-\text{ELBO}}{\ln 2}

The bound that training raised is the length of a file that gives every bit back: see
``lowerbound.coding.bits_back``. Of a model of codes the file holds the codes alone, and its length
is the bound's other part, the rate: see ``lowerbound.coding.vector_quantized``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.compression import sound, tiled_pictures
from lowerbound.applications.compression.codecs import (
    Codec,
    bits_of,
    codec_for,
    codec_line,
    codec_of,
)
from lowerbound.applications.compression.losses import Loss, loss_of
from lowerbound.applications.compression.pictures import (
    PicturesReport,
    compress_pictures,
    decompress_pictures,
    refuse_parts,
)
from lowerbound.applications.compression.shipped import PHOTOGRAPHS
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io import rows as written
from lowerbound.applications.io.compressed_files import SUFFIX, FileReport, whole
from lowerbound.applications.io.fit_rows import AsksForPart, requested, requested_parts
from lowerbound.coding import picture_tiles, transform
from lowerbound.coding.files.container import Container, open_container
from lowerbound.coding.lossless import Progress
from lowerbound.coding.row_kinds import kind_of
from lowerbound.coding.sound import KIND as SOUND
from lowerbound.coding.stack import constriction
from lowerbound.config import option
from lowerbound.data import Dataset
from lowerbound.data.arrays import listed
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.models import TransformCoder

REAL_BITS = 32
FEWEST_TOLD = 20  # rows below which the start is most of a file


@dataclass(frozen=True)
class CompressRequest:
    """Rows as a small file, please."""

    model: str = option(
        REQUIRED, "model folder; may be left out for photographs", positional=True, metavar="MODEL"
    )
    data: str = option("", "data of the kind it was fitted on", positional=True)
    output: str = option(
        "",
        "the file, NAME.lbz (default, for a photograph: beside it); a folder for a folder of them",
        short="-o",
        metavar="OUT",
    )
    part: Literal["all", "test"] = option(
        "all", "all rows, or those that were set aside when the model was fitted"
    )
    on_error: Literal["raise", "skip"] = option("raise", "pictures that cannot be read")
    seed: int = option(0, "of the bits, where grey values become bits")
    codebooks: int | None = option(
        None, "of a model with several codebooks, how many to use: fewer take less (default: all)"
    )
    quality: int | None = option(
        None, "of pictures by a transform coder, 0 to 100 (default: 50)", metavar="Q"
    )
    times: float | None = option(None, "alike: how many times smaller at least", metavar="X")
    bytes: int | None = option(None, "alike: bytes of a picture's file at most", metavar="N")

    @property
    def named_model(self) -> str | None:
        """The model folder; None: the codec that comes with the package."""
        return named_first(self.model, self.data)[0]


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
        gap: by how much the bound is worse in whole numbers, as a share, on up to 1,000 rows; of
            codes, by how much the rate is.
        seconds: it took.
        loss: what does not come back; None: everything does.
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
    loss: Loss | None = None

    def text(self) -> str:
        lines = [
            f"{self.rows:,} rows in {self.bytes:,} bytes, {self.bits_per_dimension:.4f} bits per "
            f"dimension, {self.raw_bytes / self.bytes:.1f} times smaller: {self.file}",
            codec_line(self.codec, self.gap, "rate" if self.loss else "bound"),
        ]
        if self.loss is not None:
            lines.insert(1, f"lossy: rows come back about as they were, {self.loss.text()}")
        if self.rows < FEWEST_TOLD:
            lines.append(
                "each file begins anew, at a price: many rows in one file are smaller than many "
                "files"
            )
        return "\n".join(lines)


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


@dataclass(frozen=True)
class DecompressReport(Report):
    """Rows were written.

    Attributes:
        rows: how many.
        files: where they are; the first few where there are many.
        files_written: how many files there are.
        seconds: it took.
        of: what a row is to the person.
    """

    rows: int
    files: tuple[str, ...]
    files_written: int
    seconds: float
    of: str = "row"

    def text(self) -> str:
        several = "" if self.rows == 1 else "s"
        return f"{self.rows:,} {self.of}{several}: {listed(self.files, self.files_written)}"


@dataclass(frozen=True)
class VerifyRequest:
    """Is this file whole?"""

    file: str = option(REQUIRED, "what compress wrote", positional=True, metavar="FILE")
    model: str | None = option(None, "model folder: also decode all of it", metavar="MODEL")


def compress(
    request: CompressRequest, reporter: Reporter, fitted: Fitted | None
) -> CompressReport | PicturesReport | tiled_pictures.TiledReport | sound.SoundReport:
    """Write rows as a file that loses nothing; as one of codes or coefficients where the model has
    them.

    Raises:
        UnsupportedError: a part of the model has no exact form.
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: the output's name makes no sense, or there are not so many codebooks.
    """
    folder, data = named_first(request.model, request.data)
    if fitted is None or isinstance(fitted.model, TransformCoder):
        refuse_parts(request.part, request.codebooks)
        asked = (data, request.output, folder, request, request.on_error)
        return compress_pictures(*asked, reporter, fitted)
    _refuse_rate(request)
    if not request.output:
        raise OptionError("name the file with -o")
    path = Path(request.output)
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"{path}: compressed rows are written as NAME{SUFFIX}")
    if fitted.schema.kind == "audio":
        return sound.compress_sound(
            fitted, data, path, request.codebooks, request.on_error, request.part
        )
    pictures = tiled_pictures.own_sizes(fitted, data, request.part)
    if pictures is not None:
        refuse_parts(request.part, request.codebooks)
        place = Path(request.model)
        return tiled_pictures.compress(fitted, place, pictures, path, request.on_error, reporter)
    began = time.perf_counter()
    dataset, codec = coded_rows(fitted, request, request.seed, reporter)
    x, kind = units(dataset), kind_of(codec.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind.write(path, codec.model, x, request.codebooks, advancing(reporter, "compressing"))
    file = open_container(path)
    return CompressReport(
        file=str(path),
        rows=len(x),
        bytes=file.size,
        header_bytes=file.overhead,
        raw_bytes=raw_bytes(x, raw_bits(codec.schema)),
        bits_per_dimension=8 * file.size / x.numel(),
        codec=codec.hash.hex(),
        gap=codec.gap,
        seconds=time.perf_counter() - began,
        loss=lost(file, codec, x, reporter) if kind.lossy else None,
    )


def decompress(request: DecompressRequest, reporter: Reporter) -> DecompressReport:
    """Write the rows of a file.

    Raises:
        BitstreamError: it is damaged, or was compressed with another model.
        OptionError: the output's name makes no sense.
    """
    began = time.perf_counter()

    def written_to(files: Sequence[str], count: int, of: str) -> DecompressReport:
        seconds = time.perf_counter() - began
        return DecompressReport(count, tuple(files[:8]), len(files), seconds, of)

    named, source = named_first(request.model, request.file)
    folder = PHOTOGRAPHS if named is None else Path(named)
    file = None if Path(source).is_dir() else open_container(source)
    if file is None or file.header.kind == transform.KIND:
        names = decompress_pictures(source, request.output, folder, reporter)
        return written_to(names, len(names), "picture")
    if not request.output:
        raise OptionError("name the output with -o")
    path = Path(request.output)
    if file.header.kind == SOUND:
        clips, files = sound.decompress_sound(folder, file, path)
        return written_to(files, clips, "clip")
    codec = codec_for(folder, file.header.model_hash, file.name)
    if file.header.kind == picture_tiles.KIND:
        files = tiled_pictures.decompress(file, codec, path, advancing(reporter, "decompressing"))
        return written_to(files, len(files), "picture")
    written.check_suffix(path, codec.schema)
    x = decoded(file, codec, reporter)
    files = written.write_rows(path, codec.schema, x, rounded=True)
    return written_to(files, len(x), "row")


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
    decoded(file, codec, reporter)
    return replace(found, decoded=True)


def coded_rows(
    fitted: Fitted, request: AsksForPart, seed: int, reporter: Reporter
) -> tuple[Dataset, Codec]:
    """The rows asked for, as they are coded, and the model's codec.

    Raises:
        UnsupportedError: a part of the model has no exact form.
        DataError: they are not of the kind that the model was fitted on.
    """
    kind = kind_of(fitted.model)
    kind.check(fitted.model)
    constriction()  # named before any work is done, where it is missing
    dataset = bits_of(requested(requested_parts(request, fitted)), seed)
    codec = codec_of(fitted, Path(request.model), dataset)
    stored = "rate" if kind.lossy else "bound"
    reporter.say(f"codec {codec.hash.hex()}: {codec.gap:.2%} of the {stored} lost to whole numbers")
    return dataset, codec


def named_first(first: str, second: str) -> tuple[str | None, str]:
    """The model folder, if one is named, and what it is put to: one word alone is the latter."""
    return (first, second) if second else (None, first)


def _refuse_rate(request: CompressRequest) -> None:
    for name in ("quality", "times", "bytes"):
        if getattr(request, name) is not None:
            raise OptionError(
                f"{name} is for pictures by a transform coder; this model's files are as large as "
                "its bound says, or its codes are"
            )


def units(dataset: Dataset) -> Tensor:
    """Rows in model units, (rows, *event)."""
    x = dataset.all().x
    assert x is not None
    return x.float()


def lost(file: Container, codec: Codec, x: Tensor, reporter: Reporter) -> Loss:
    """What of rows in model units does not come back from their file, decoded for that."""
    return loss_of(x, decoded(file, codec, reporter), codec.schema.kind == "images")


def raw_bits(schema: Schema) -> int:
    """Of a number as it is: as many as its levels need, those of float32 where it has none."""
    if schema.levels is None:
        return REAL_BITS
    levels = 2 if schema.binary else schema.levels
    return max(1, math.ceil(math.log2(levels)))


def raw_bytes(x: Tensor, bits: int) -> int:
    """Bytes of the rows as numbers of so many bits, row by row."""
    return len(x) * -(-x[0].numel() * bits // 8)


def advancing(reporter: Reporter, task: str) -> Progress:
    """Who tells the reporter of rows done."""
    return lambda done, total: reporter.advance(task, done, total)


def decoded(file: Container, codec: Codec, reporter: Reporter) -> Tensor:
    """The rows of a file in model units; of a lossy one, what comes back."""
    kind = kind_of(codec.model)
    return kind.read(file, codec.model, advancing(reporter, "decompressing"))
