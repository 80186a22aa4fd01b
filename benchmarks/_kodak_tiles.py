"""Tiles of the 24 Kodak photographs: small lossless color pictures for bits per dimension.

All tiles of a photograph are in one part. The last six photographs by name are the test part, so no
test tile is adjacent to a training tile. The tiles of the named set do not overlap. The photographs
are released for unrestricted use (https://r0k.us/graphics/kodak/).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _archives import member_names, read_members

from lowerbound.data import CATALOG
from lowerbound.data.arrays import Array
from lowerbound.data.catalog import choose_part, data_folders, first_place
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError

SOURCE = "https://r0k.us/graphics/kodak/"
PLACES = ("kodak24.tar", "kodak24", "kodak")


@dataclass(frozen=True)
class KodakTiles:
    """Square tiles of photographs, which are PNG files in a folder or tar.

    Attributes:
        name: of the set.
        side: height and width of a tile.
        stride: pixels from one training tile to the next; None: ``side``. Test tiles never
            overlap.
        photographs: number of photographs.
        held_out: number of photographs, the last by name, in the test part.
    """

    name: str = "kodak_tiles"
    side: int = 32
    stride: int | None = None
    photographs: int = 24
    held_out: int = 6

    def locate(self) -> Path:
        """Find the folder or tar of photographs, in LOWERBOUND_DATA or in the cache.

        Raises:
            DataError: it is not found; the message names the source.
        """
        found = first_place(data_folders(), PLACES)
        if found is None:
            places = " or ".join(str(folder) for folder in data_folders())
            raise DataError(
                f"the data set {self.name} is missing: put the {self.photographs} photographs of "
                f"{SOURCE} as a folder named kodak, or as kodak24.tar, into {places}"
            )
        return found

    def read(self, split: str | None) -> RawData:
        """Read tiles (rows, side, side, 3) uint8 of "train" (also for None) or "test".

        Each has the row id "photograph:top,left" in pixels.

        Raises:
            DataError: the split is unknown, or photographs are missing or damaged.
        """
        split = choose_part(self.name, split)
        stride = self.stride or self.side if split == "train" else self.side
        tiles, ids = [], []
        for name, content in self._members(split):
            photograph = _decode(content, name)
            tiles.append(cut(photograph, self.side, stride))
            ids += _corners(name, photograph, self.side, stride)
        return RawData(
            np.concatenate(tiles),
            levels=256,
            channels="last",
            ids=tuple(ids),
            source=f"{self.name}:{split}",
        )

    def _members(self, split: str) -> Iterator[tuple[str, bytes]]:
        place = self.locate()
        names = [name for name in member_names(place) if name.lower().endswith(".png")]
        if len(names) != self.photographs:
            raise DataError(f"{place} has {len(names)} PNG, not the {self.photographs} of {SOURCE}")
        border = self.photographs - self.held_out
        return read_members(place, names[:border] if split == "train" else names[border:])


def cut(photograph: Array, side: int, stride: int) -> Array:
    """Cut (H, W, 3) into tiles (rows, side, side, 3), by rows; remainders are dropped.

    Raises:
        DataError: the picture is smaller than a tile.
    """
    if min(photograph.shape[:2]) < side:
        raise DataError(f"no tile of {side}x{side} fits into a picture {photograph.shape[:2]}")
    windows = np.lib.stride_tricks.sliding_window_view(photograph, (side, side), axis=(0, 1))
    return windows[::stride, ::stride].transpose(0, 1, 3, 4, 2).reshape(-1, side, side, 3)


def _corners(name: str, photograph: Array, side: int, stride: int) -> list[str]:
    """Row ids in the order of ``cut``."""
    height, width = photograph.shape[:2]
    tops, lefts = range(0, height - side + 1, stride), range(0, width - side + 1, stride)
    return [f"{name}:{top},{left}" for top in tops for left in lefts]


def _decode(content: bytes, name: str) -> Array:
    """Decode a PNG as (H, W, 3) uint8, without conversion."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.mode != "RGB":
                raise DataError(f"{name} is {picture.mode}, not a photograph in RGB")
            return np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} cannot be read as a picture: {error}") from error


KODAK_TILES = KodakTiles()
"""6,912 + 2,304 tiles, 32x32 color, of 18 + 6 of the Kodak photographs."""
CATALOG.register(KODAK_TILES.name)(KODAK_TILES.read)
