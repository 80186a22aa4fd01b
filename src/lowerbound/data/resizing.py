"""Pictures of many sizes brought to one."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowerbound.data.pixels import Resize

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_SIDE = 128  # of pictures whose size nobody chose
_HOW = {
    "pad": "scaled to fit and padded with black",
    "crop": "scaled to cover and cropped around the center",
    "stretch": "stretched",
}


def choose_size(sizes: Sequence[tuple[int, int]], resize: Resize) -> tuple[int, int]:
    """(height, width) for pictures of these sizes: the most common, at most LARGEST_SIDE long.

    A warning says what happens to the others.
    """
    (common, count), *_ = Counter(sizes).most_common(1)
    shrink = min(1.0, LARGEST_SIDE / max(common))
    size = (max(1, round(common[0] * shrink)), max(1, round(common[1] * shrink)))
    reasons = []
    if count < len(sizes):
        reasons.append(f"pictures come in {len(set(sizes))} sizes")
    if size != common:
        reasons.append(f"{_written(common)} is large")
    if reasons:
        warnings.warn(
            f"{' and '.join(reasons)}: all are brought to {_written(size)}, {_HOW[resize]} "
            "(resize= chooses how, image_size= the size)",
            UserWarning,
            stacklevel=3,
        )
    return size


def fit_to(picture: Image, size: tuple[int, int], resize: Resize) -> Image:
    """The picture at (height, width) = ``size``; untouched where it has that size already."""
    from PIL import Image, ImageOps

    height, width = size
    if picture.size == (width, height):
        return picture
    method = Image.Resampling.BICUBIC
    if resize == "stretch":
        return picture.resize((width, height), method)
    fitted = ImageOps.pad if resize == "pad" else ImageOps.fit
    return fitted(picture, (width, height), method)


def _written(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
