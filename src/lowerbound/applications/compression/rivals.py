"""The same rows by common lossless codecs, and pictures by lossy ones at about the same bits.

Each lossy codec runs twice: with one file per picture, whose header takes most bytes, and with one
mosaic of all pictures, in which the codec can also use what neighbors share.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sized
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.compression.picture_files import mean_psnr
from lowerbound.data.arrays import Array

FORMS: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"optimize": True},
    "WebP": {"method": 6},
    "AVIF": {"speed": 6},
}
QUALITIES = range(101)  # JPEG has no quality 0 and uses 1
File = TypeVar("File", bound=Sized)


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


def lossy_rivals(pictures: Array, target: int) -> Iterator[tuple[str, int, float, str]]:
    """(codec, bytes, PSNR, how) of all pictures at the quality nearest to ``target`` bytes.

    Args:
        pictures: (rows, H, W, 1 or 3), uint8.
        target: total bytes.
    """
    whole = mosaic(pictures)
    for form in available():
        files = [nearest(_encoder(form, picture), target / len(pictures)) for picture in pictures]
        back = np.stack([decode(file, pictures.shape[-1]) for file in files])
        yield form, sum(map(len, files)), mean_psnr(pictures, back), "a file each"
        file = nearest(_encoder(form, whole), target)
        back = cut(decode(file, pictures.shape[-1]), pictures.shape)
        yield form, len(file), mean_psnr(pictures, back), "one mosaic"


def available() -> list[str]:
    """The codecs that this Pillow supports."""
    from PIL import features

    return [form for form in FORMS if form == "JPEG" or features.check(form.lower())]


def nearest(encode: Callable[[int], File], target: float, qualities: range = QUALITIES) -> File:
    """The file with the size nearest to ``target`` among the files ``encode(quality)``."""
    encode = cache(encode)
    if len(encode(qualities[0])) >= target:
        return encode(qualities[0])
    place = bisect_left(qualities, target, key=lambda quality: len(encode(quality)))
    either = qualities[max(place - 1, 0) : place + 1]
    return min(map(encode, either), key=lambda file: abs(len(file) - target))


def encode(form: str, picture: Array, quality: int) -> bytes:
    """A picture (H, W, 1 or 3) as a file."""
    from PIL import Image

    shown = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    if form != "JPEG":
        shown = shown.convert("RGB")
    stream = io.BytesIO()
    shown.save(stream, form, quality=max(quality, form == "JPEG"), **FORMS[form])
    return stream.getvalue()


def decode(file: bytes, channels: int) -> Array:
    """The picture in a file, (H, W, channels) uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(file)) as found:
        picture = np.asarray(found.convert("L" if channels == 1 else "RGB"))
    return picture.reshape(*picture.shape[:2], channels)


def mosaic(pictures: Array) -> Array:
    """Pictures (rows, H, W, C) as one near-square picture, row by row; empty places are black."""
    rows, height, width, channels = pictures.shape
    across = math.ceil(math.sqrt(rows))
    down = math.ceil(rows / across)
    places = np.zeros((down * across, height, width, channels), pictures.dtype)
    places[:rows] = pictures
    grid = places.reshape(down, across, height, width, channels)
    return grid.swapaxes(1, 2).reshape(down * height, across * width, channels)


def cut(whole: Array, shape: tuple[int, ...]) -> Array:
    """Pictures of ``shape`` (rows, H, W, C) from a mosaic."""
    rows, height, width, channels = shape
    down, across = whole.shape[0] // height, whole.shape[1] // width
    grid = whole.reshape(down, height, across, width, channels).swapaxes(1, 2)
    return grid.reshape(-1, height, width, channels)[:rows]


def _encoder(form: str, picture: Array) -> Callable[[int], bytes]:
    return lambda quality: encode(form, picture, quality)
