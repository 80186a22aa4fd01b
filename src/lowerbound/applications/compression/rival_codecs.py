"""The same rows as other codecs write them: bytes beside bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.compression.codecs import Codec
from lowerbound.applications.compression.compress import (
    advancing,
    coded_rows,
    lost,
    named_first,
    raw_bits,
    raw_bytes,
    units,
)
from lowerbound.applications.compression.losses import Loss
from lowerbound.applications.compression.lossy_rivals import lossy_rivals
from lowerbound.applications.compression.picture_comparison import (
    PictureComparison,
    compare_pictures,
)
from lowerbound.applications.compression.pictures import refuse_parts
from lowerbound.applications.compression.sound_comparison import SoundComparison, compare_sound
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io.rows import eight_bit
from lowerbound.coding.bits_back import levels_of
from lowerbound.coding.files.container import open_container
from lowerbound.coding.row_kinds import kind_of
from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.models import TransformCoder

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class CompareRequest:
    """What is this model worth as a codec?"""

    model: str = option(
        REQUIRED, "model folder; may be left out for photographs", positional=True, metavar="MODEL"
    )
    data: str = option("", "data of the kind it was fitted on", positional=True)
    part: Literal["all", "test"] = option(
        "all", "all rows, or those that were set aside when the model was fitted"
    )
    on_error: Literal["raise", "skip"] = option("raise", "pictures that cannot be read")
    seed: int = option(0, "of the bits, where grey values become bits")
    codebooks: int | None = option(
        None,
        "of a model with several codebooks, how many to use (default: all; of sound also half)",
    )
    output: str | None = option(
        None,
        "of pictures by a transform coder, and of sound: a page NAME.html to look at or listen to",
        short="-o",
        metavar="OUT",
    )

    @property
    def named_model(self) -> str | None:
        """The model folder; None: the codec that comes with the package."""
        return named_first(self.model, self.data)[0]


@dataclass(frozen=True)
class Size:
    """Of the same rows by one codec.

    Attributes:
        codec: its name.
        bytes: of all rows.
        bits_per_dimension: 8 bytes / numbers.
        how: "one file" for all rows, "a file each", or "one mosaic" of all pictures.
        psnr: of what comes back, decibels, the mean over pictures; None: all comes back.
    """

    codec: str
    bytes: int
    bits_per_dimension: float
    how: str
    psnr: float | None = None

    def text(self) -> str:
        """A line of a table."""
        quality = "" if self.psnr is None else f"PSNR {self.psnr:.2f} dB, "
        return (
            f"  {self.codec:18} {self.bytes:>12,} bytes {self.bits_per_dimension:8.4f} bits per "
            f"dimension, {quality}{self.how}"
        )


@dataclass(frozen=True)
class CompareReport(Report):
    """Codecs by size, the smallest first; lossy ones, at about the model's bytes, by PSNR.

    Attributes:
        rows: that were coded.
        sizes: of each codec.
        raw_bytes: of the numbers as they are.
        loss: what does not come back from the model's file; None: everything does.
    """

    rows: int
    sizes: tuple[Size, ...]
    raw_bytes: int
    loss: Loss | None = None

    def text(self) -> str:
        lines = [f"{self.rows:,} rows, {self.raw_bytes:,} bytes as they are"]
        if self.loss is not None:
            lines.append(
                f"lossy: rows come back about as they were, by the model with {self.loss.text()}; "
                "other codecs are asked for as many bytes, and for the fewest they can where that "
                "is more"
            )
        return "\n".join((*lines, *(size.text() for size in self.sizes)))


def compare(
    request: CompareRequest, reporter: Reporter, fitted: Fitted | None
) -> CompareReport | PictureComparison | SoundComparison:
    """Size of the rows by the model and by codecs that everybody has, which lose nothing; where the
    model loses something, by codecs that do too.

    Raises:
        UnsupportedError: a part of the model has no exact form, or it does not code sound.
        DataError: the data is not of the kind that the model was fitted on.
    """
    folder, data = named_first(request.model, request.data)
    if fitted is None or isinstance(fitted.model, TransformCoder):
        refuse_parts(request.part, request.codebooks)
        return compare_pictures(data, request.output, folder, request.on_error, reporter, fitted)
    if fitted.schema.kind == "audio":
        return compare_sound(
            fitted,
            data,
            request.output,
            request.codebooks,
            request.on_error,
            request.part,
            reporter,
        )
    if request.output is not None:
        raise OptionError(
            "-o is for pictures by a transform coder and for sound; other comparisons are a table"
        )
    dataset, codec = coded_rows(fitted, request, request.seed, reporter)
    x, kind = units(dataset), kind_of(codec.model)
    with tempfile.TemporaryDirectory() as folder:
        path, told = Path(folder) / "rows.lbz", advancing(reporter, "lowerbound")
        kind.write(path, codec.model, x, request.codebooks, told)
        file = open_container(path)
        loss = lost(file, codec, x, reporter) if kind.lossy else None
    psnr = None if loss is None else loss.psnr
    sizes = [Size("lowerbound", file.size, 8 * file.size / x.numel(), "one file", psnr)]
    for size in _others(x, codec, file.size, loss):
        reporter.say(f"{size.codec}: {size.bytes:,} bytes")
        sizes.append(size)
    ranked = tuple(sorted(sizes, key=lambda size: (-(size.psnr or 0), size.bytes)))
    return CompareReport(len(x), ranked, raw_bytes(x, raw_bits(codec.schema)), loss)


def _others(x: Tensor, codec: Codec, target: int, loss: Loss | None) -> Iterator[Size]:
    """Sizes by codecs that lose nothing, or that lose too and then have about ``target`` bytes."""
    if loss is None:
        for name, size, how in rivals(x, levels_of(codec.model)):
            yield Size(name, size, 8 * size / x.numel(), how)
    elif loss.psnr is not None and x.shape[1] in (1, 3):
        for name, size, psnr, how in lossy_rivals(eight_bit(x), target):
            yield Size(name, size, 8 * size / x.numel(), how, psnr)


def rivals(x: Tensor, levels: int) -> Iterator[tuple[str, int, str]]:
    """(codec, bytes, how) of rows in model units by codecs that everybody has."""
    codes = torch.round(x * (levels - 1)).numpy().astype(np.uint16)
    joint = packed(codes, levels)
    yield "gzip -9", len(gzip.compress(joint, 9, mtime=0)), "one file"
    yield "bz2 -9", len(bz2.compress(joint, 9)), "one file"
    yield "xz -9e", len(lzma.compress(joint, preset=9 | lzma.PRESET_EXTREME)), "one file"
    if codes.ndim == 4 and codes.shape[1] in (1, 3) and levels in (2, 256):
        pictures = [np.moveaxis(row, 0, -1).astype(np.uint8) for row in codes]
        for name, encode in picture_codecs(levels).items():
            yield name, sum(map(encode, pictures)), "a file each"


def packed(codes: Array, levels: int) -> bytes:
    """Levels as bytes: eight bits together in one, row by row; one or two bytes each otherwise."""
    if levels == 2:
        return np.packbits(codes.reshape(len(codes), -1).astype(np.uint8), axis=1).tobytes()
    return codes.astype(np.uint8 if levels <= 256 else "<u2").tobytes()


def picture_codecs(levels: int) -> dict[str, Callable[[Array], int]]:
    """Bytes of a (height, width, channels) picture by codec; JPEG XL where its library is."""
    from PIL import Image

    def image(picture: Array) -> Image.Image:
        flat = picture[..., 0] if picture.shape[-1] == 1 else picture
        return Image.fromarray(flat * 255).convert("1") if levels == 2 else Image.fromarray(flat)

    def by_pillow(form: str, **options: Any) -> Callable[[Array], int]:
        def size(picture: Array) -> int:
            stream = io.BytesIO()
            shown = image(picture)
            shown = shown.convert("RGB") if form == "WebP" else shown
            shown.save(stream, form, **options)
            return len(stream.getvalue())

        return size

    found = {"PNG": by_pillow("PNG", optimize=True)}
    found["WebP, lossless"] = by_pillow("WebP", lossless=True, quality=100, method=6)
    try:
        from imagecodecs import jpegxl_encode
    except ImportError:
        return found
    found["JPEG XL, lossless"] = lambda picture: len(
        jpegxl_encode(picture * (255 if levels == 2 else 1), lossless=True, effort=7)
    )
    return found
