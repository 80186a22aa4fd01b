"""Picture files by Pillow: headers, and pixels as 8-bit grey or color, several files at a time.

TIFF files may be no pictures: planes, bands and signed values of measurements.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from lowerbound import untrusted
from lowerbound.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = "TIFF"  # of files that may hold measurements
BITS, BANDS, PLANAR, EXTRA, NUMBERS = 258, 277, 284, 338, 339  # tags
SEPARATE, SIGNED = 2, 2  # of PLANAR, of NUMBERS
MOST_BITS = 16  # of a band; more are refused as such
NO_MEANING = 0  # of EXTRA: a band that is no opacity
TYPES = {1: "whole numbers", 2: "signed whole numbers", 3: "floats"}  # of numbers in TIFF
INSTEAD = (
    "save the values as an array x of (pictures, height, width, bands) in an .npz file, scaled to "
    "[0, 1], or each band as a grey picture of 8 or 16 bits"
)
AT_ONCE = 256  # files given to the threads at a time
DEEP_FORMATS = ("PNG", "TIFF")  # Pillow reads 8 bits of their deep colors
CLEAR_MODES = ("LA", "PA", "La", "RGBA", "RGBa")  # and LAB has another A
BYTES_OF_PIXEL = 26  # of memory, measured: the picture, its copies, and what is made of it
T = TypeVar("T")


def measurements_in(picture: Image) -> str:
    """Why an opened TIFF file is no picture, though Pillow reads a part of it, or other values: its
    bands are stored as planes, which need not be colors, or it has bands beside its colors, or
    signed values; "" if it is one."""
    if picture.format != FORMAT:
        return ""
    tags: Any = picture.tag_v2  # type: ignore[attr-defined]
    bands = tags.get(BANDS, 1)
    if SIGNED in tags.get(NUMBERS, ()) and max(tags.get(BITS, (1,))) <= MOST_BITS:
        return f"it has signed whole numbers, and pixels start at 0: {INSTEAD}"
    if bands > 1 and tags.get(PLANAR) == SEPARATE:
        return (
            f"it has {bands} bands, one stored after the other as measurements are, so that they "
            f"may be no colors: {INSTEAD}; if they are colors, save them as PNG"
        )
    if extra := sum(meaning == NO_MEANING for meaning in tags.get(EXTRA, ())):
        return f"it has {bands} bands, {extra} of them neither color nor opacity: {INSTEAD}"
    return ""


def unknown_tiff(path: Path | IO[bytes]) -> str:
    """What a TIFF file holds that Pillow does not know; "" if it is no such file."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        with path.open("rb") if isinstance(path, Path) else nullcontext(path) as file:
            file.seek(0)
            tags = ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
        bits, bands = tags.get(BITS, (1,))[0], tags.get(BANDS, 1)
        kind = TYPES.get(tags.get(NUMBERS, (1,))[0], "numbers of an unknown type")
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error):
        return ""  # it is damaged or no such file, and is named as that
    return f"it has {bands} band{'s' * (bands != 1)} of {bits} bits, {kind}: {INSTEAD}"


@dataclass(frozen=True)
class PictureHeader:
    """The header of a picture file; size is (height, width) after rotation."""

    path: Path
    size: tuple[int, int]
    colored: bool
    transparent: bool  # or has an opacity: whether a pixel is transparent, only pixels say
    deep: bool
    inks: bool  # or LAB: its colors become those of a screen
    frames: int


class Unreadable(NamedTuple):
    """Why a file is not read."""

    error: Exception


def each_answer(
    read: Callable[[Path], T], files: Sequence[Path], threads: int
) -> Generator[T | Unreadable, None, None]:
    """Results of ``read`` for each file, in order."""
    from PIL import Image

    def tried(path: Path) -> T | Unreadable:
        try:
            return read(path)
        # errors of Pillow's plug-ins for broken files
        except (
            OSError, ValueError, SyntaxError, TypeError, IndexError, EOFError, OverflowError,
            Image.DecompressionBombError,
        ) as error:  # fmt: skip
            return Unreadable(error)

    if threads < 2:
        yield from map(tried, files)
        return
    Image.preinit()
    context = copy_context()  # of the limit of memory
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(files), AT_ONCE):  # few wait at an error or Ctrl-C
            block = files[first : first + AT_ONCE]
            yield from pool.map(lambda path: context.copy().run(tried, path), block)


