"""Sheets of 8-bit pictures side by side, with optional headings above and beside them."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.io.files import replacing
from lowerbound.data.arrays import Array

if TYPE_CHECKING:
    from PIL.Image import Image


LEAST_SIDE = 56  # pixels: smaller pictures are enlarged
MARGIN, SHEET_MARGIN = 3, 2
FONT_SIZE = 12
COMPRESS_LEVEL = 1  # of zlib: much faster than the default 6, for files that are a little larger


def flat_image(picture: Array) -> Image:
    """(height, width, channels) uint8 as a grey or color image; transparency becomes white."""
    from PIL import Image as pillow

    image = pillow.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    if image.mode in ("L", "RGB"):
        return image
    white = pillow.new("RGBA", image.size, "white")
    return pillow.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def enlarged(image: Image, least_side: int = LEAST_SIDE) -> Image:
    """A small picture, enlarged without smoothing to at least ``least_side`` pixels."""
    from PIL import Image as pillow

    times = max(1, math.ceil(least_side / max(image.size)))
    size = (image.width * times, image.height * times)
    return image.resize(size, pillow.Resampling.NEAREST)


def grid(
    pictures: Sequence[Sequence[Array]],
    above: Sequence[str] = (),
    beside: Sequence[str] = (),
    corner: str = "",
    least_side: int = LEAST_SIDE,
) -> Image:
    """A sheet of pictures of one size.

    Args:
        pictures: rows of (height, width, channels) uint8.
        above: a heading for each column, shortened if it is far wider than the pictures.
        beside: a heading for each row.
        corner: a heading for the columns' headings.
        least_side: least side in pixels; smaller pictures are enlarged.
    """
    from PIL import Image as pillow, ImageDraw

    images = [[enlarged(flat_image(picture), least_side) for picture in row] for row in pictures]
    width, height = images[0][0].size
    words = [*above, *[""] * (max(map(len, images)) - len(above))]
    wide = [max(width, min(2 * width, _widest([word]) + 2 * MARGIN)) + MARGIN for word in words]
    tall = height + MARGIN
    left = MARGIN + (_widest([*beside, corner]) + 2 * MARGIN if any([*beside, corner]) else 0)
    top = MARGIN + (FONT_SIZE + 2 * MARGIN if any(above) else 0)
    lefts = [*accumulate(wide, initial=left)]
    size = (lefts[-1], top + len(images) * tall)
    sheet = pillow.new(images[0][0].mode, size, "white")
    for row, line in enumerate(images):
        for column, image in enumerate(line):
            middle = (wide[column] - MARGIN - width) // 2
            sheet.paste(image, (lefts[column] + middle, top + row * tall))
    write = ImageDraw.Draw(sheet).text
    if corner:
        write((left - 2 * MARGIN, top - 2 * MARGIN), corner, "black", _font(), anchor="rs")
    for column, word in enumerate(above):
        place = (lefts[column] + (wide[column] - MARGIN) // 2, top - 2 * MARGIN)
        write(place, _fitting(word, wide[column]), "black", _font(), anchor="ms")
    for row, word in enumerate(beside):
        place = (left - 2 * MARGIN, top + row * tall + (tall - MARGIN) // 2)
        write(place, word, "black", _font(), anchor="rm")
    return sheet


@cache
def _font() -> Any:
    """DejaVu Sans, because Pillow's own font has few letters besides those of English."""
    import matplotlib
    from PIL import ImageFont

    place = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(place, FONT_SIZE)


def _widest(words: Sequence[str]) -> int:
    return math.ceil(max((_font().getlength(word) for word in words), default=0))


def _fitting(word: str, width: int) -> str:
    """The word, or its start and its end, as long names differ in one of them."""
    if _font().getlength(word) <= width:
        return word
    kept = len(word) - 1
    while kept > 1 and _font().getlength(_ends(word, kept)) > width - 2 * MARGIN:
        kept -= 1
    return _ends(word, kept)


def _ends(word: str, kept: int) -> str:
    return f"{word[: kept - kept // 2]}…{word[len(word) - kept // 2 :]}"


def write_picture(path: Path, picture: Array) -> tuple[str, ...]:
    """Write one PNG from (height, width, channels) uint8."""
    with replacing(path) as place:
        as_image(picture).save(place, format="PNG", compress_level=COMPRESS_LEVEL)
    return (str(path),)


def as_image(picture: Array) -> Image:
    """A Pillow image, grey or color, with or without an alpha channel."""
    from PIL import Image as pillow

    return pillow.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def in_color(x: Tensor) -> Tensor:
    """(rows, C, H, W) with one or three channels as it is; others in colors of their own.

    A pixel has the color of its strongest channel, in proportion to its value.
    """
    channels = x.shape[1]
    if channels in (1, 3):
        return x
    strongest, which = x.max(1, keepdim=True)
    colors = torch.tensor([colorsys.hsv_to_rgb(n / channels, 0.75, 1.0) for n in range(channels)])
    return colors.to(x)[which[:, 0]].movedim(-1, 1) * strongest


def sheet(pictures: list[Array], across: int | None = None) -> Array:
    """Pictures of one size side by side, (H, W, C) uint8; small ones enlarged without smoothing."""
    height, width, channels = pictures[0].shape
    times = max(1, math.ceil(LEAST_SIDE / max(height, width)))
    across = across or math.ceil(math.sqrt(len(pictures)))
    down = math.ceil(len(pictures) / across)
    tall, wide = height * times + SHEET_MARGIN, width * times + SHEET_MARGIN
    size = (down * tall + SHEET_MARGIN, across * wide + SHEET_MARGIN, channels)
    canvas = np.full(size, 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // across * tall + SHEET_MARGIN, index % across * wide + SHEET_MARGIN
        large = picture.repeat(times, 0).repeat(times, 1)
        canvas[top : top + tall - SHEET_MARGIN, left : left + wide - SHEET_MARGIN] = large
    return canvas
