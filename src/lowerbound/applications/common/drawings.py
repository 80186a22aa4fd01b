"""Sheets of 8-bit pictures with headings, strips of decoded rows, and animations.

A strip shows rows along a path or a strength, as sheet, animation or table. GIF and WebP are
written by Pillow, MP4 and WebM by an installed ffmpeg.
"""

from __future__ import annotations

import colorsys
import math
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.common.files import replacing
from lowerbound.applications.common.form import FRAMES_PER_SECOND
from lowerbound.data.arrays import Array, check_numbers
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.errors import DataError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_SIDE = 56  # pixels: smaller pictures are enlarged
MARGIN, SHEET_MARGIN = 3, 2  # pixels, with and without headings
FONT_SIZE = 12
COMPRESS_LEVEL = 1  # of zlib: much faster than the default 6, for files that are a little larger
BY_PILLOW = (".gif", ".webp")
BY_ENCODER = (".mp4", ".webm")
ANIMATIONS = (*BY_PILLOW, *BY_ENCODER)
SMALL = 320  # pixels: WebP up to this size is lossless
PICTURES = (".png", *ANIMATIONS, ".npz", "")
WIDE, MOST_COLUMNS, FEWEST_COLUMNS = 2000, 17, 5  # of a sheet: pixels, pictures
FRAME_SIDE, PART_SIDE = 160, 96  # pixels: smaller pictures are enlarged in an animation


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


def write_animation(
    path: Path, frames: Sequence[Image], per_second: float = FRAMES_PER_SECOND
) -> tuple[str, ...]:
    """Write frames of one size in the format of ``path``'s suffix; GIF and WebP repeat forever.

    Raises:
        OptionError: the number of frames per second is not positive.
        UnsupportedError: MP4 or WebM without an encoder; the message explains how to install one.
    """
    if not per_second > 0:
        raise OptionError(f"--fps must be positive, not {per_second:g}")
    if path.suffix.lower() in BY_ENCODER:
        _encode(path, frames, per_second, encoder())
    else:
        kind = path.suffix.lower().removeprefix(".")
        small = max(frames[0].size) <= SMALL
        how = {"lossless": small, "quality": 90} if kind == "webp" else {}
        with replacing(path) as place, place.open("wb") as file:
            frames[0].save(
                file,
                format=kind.upper(),
                save_all=True,
                append_images=list(frames[1:]),
                duration=round(1000 / per_second),
                loop=0,
                **how,
            )
    return (str(path),)


def check_animation(path: Path) -> None:
    """Check that what writes the format of ``path``'s suffix is there, before any work is done.

    Raises:
        UnsupportedError: MP4 or WebM without an encoder; the message explains how to install one.
    """
    if path.suffix.lower() in BY_ENCODER:
        encoder()


def encoder() -> str:
    """The ffmpeg on the path; it is not a dependency, because its licence is copyleft.

    Raises:
        UnsupportedError: ffmpeg is not on the path.
    """
    found = shutil.which("ffmpeg")
    if found is None:
        raise UnsupportedError(
            "MP4 and WebM are written by ffmpeg, which is not on the path: install it (apt install "
            "ffmpeg, brew install ffmpeg, ...), or write a .gif or .webp"
        )
    return found


