"""The same rows by common lossless codecs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array


def rivals(x: Tensor, levels: int) -> Iterator[tuple[str, int, str]]:
    """(codec, bytes, how) of rows in model units by common codecs."""
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
    """Levels as bytes: bits packed eight to a byte, row by row; otherwise one or two bytes each."""
    if levels == 2:
        return np.packbits(codes.reshape(len(codes), -1).astype(np.uint8), axis=1).tobytes()
    return codes.astype(np.uint8 if levels <= 256 else "<u2").tobytes()


def picture_codecs(levels: int) -> dict[str, Callable[[Array], int]]:
    """Bytes of a (height, width, channels) picture by codec; JPEG XL if it is installed."""
    from PIL import Image

    def image(picture: Array) -> Image.Image:
        shown = picture * 255 if levels == 2 else picture
        if picture.shape[-1] > 1:
            return Image.fromarray(shown)
        grey = Image.fromarray(shown[..., 0])
        return grey.convert("1") if levels == 2 else grey

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