@contextmanager
def any_number_of_pixels() -> Iterator[None]:
    """Context without Pillow's warning of many pixels: the limit of memory is checked instead."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


@contextmanager
def open_picture(path: Path | IO[bytes]) -> Iterator[Image]:
    """Context with an opened picture, whose size is within the limit of memory.

    Raises:
        DataError: it needs more memory than the limit.
        OSError: it is no picture, or holds measurements.
    """
    with any_number_of_pixels(), _opened(path) as picture:
        yield picture


@contextmanager
def _opened(path: Path | IO[bytes]) -> Iterator[Image]:
    """``open_picture`` where Pillow's warning is off."""
    from PIL import Image as pillow, UnidentifiedImageError

    with ExitStack() as stack:
        file, name = path, "the picture"
        if isinstance(path, Path):
            file, name = stack.enter_context(untrusted.opened(path, DataError)), str(path)
        try:
            picture = stack.enter_context(pillow.open(file))
        except UnidentifiedImageError as error:
            raise OSError(unknown_tiff(file) or f"cannot identify image file {name!r}") from error
        needed = BYTES_OF_PIXEL * picture.width * picture.height
        untrusted.check_memory(needed, name, DataError)
        if reason := measurements_in(picture):
            raise OSError(reason)
        yield picture


def read_header(path: Path) -> PictureHeader:
    """The header of a file, where Pillow's warning is off.

    Raises:
        ValueError: its pixels are floats, or whole numbers of 32 bits.
    """
    with _opened(path) as picture:
        width, height = picture.size
        # Pillow decodes a whole PNG to find its rotation, which few have
        rotated = picture.format != "PNG" or "exif" in picture.info
        if rotated and picture.getexif().get(0x0112, 1) >= 5:  # rotated by 90 degrees
            width, height = height, width
        bits = bits_of(picture)
        if bits > 16:
            what = "floats" if picture.mode == "F" else "whole numbers of 32 bits"
            raise ValueError(f"its pixels are {what}; save such data as .npz, scaled to [0, 1]")
        return PictureHeader(
            path=path,
            size=(height, width),
            colored=picture.mode not in ("1", "L", "LA", "I") and picture.mode[:4] != "I;16",
            transparent=is_transparent(picture),
            deep=bits > 8,
            inks=picture.mode in ("CMYK", "LAB"),
            frames=frames_of(picture),
        )


def bits_of(picture: Image) -> int:
    """Bits of each color in the file of an opened picture; Pillow keeps 8 of some with 16."""
    raw = [str(tile[-1]) for tile in getattr(picture, "tile", ())]
    sixteen = picture.format in DEEP_FORMATS and any(";16" in arguments for arguments in raw)
    if picture.mode in ("I", "F") and not sixteen:
        return 16 if picture.format == "PPM" else 32
    return 16 if sixteen or picture.mode[:4] == "I;16" else 8


def frames_of(picture: Image) -> int:
    """The number of pictures in a file; those after the first of a phone's are of another kind."""
    return 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)


def is_transparent(picture: Image) -> bool:
    """Whether a picture has opacity."""
    return picture.mode in CLEAR_MODES or "transparency" in picture.info


def has_clear_pixel(path: Path) -> bool:
    """Whether ``on_white`` changes a pixel of the picture that ``read_pixels`` reads."""
    with open_picture(path) as picture:
        if picture.mode[0] == "I" or not is_transparent(picture):
            return False
        opacity = np.asarray(picture.convert("RGBA").getchannel("A"))
        return int(opacity.min()) < 255


def read_pixels(path: Path, mode: str, target: tuple[int, int] | None = None) -> Image:
    """Read the pixels, rotated, as "L" or "RGB"; a JPEG to be resized to (height, width) =
    ``target`` is read at a part of its size that is at least twice as large."""
    from PIL import Image, ImageOps

    with _opened(path) as file:
        if target is not None:
            part = _part(file.size, 2 * max(target))
            file.draft("RGB", (file.width // part, file.height // part))
        picture: Image.Image = ImageOps.exif_transpose(file)
        if picture.mode[0] == "I":
            picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
        return on_white(picture).convert(mode)


def on_white(picture: Image) -> Image:
    """A transparent picture laid on white, and one in LAB as RGB; others as they are."""
    from PIL import Image

    if picture.mode == "LAB":  # which Pillow converts to RGB only
        return picture.convert("RGB")
    if not is_transparent(picture):
        return picture
    clear = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)


def _part(size: tuple[int, int], least: int) -> int:
    """The largest divisor of both sides among those of a JPEG's blocks, for sides of ``least``."""
    fitting = (
        n for n in (8, 4, 2) if not any(side % n for side in size) and min(size) // n >= least
    )
    return next(fitting, 1)
