"""Pictures as arrays of one size: color axis, grey levels, and back to the original layout.

Internally, pictures are (rows, channels, height, width). Integer pictures are stored as codes
0 .. levels - 1, one byte each, and the model sees code / (levels - 1) in [0, 1].
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, check_finite_rows
from lowerbound.data.options import Resize as Resize
from lowerbound.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Channels = Literal["first", "last", "squeezed"]
_COLOR_COUNTS = (1, 2, 3, 4)
WHITE = 255
LARGEST_SIDE = 128  # upper limit of the default size
_HOW = {
    "pad": "scaled to fit and padded with black",
    "crop": "scaled to cover and cropped around the center",
    "stretch": "stretched",
    "tiles": "cut into tiles that overlap",
}


@dataclass(frozen=True)
class ImageFormat:
    """The layout of the original pictures, which results also have.

    Attributes:
        channels: "first" (rows, C, H, W), "last" (rows, H, W, C) or "squeezed" (rows, H, W).
        resize: how to resize a picture of another size.
    """

    channels: Channels = "first"
    resize: Resize = "pad"

    @property
    def resizes(self) -> bool:
        """Whether pictures of another size are resized; otherwise tiles are cut out of them."""
        return self.resize != "tiles"


def find_channels(shape: tuple[int, ...]) -> Channels:
    """Find the position of the color axis of (rows, ...) pictures.

    Raises:
        DataError: the shape is not that of pictures, or is ambiguous.
    """
    if len(shape) == 3:
        return "squeezed"
    if len(shape) != 4:
        raise DataError(
            f"pictures need shape (rows, H, W), (rows, C, H, W) or (rows, H, W, C), not {shape}"
        )
    first, last = shape[1] in _COLOR_COUNTS, shape[3] in _COLOR_COUNTS
    if first and last:
        return "first" if shape[1] <= shape[3] else "last"
    if not first and not last:  # more channels, of square pictures
        first, last = shape[2] == shape[3] != shape[1], shape[1] == shape[2] != shape[3]
    if not first and not last:
        raise DataError(
            f"cannot tell which axis of {shape} is color: neither has 1 to 4 entries, and no "
            "other two are equal"
        )
    return "first" if first else "last"


def channels_first(pictures: Array, channels: Channels) -> Array:
    """A view as (rows, C, H, W)."""
    if channels == "squeezed":
        return pictures[:, None]
    return np.moveaxis(pictures, -1, 1) if channels == "last" else pictures


def restore_channels(pictures: Array, channels: Channels) -> Array:
    """Convert (..., C, H, W) to the original layout."""
    if channels == "squeezed":
        return pictures[..., 0, :, :]
    return np.moveaxis(pictures, -3, -1) if channels == "last" else pictures


def match_layout(pictures: Array, event_shape: tuple[int, ...], channels: Channels) -> Array:
    """Convert new pictures in any layout to (rows, C, H, W) of the fitted shape.

    Raises:
        DataError: size or number of channels differs.
    """
    expected = tuple(event_shape)
    order: list[Channels] = [channels, "first", "last", "squeezed"]
    for layout in order:
        if pictures.ndim == (3 if layout == "squeezed" else 4):
            candidate = channels_first(pictures, layout)
            if candidate.shape[1:] == expected:
                return candidate
    raise DataError(
        f"expected pictures of {expected[0]} channel(s), {expected[1]} high and {expected[2]} "
        f"wide; found an array of shape {pictures.shape}"
    )


def find_levels(values: Array, levels: int | None = None) -> tuple[int | None, float]:
    """Find the number of grey levels, and the original value of white.

    Returns:
        (levels, white): (2, 1) for 0/1, (2, 255) for black and white pictures, (256, 255) for
        uint8, (65536, 65535) for more, (None, 1) for floats in [0, 1]; (levels, levels - 1) if
        ``levels`` is given.

    Raises:
        DataError: values are NaN, negative, above 65535, or floats outside [0, 1].
    """
    check_finite_rows(values, "the data")
    low, high = values.min(), values.max()
    if levels is not None:
        if low < 0 or high > levels - 1 or not is_whole(values):
            raise DataError(
                f"{levels} levels mean whole numbers 0 to {levels - 1}; {_range(values)}"
            )
        return levels, float(levels - 1)
    if low >= 0 and high <= 1 and is_whole(values):
        return 2, 1.0
    if values.dtype.kind == "f":
        if low < 0 or high > 1:
            raise DataError(_float_range_message(values))
        return None, 1.0
    if low < 0 or high > 65535:
        raise DataError(f"whole-number grey values must lie in 0 to 255 or 65535; {_range(values)}")
    if high == 255 and _black_and_white(values):
        return 2, 255.0
    return (256, 255.0) if high <= 255 else (65536, 65535.0)


def _black_and_white(values: Array) -> bool:
    """Whether all values are 0 or 255; in parts, to stop at the first grey value."""
    parts = np.array_split(values, max(1, values.size >> 20))
    return all(bool(((part == 0) | (part == 255)).all()) for part in parts)


def pack(values: Array, levels: int | None, white: float) -> Tensor:
    """Convert original values to codes 0 .. levels - 1 (uint8; int32 above 256) or floats.

    Floats must lie in [0, 1].

    Raises:
        DataError: a value is not a level; the message names it.
    """
    check_finite_rows(values, "the data")
    if levels is None:
        if values.dtype.kind != "f" or values.min() < 0 or values.max() > 1:
            raise DataError(f"the model was fitted on floats in [0, 1]; {_range(values)}")
        return torch.from_numpy(np.array(values, order="C"))  # a copy, not the caller's array
    step = white / (levels - 1)
    codes = values if step == 1 else values / step
    if values.min() < 0 or values.max() > white or not is_whole(codes):
        between = "only 0 and" if levels == 2 else f"{levels} levels from 0 to"
        raise DataError(f"the model was fitted on {between} {white:g}; {_range(values)}")
    kind = np.uint8 if levels <= 256 else np.int32
    return torch.from_numpy(np.array(codes, dtype=kind, order="C"))


def unpack(units: Array, levels: int | None, white: float, dtype: str, rounded: bool) -> Array:
    """Convert model units to original values; ``rounded``: to the nearest level and dtype."""
    if levels is None:
        return units.astype(dtype) if rounded else units
    if not rounded:
        return units.astype(np.float64) * white
    codes = np.rint(np.clip(units.astype(np.float64), 0, 1) * (levels - 1))
    return (codes * (white / (levels - 1))).astype(dtype)


def is_whole(values: Array) -> bool:
    """Whether every value is a whole number."""
    return values.dtype.kind != "f" or bool((values == np.floor(values)).all())


def _range(values: Array) -> str:
    kind = "whole numbers" if is_whole(values) else "numbers"
    low, high = float(values.min()), float(values.max())
    return f"found {kind} from {low:g} to {high:g} ({values.dtype})"


def _float_range_message(values: Array) -> str:
    message = f"grey values that are floats must lie in [0, 1]; {_range(values)}: "
    if values.min() >= 0 and is_whole(values):
        return message + "convert them with .astype('uint8'), or give levels=, their number"
    return message + "rescale them"


def eight_bit(x: Tensor) -> Array:
    """(rows, C, H, W) in [0, 1] as (rows, H, W, C) uint8."""
    levels = x.detach().cpu().double().clamp(0, 1).mul_(WHITE).round_()
    return levels.to(torch.uint8).movedim(1, -1).numpy()


def in_units(x: Tensor) -> Tensor:
    """Pictures in [0, 1], which may be levels of 8 bits."""
    return x.float() / WHITE if x.dtype == torch.uint8 else x


def choose_size(sizes: Sequence[tuple[int, int]], resize: Resize) -> tuple[int, int]:
    """(height, width) for pictures of these sizes: the most common, at most LARGEST_SIDE long.

    A warning explains how the others are resized.
    """
    if resize == "tiles":
        return (LARGEST_SIDE, LARGEST_SIDE)
    (common, count), *_ = Counter(sizes).most_common(1)
    shrink = min(1.0, LARGEST_SIDE / max(common))
    size = (max(1, round(common[0] * shrink)), max(1, round(common[1] * shrink)))
    reasons = []
    if count < len(sizes):
        reasons.append(f"pictures come in {len(set(sizes))} sizes")
    if size != common:
        reasons.append(f"{dimensions(common)} is large")
    other = "crop" if resize == "pad" else "pad"
    if reasons:
        warnings.warn(
            f"{' and '.join(reasons)}: all are brought to {dimensions(size)}, {_HOW[resize]} "
            f"(resize='{other}' does otherwise, and image_size=64 sets a size)",
            UserWarning,
            stacklevel=3,
        )
    return size


def fit_to(picture: Image, size: tuple[int, int], resize: Resize) -> Image:
    """Resize the picture to (height, width) = ``size``, unless it has this size."""
    from PIL import Image, ImageOps

    height, width = size
    if picture.size == (width, height):
        return picture
    method = Image.Resampling.BICUBIC
    scale = min(width / picture.width, height / picture.height)
    if resize == "pad" and min(picture.size) * scale < 1:  # rounded to none, it would be black
        shown = [max(1, round(side * scale)) for side in picture.size]
        picture = picture.resize((shown[0], shown[1]), method)
    if resize == "stretch":
        return picture.resize((width, height), method)
    fitted = ImageOps.pad if resize == "pad" else ImageOps.fit
    return fitted(picture, (width, height), method)


class Tiles(NamedTuple):
    """Parts of one picture."""

    x: Array  # (n, height, width, ...)
    corners: list[tuple[int, int]]


def tiles_of(picture: Array, size: tuple[int, int]) -> Tiles:
    """Cut a picture into tiles of (height, width) = ``size``, which overlap by about half.

    A smaller picture is extended to this size by repeating its borders.
    """
    short = [max(0, side - length) for side, length in zip(size, picture.shape[:2], strict=True)]
    around = [(0, short[0]), (0, short[1]), *[(0, 0)] * (picture.ndim - 2)]
    picture = np.pad(picture, around, mode="edge")
    tops, lefts = (
        _starts(length, side) for length, side in zip(picture.shape[:2], size, strict=True)
    )
    corners = [(top, left) for top in tops for left in lefts]
    cut = [picture[top : top + size[0], left : left + size[1]] for top, left in corners]
    return Tiles(np.stack(cut), corners)


def _starts(length: int, side: int) -> list[int]:
    """Evenly spaced starts of the tiles."""
    count = math.ceil((length - side) / max(1, side // 2)) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def dimensions(size: tuple[int, int]) -> str:
    """(height, width) as it is written, width first."""
    return f"{size[1]}x{size[0]}"