def _encode(path: Path, frames: Sequence[Image], per_second: float, program: str) -> None:
    """Pipe raw frames into the encoder; players require even sides and 4:2:0."""
    width, height = (side + side % 2 for side in frames[0].size)
    with replacing(path) as place:
        command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", f"{per_second:g}", "-i", "-", "-an"]
        command += ["-pix_fmt", "yuv420p", "-f", path.suffix.lower().removeprefix("."), str(place)]
        raw = b"".join(_even(frame, width, height) for frame in frames)
        done = subprocess.run(command, input=raw, capture_output=True, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise DataError(f"{path}: {program} cannot write it: {' '.join(reason)}; use .gif")


def _even(frame: Image, width: int, height: int) -> bytes:
    """The frame as RGB bytes, its last row and column repeated where a side is odd."""
    values = np.asarray(frame.convert("RGB"))
    missing = ((0, height - values.shape[0]), (0, width - values.shape[1]), (0, 0))
    return np.pad(values, missing, mode="edge").tobytes()


@dataclass(frozen=True, eq=False)
class Strip:
    """Decoded rows in lines (a kind of path, an example) and columns (t, a strength).

    Attributes:
        x: (lines, columns, *event) in model units.
        lines: a name for each line.
        columns: a number or a name for each column.
        line_key: name of the table column with the lines; "" for a single line without a name.
        column_key: name of the table column with the columns: "t", "strength", "term".
        before: real rows shown at the left of a sheet, (lines, *event), under ``before_name``.
        after: real rows shown at the right, under ``after_name``.
        ids: names of the rows that the lines are of; None: unknown, or lines are of no row.
        endings: what a picture of each column adds to the name of its row, in a folder; empty:
            pictures are named by line and column.
    """

    x: Tensor
    lines: tuple[str, ...]
    columns: tuple[float, ...] | tuple[str, ...]
    line_key: str
    column_key: str
    before: Tensor | None = None
    after: Tensor | None = None
    before_name: str = ""
    after_name: str = ""
    ids: tuple[str, ...] | None = None
    endings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_numbers(self.x)

    @property
    def row_keys(self) -> dict[str, Any]:
        """The line and the column of every row of a table."""
        named: dict[str, Any] = {}
        if self.line_key:
            named[self.line_key] = [line for line in self.lines for _ in self.columns]
        named[self.column_key] = list(self.columns) * len(self.lines)
        return named


def sheet_of(strip: Strip) -> Image:
    """All lines with their names and headings; a selection of the columns if there are many."""
    shown = _evenly(len(strip.columns), _most_columns(strip.x.shape[-1]))
    pictures = [list(eight_bit(line[shown])) for line in strip.x]
    above = [heading(strip.columns[i]) for i in shown]
    if strip.before is not None:
        above.insert(0, strip.before_name)
        for line, picture in zip(pictures, eight_bit(strip.before), strict=True):
            line.insert(0, picture)
    if strip.after is not None:
        above.append(strip.after_name)
        for line, picture in zip(pictures, eight_bit(strip.after), strict=True):
            line.append(picture)
    if not strip.line_key:
        return grid(pictures, above)
    return grid(pictures, above, strip.lines, corner=strip.column_key)


def animated(strip: Strip) -> list[Image]:
    """One frame per column, the lines side by side."""
    if len(strip.x) == 1:
        return [enlarged(flat_image(p), FRAME_SIDE) for p in eight_bit(strip.x[0])]
    across = math.ceil(math.sqrt(len(strip.x)))
    names = strip.lines if len(strip.x) <= across else ()
    return [_frame(column, across, names) for column in strip.x.transpose(0, 1)]


def heading(value: float | str) -> str:
    """A name, or a number with at most three decimals."""
    if isinstance(value, str):
        return value
    return f"{round(value, 3) + 0.0:.3f}".rstrip("0").rstrip(".")  # + 0.0: no "-0"


def _frame(pictures: Tensor, across: int, names: Sequence[str]) -> Image:
    shown = list(eight_bit(pictures))
    blank = [255 + 0 * shown[0]] * (-len(shown) % across)
    lines = [*shown, *blank]
    table = [lines[i : i + across] for i in range(0, len(lines), across)]
    return grid(table, names, least_side=PART_SIDE)


def _most_columns(width: int) -> int:
    return min(MOST_COLUMNS, max(FEWEST_COLUMNS, WIDE // max(width, 1)))


def _evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` positions, evenly spread from the first to the last."""
    if count <= most:
        return list(range(count))
    return [round(i) for i in torch.linspace(0, count - 1, most, dtype=torch.float64).tolist()]
