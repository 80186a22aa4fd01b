"""Resizing pictures to one size."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.pictures.pixels import Resize

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_SIDE = 128  # upper limit of the default size
_HOW = {
    "pad": "scaled to fit and padded with black",
    "crop": "scaled to cover and cropped around the center",
    "stretch": "stretched",
    "tiles": "cut into tiles that overlap",
}


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
