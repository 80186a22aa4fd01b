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
from lowerbound.applications.compression import (
    advancing,
    coded_rows,
    raw_bytes,
    units,
)
from lowerbound.applications.form import REQUIRED
from lowerbound.coding.bits_back import levels_of
from lowerbound.coding.container import open_container
from lowerbound.coding.lossless import write_rows
from lowerbound.config import option
from lowerbound.fitting import Fitted

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class CompareRequest:
    """What is this model worth as a codec?"""

    model: str = option(REQUIRED, "model folder", positional=True, metavar="MODEL")
    data: str = option(REQUIRED, "data of the kind it was fitted on", positional=True)
    part: Literal["all", "test"] = option(
        "all", "all rows, or those that were set aside when the model was fitted"
    )
    on_error: Literal["raise", "skip"] = option("raise", "pictures that cannot be read")
    seed: int = option(0, "of the bits, where grey values become bits")


@dataclass(frozen=True)
class Size:
    """Of the same rows by one codec.

    Attributes:
        codec: its name.
        bytes: of all rows.
        bits_per_dimension: 8 bytes / numbers.
        how: "one file" for all rows, or "a file each".
    """

    codec: str
    bytes: int
    bits_per_dimension: float
    how: str


@dataclass(frozen=True)
class CompareReport(Report):
    """Codecs by size, the smallest first.

    Attributes:
        rows: that were coded.
        sizes: of each codec.
        raw_bytes: of the numbers as they are.
    """

    rows: int
    sizes: tuple[Size, ...]
    raw_bytes: int

    def text(self) -> str:
        lines = [f"{self.rows:,} rows, {self.raw_bytes:,} bytes as they are"]
        lines += [
            f"  {size.codec:18} {size.bytes:>12,} bytes {size.bits_per_dimension:8.4f} bits per "
            f"dimension, {size.how}"
            for size in self.sizes
        ]
        return "\n".join(lines)


def compare(request: CompareRequest, reporter: Reporter, fitted: Fitted) -> CompareReport:
    """Size of the rows by the model and by codecs that everybody has; all of them lose nothing.

    Raises:
        UnsupportedError: a part of the model has no exact form.
        DataError: the data is not of the kind that the model was fitted on.
    """
    dataset, codec = coded_rows(fitted, request, request.seed, reporter)
    x, levels = units(dataset), levels_of(codec.model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.lbz"
        write_rows(path, codec.model, x, progress=advancing(reporter, "lowerbound"))
        found = [("lowerbound", open_container(path).size, "one file")]
    for name, size, how in rivals(x, levels):
        reporter.say(f"{name}: {size:,} bytes")
        found.append((name, size, how))
    sizes = [Size(name, size, 8 * size / x.numel(), how) for name, size, how in found]
    ranked = tuple(sorted(sizes, key=lambda size: size.bytes))
    return CompareReport(len(x), ranked, raw_bytes(x, levels))


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
