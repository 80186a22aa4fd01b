"""Pictures at their own size and with their own colors, for results that are pictures again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.decoding import (
    bits_of,
    frames_of,
    is_transparent,
    open_picture,
)
from lowerbound.data.pictures.folders import SEVERAL, SUFFIXES, find_pictures
from lowerbound.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

UNCHANGED = ("L", "LA", "RGB", "RGBA", "P", "PA")  # modes whose colors keep their meaning


@dataclass(frozen=True, eq=False)
class WholePicture:
    """A picture of 8 bits.

    Attributes:
        values: (height, width, 1 or 3) uint8, grey or color.
        alpha: opacity, (height, width) uint8; None: opaque.
        profile: its color space, as an ICC profile; None: none is stored.
    """

    values: Array
    alpha: Array | None
    profile: bytes | None

    @property
    def equal_colors(self) -> bool:
        """Whether it is grey, even if it is stored in color."""
        return bool((self.values[..., 1:] == self.values[..., :1]).all())

    def with_values(self, values: Array) -> Image:
        """The same picture with other values, (height, width, 1 or 3) uint8, in the same mode."""
        from PIL import Image

        whole = np.broadcast_to(values, self.values.shape)
        parts = [whole[..., i] for i in range(whole.shape[2])]
        parts += [] if self.alpha is None else [self.alpha]
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(parts)]
        return Image.merge(mode, [Image.fromarray(np.ascontiguousarray(part)) for part in parts])


def picture_paths(data: str) -> list[Path]:
    """The picture files in ``data``, a file or a folder; empty if it is something else."""
    place = Path(data)
    if place.is_dir():
        return [place / path for path in find_pictures(place)]
    return [place] if place.is_file() and place.suffix.lower() in SUFFIXES else []


def read_whole_picture(path: Path) -> WholePicture:
    """Read a picture upright; palettes and other color spaces become RGB.

    Raises:
        DataError: it cannot be read, holds several pictures, or has more than 8 bits per color.
    """
    from PIL import ImageOps

    try:
        with untrusted.guarded(str(path), DataError), open_picture(path) as file:
            if (frames := frames_of(file)) > 1:
                raise DataError(SEVERAL.format(path=path, frames=frames))
            if (bits := bits_of(file)) > 8:
                raise DataError(
                    f"{path} has {bits} bits per color, and 8 are read and written: convert it to "
                    "8 bits first"
                )
            profile = file.info.get("icc_profile") if file.mode in UNCHANGED else None
            return _split(ImageOps.exif_transpose(file), profile)
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error


def _split(picture: Image, profile: bytes | None) -> WholePicture:
    """Colors and opacity of a picture."""
    clear = is_transparent(picture)
    grey = picture.mode in ("1", "L", "LA")
    bands = np.asarray(picture.convert(("L" if grey else "RGB") + ("A" if clear else "")))
    bands = bands.reshape(*bands.shape[:2], -1)
    colors = 1 if grey else 3
    return WholePicture(bands[..., :colors], bands[..., colors] if clear else None, profile)


def names_beside(folder: Path, paths: Sequence[Path], suffix: str) -> list[str]:
    """Names of files that are made of the pictures below a folder, with another suffix.

    Pictures whose names differ only in the suffix keep it, and so does one whose shorter name is
    then taken: all names are different.
    """
    inside = [path.relative_to(folder) for path in paths]
    kept: set[Path] = set()
    while True:
        names = [path if path in kept else path.with_suffix("") for path in inside]
        counts = Counter(names)
        more = {path for path, name in zip(inside, names, strict=True) if counts[name] > 1} - kept
        if not more:
            return [f"{name}{suffix}" for name in names]
        kept |= more
