"""Pictures at their own size and with their own colors, for results that are pictures again.

Names of the files that are made of pictures or tiles.

They are the names of the pictures, or numbers. That of a tile says its picture, and the corner at
which it was cut out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.decoding import (
    bits_of,
    frames_of,
    is_transparent,
    open_picture,
)
from lowerbound.data.pictures.folders import SEVERAL, SHEET, SUFFIXES, find_pictures
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


TILE = re.compile(r"(.*?)(?::(\d+),(\d+))?", re.DOTALL)  # a file, and the corner of a tile
LONGEST = 255  # bytes of a file's name


class TileName(NamedTuple):
    """A tile of a picture."""

    picture: str
    top: int
    left: int


def tiles_in(ids: Sequence[str]) -> list[TileName] | None:
    """The tiles with these ids; None if some are whole pictures."""
    found = [TILE.fullmatch(name) for name in ids]
    tiles = [TileName(m[1], int(m[2]), int(m[3])) for m in found if m is not None and m[2]]
    return tiles if len(tiles) == len(ids) else None


def file_names(ids: Sequence[str] | None, rows: int, stacks: int | Sequence[str]) -> list[str]:
    """The file of each row, of all stacks: by the row's id, or by its number.

    Numbers are used if ids are unknown, or if they are no names of files below a folder that differ
    from each other and from the sheet.

    Args:
        ids: of the rows.
        rows: number of rows.
        stacks: number of pictures of each row, of which later ones add their number to the name;
            or what each adds to it.
    """
    ends = stacks
    if isinstance(ends, int):
        ends = ["", *(f"-{stack}" for stack in range(1, ends))]
    names = [f"{stem}{end}.png" for end in ends for stem in stems(ids or ())]
    if names and _can_be_written([*names, SHEET]):
        return names
    return [f"{row:05d}{end}.png" for end in ends for row in range(rows)]


def stems(ids: Sequence[str]) -> list[str]:
    """The names of pictures without their suffix; a tile's name ends in its corner."""
    found = [TILE.fullmatch(name) for name in ids]
    paths = [Path(name[1]) for name in found if name is not None]
    if any(path.is_absolute() or ".." in path.parts or not path.name for path in paths):
        return []
    distinct = list(dict.fromkeys(paths))
    short = dict(zip(distinct, names_beside(Path(), distinct, ""), strict=True))
    corners = [f"-{name[2]}-{name[3]}" if name and name[2] else "" for name in found]
    return [short[path] + corner for path, corner in zip(paths, corners, strict=True)]


def _can_be_written(names: Sequence[str]) -> bool:
    """Whether all are names of different files, none of which is a folder of another."""
    folded = [name.lower() for name in names]  # one file where case is ignored
    folders = {str(parent) for name in folded for parent in Path(name).parents}
    parts = {part for name in names for part in Path(name).parts}
    return (
        len(set(folded)) == len(names)
        and not folders & set(folded)
        and not any("\0" in part or len(part.encode()) > LONGEST for part in parts)
    )
