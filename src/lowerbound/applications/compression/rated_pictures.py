"""One picture as a file of a transform coder, at a requested rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.exported_models import ExportedModel, exported_model
from lowerbound.applications.compression.losses import mean_psnr
from lowerbound.applications.compression.picture_files import readable
from lowerbound.applications.compression.requests import CodecRequest, CompressRequest
from lowerbound.applications.compression.shipped import shipped
from lowerbound.applications.io.drawings.grids import eight_bit
from lowerbound.coding.files.container import open_container
from lowerbound.coding.stored_pictures import smallest_exact, write_stored
from lowerbound.coding.transform import COARSEST, encoded, level_of, read_pictures, write_pictures
from lowerbound.data import load
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.resizing import tiles_of
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted

USUAL_QUALITY = 50
INVENTS = (
    "this decoder adds texture that looks likely: it may invent detail, so do not read anything "
    "from it"
)
HEADER = 48  # largest size of a picture's header, bytes


def check_rate(rate: CompressRequest) -> None:
    """Raise OptionError if the rate is given twice, or is not positive."""
    said = [name for name in ("quality", "times", "bytes") if getattr(rate, name) is not None]
    if len(said) > 1:
        raise OptionError(f"{' and '.join(said)} both set the size: give one of them")
    if (rate.times is not None and rate.times <= 0) or (rate.bytes is not None and rate.bytes <= 0):
        raise OptionError("times and bytes are above 0")
    if rate.quality is not None:
        level_of(rate.quality)


def most_bytes(rate: CompressRequest, numbers: int) -> float | None:
    """The largest size of a file; None if no size is requested.

    Args:
        rate: the requested rate.
        numbers: bytes of the uncompressed picture.
    """
    if rate.bytes is not None:
        return rate.bytes
    return None if rate.times is None else numbers / rate.times


def level_for(rate: CompressRequest, numbers: int, size: Callable[[int], int]) -> int:
    """The finest level whose file is as small as requested.

    Args:
        rate: the requested rate.
        numbers: bytes of the uncompressed picture.
        size: payload at a level, bytes.

    Raises:
        OptionError: even the file at the coarsest level is too large.
    """
    most = most_bytes(rate, numbers)
    if most is None:
        return level_of(USUAL_QUALITY if rate.quality is None else rate.quality)
    most -= HEADER
    low, high = 0, COARSEST
    if size(high) > most:
        raise OptionError(
            f"at its coarsest this picture takes {size(high) + HEADER:,} bytes, more than the "
            f"{math.floor(most + HEADER):,} requested"
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if size(middle) <= most else (middle + 1, high)
    return high


@dataclass(frozen=True)
class Written:
    """A picture's file, and the picture decoded from it.

    Attributes:
        bytes: of the file.
        level: of the step; None if the picture is stored exactly.
        numbers, pixels: of the picture.
        psnr: decibels; infinite if it is stored exactly.
        back: (height, width, channels).
    """

    bytes: int
    level: int | None
    numbers: int
    pixels: int
    psnr: float
    back: Array


def write_smaller(
    model: Any, path: Path, picture: Array, target: Path, rate: CompressRequest
) -> Written:
    """Write one picture as ``write_one``, or store it exactly if that is as small.

    Args:
        model: exported.
        path: the picture's file.
        picture: its pixels, (height, width, channels).
        target: the file to write.
        rate: the requested rate.
    """
    most = most_bytes(rate, picture.size)
    coded = None
    if most is None:
        coded = write_one(model, picture, target, rate)
        most = coded.bytes
    exact = smallest_exact(path, most - HEADER)
    if exact is None:
        return coded or write_one(model, picture, target, rate)
    write_stored(target, exact)
    pixels = picture.shape[0] * picture.shape[1]
    return Written(target.stat().st_size, None, picture.size, pixels, math.inf, picture)


def write_one(model: Any, picture: Array, target: Path, rate: CompressRequest) -> Written:
    """Write one picture (height, width, channels) at a rate by an exported transform coder, and
    decode it again."""
    x = as_row(picture)

    @cache
    def chunks(level: int) -> list[tuple[bytes, int]]:
        return encoded(model, x, level)

    level = level_for(rate, picture.size, lambda at: sum(len(data) for data, _ in chunks(at)))
    write_pictures(target, model, x, level, chunks(level))
    file = open_container(target)
    (back,) = eight_bit(read_pictures(file, model))
    psnr = mean_psnr(picture[None], back[None])
    pixels = picture.shape[0] * picture.shape[1]
    return Written(file.size, level, picture.size, pixels, psnr, back)


def as_row(picture: Array) -> Tensor:
    """(height, width, channels) uint8 as (1, channels, height, width) in [0, 1]."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0).copy())[None].float() / 255


def each(
    request: CodecRequest, fitted: Fitted, paths: Sequence[Path], reporter: Reporter, task: str
) -> Iterator[tuple[Path, Array, ExportedModel]]:
    """Yield each picture with the exported model that writes it; grey ones have one channel.

    If the pictures of the fit are no longer available, the tiles of the first picture here
    calibrate the ranges of the layers.

    Raises:
        DataError: a picture cannot be read.
    """
    exported = shipped() if request.named_model is None else None
    channels, height, width = fitted.schema.event_shape
    for path, picture in readable(paths, channels, request.on_error, reporter, task):
        if exported is None:
            tiles = load(tiles_of(picture, (height, width)).x, schema=fitted.schema)
            exported = exported_model(fitted, Path(request.model), tiles)
        yield path, picture[..., :1] if _is_grey(picture) else picture, exported


def _is_grey(picture: Array) -> bool:
    """Whether all channels of (height, width, channels) are equal."""
    return bool((picture[..., 1:] == picture[..., :1]).all())
