"""One picture as a file of a transform coder, at a requested rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.exported_models import (
    ExportedModel,
    exported_model,
    shipped,
)
from lowerbound.applications.compression.picture_files import psnr_of_parts, readable
from lowerbound.applications.compression.picture_tiles import tiles_of_pictures
from lowerbound.applications.compression.requests import CodecRequest, CompressRequest
from lowerbound.applications.compression.step_map import LAST, estimated_size
from lowerbound.applications.compression.stored_pictures import smallest_exact, write_stored
from lowerbound.applications.compression.transform_codec import (
    encoded,
    file_size,
    level_of,
    read_eight_bit,
    write_pictures,
)
from lowerbound.data.arrays import Array
from lowerbound.data.loading import load
from lowerbound.data.pictures.pixels import in_units, tiles_of
from lowerbound.errors import OptionError
from lowerbound.fitting.fitted import Fitted

USUAL_QUALITY = 50
INVENTS = (
    "this decoder adds texture that looks likely: it may invent detail, so do not read anything "
    "from it"
)
STORED_HEADER = 48  # bytes, at most, of the header of a picture that is stored exactly
MOST_TRIED = 3  # files of different levels
MEASURED = 8  # tiles of a picture whose loss ``compress`` measures: the others are not decoded
CLOSE = 0.985  # share of the requested size that is not improved


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


def level_for(
    rate: CompressRequest,
    numbers: int,
    size: Callable[[int], int],
    estimate: Callable[[int], float],
) -> int:
    """A fine level whose file is as small as requested.

    Three levels are tried at most, unless none of them fits: then coarser ones follow. The level
    may therefore be a little coarser than the finest one that fits.

    Args:
        rate: the requested rate.
        numbers: bytes of the uncompressed picture.
        size: of the file at a level, bytes.
        estimate: about the logarithm of ``size``, falling with the level.

    Raises:
        OptionError: even the smallest file is too large.
    """
    most = most_bytes(rate, numbers)
    if most is None:
        return level_of(USUAL_QUALITY if rate.quality is None else rate.quality)
    sizes: dict[int, int] = {}
    level = _guess(math.log(max(most, 1)), estimate, 0, LAST)
    while level not in sizes:
        sizes[level] = size(level)
        fitting = [at for at in sizes if sizes[at] <= most]
        if fitting and (len(sizes) >= MOST_TRIED or sizes[min(fitting)] > CLOSE * most):
            break
        level = _next_level(most, sizes, estimate)
    if not fitting:
        raise OptionError(
            f"at its coarsest this picture takes {size(LAST):,} bytes, more than the "
            f"{math.floor(most):,} requested"
        )
    return min(fitting)


def _next_level(most: float, sizes: Mapping[int, int], estimate: Callable[[int], float]) -> int:
    """The level that should take ``most`` bytes, judged by the level whose size is nearest."""

    def missing(level: int) -> float:
        return math.log(max(most, 1) / max(sizes[level], 1))

    near, *others = sorted(sizes, key=lambda level: abs(missing(level)))
    stretch = 1.0  # of the estimate's differences, as two sizes show it
    if others and estimate(near) != estimate(others[0]):
        real = missing(others[0]) - missing(near)
        stretch = min(max(real / (estimate(near) - estimate(others[0])), 0.5), 2.0)
    wanted = missing(near) / stretch + estimate(near)
    lowest = max((at + 1 for at in sizes if sizes[at] > most), default=0)
    highest = min((at - 1 for at in sizes if sizes[at] <= most), default=LAST)
    if lowest > highest:
        return near
    if len(sizes) >= MOST_TRIED:
        lowest = min(lowest + len(sizes) ** 2, highest)  # ever larger strides
    return _guess(wanted, estimate, lowest, highest)


def _guess(wanted: float, estimate: Callable[[int], float], low: int, high: int) -> int:
    """The finest level from ``low`` to ``high`` with at most that estimate; else ``high``."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if estimate(middle) <= wanted else (middle + 1, high)
    return high


@dataclass(frozen=True)
class CodedPicture:
    """A picture's file.

    Attributes:
        bytes: of the file.
        level: of the step; None if the picture is stored exactly.
        numbers, pixels: of the picture.
        psnr: decibels, of the tiles that were measured; infinite if it is stored exactly.
        measured: share of the pixels that they have.
    """

    bytes: int
    level: int | None
    numbers: int
    pixels: int
    psnr: float
    measured: float


@dataclass(frozen=True)
class Written(CodedPicture):
    """A picture's file, and the picture decoded from it.

    Attributes:
        back: (height, width, channels); black where it was not measured.
    """

    back: Array


def write_smaller(
    model: Any, content: bytes, picture: Array, target: Path, rate: CompressRequest
) -> Written:
    """Write one picture as ``write_one``, or store it exactly if that is as small.

    Args:
        model: exported.
        content: the picture's file.
        picture: its pixels, (height, width, channels).
        target: the file to write.
        rate: the requested rate.
    """
    most = most_bytes(rate, picture.size)
    coded = None
    if most is None:
        coded = write_one(model, picture, target, rate, MEASURED)
        most = coded.bytes
    exact = smallest_exact(content, most - STORED_HEADER)
    if exact is None:
        return coded or write_one(model, picture, target, rate, MEASURED)
    write_stored(target, exact)
    pixels = picture.shape[0] * picture.shape[1]
    return Written(target.stat().st_size, None, picture.size, pixels, math.inf, 1.0, picture)


def write_one(
    model: Any, picture: Array, target: Path, rate: CompressRequest, measured: int | None = None
) -> Written:
    """Write one picture (height, width, channels) uint8 at a rate by an exported transform coder,
    with what a reader will get, in at most ``measured`` tiles."""
    x, back = _levels(picture), np.zeros_like(picture)
    searches = most_bytes(rate, picture.size) is not None
    shown = tiles_of_pictures(x.shape, measured)

    @cache
    def chunks(level: int) -> list[tuple[bytes, int]]:
        return encoded(model, x, level, rate.tune, None if searches else back[None], shown)

    def size(level: int) -> int:
        return file_size(x, level, chunks(level), rate.tune)

    level = level_for(rate, picture.size, size, estimated_size(model, x))
    write_pictures(target, model, x, level, chunks(level), rate.tune)
    file = open_container(target)
    if searches:
        (back,) = read_eight_bit(file, model, shown=shown)
    pixels = picture.shape[0] * picture.shape[1]
    return Written(
        bytes=file.size,
        level=level,
        numbers=picture.size,
        pixels=pixels,
        psnr=psnr_of_parts((tile.in_picture(picture), tile.in_picture(back)) for tile in shown),
        measured=sum(math.prod(tile.size) for tile in shown) / pixels,
        back=back,
    )


def as_row(picture: Array) -> Tensor:
    """(height, width, channels) uint8 as (1, channels, height, width) in [0, 1]."""
    return in_units(_levels(picture))


def _levels(picture: Array) -> Tensor:
    """(height, width, channels) uint8 as (1, channels, height, width)."""
    return torch.from_numpy(picture).movedim(-1, 0)[None]


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
