"""TIFF files that are no pictures: planes, bands and signed values of measurements."""

from __future__ import annotations

import struct
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = "TIFF"
BITS, BANDS, PLANAR, EXTRA, NUMBERS = 258, 277, 284, 338, 339  # tags
SEPARATE, SIGNED = 2, 2  # of PLANAR, of NUMBERS
MOST_BITS = 16  # of a band; more are refused as such
NO_MEANING = 0  # of EXTRA: a band that is no opacity
TYPES = {1: "whole numbers", 2: "signed whole numbers", 3: "floats"}
INSTEAD = (
    "save the values as an array x of (pictures, height, width, bands) in an .npz file, scaled to "
    "[0, 1], or each band as a grey picture of 8 or 16 bits"
)


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
