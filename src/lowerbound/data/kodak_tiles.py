"""Tiles of the 24 Kodak photographs: small lossless color pictures for bits per dimension.

The tiles of a photograph do not overlap and all lie in one part: the last six photographs by name
are the test part, so no test tile has a neighbor that was trained on. The photographs are released
for unrestricted use (https://r0k.us/graphics/kodak/).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.download import data_folders
from lowerbound.data.published import (
    choose_part,
    first_place,
    member_names,
    members_sha256,
    read_members,
)
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]
HOME = "https://r0k.us/graphics/kodak/"
PLACES = ("kodak24.tar", "kodak24", "kodak")


@dataclass(frozen=True)
class KodakTiles:
    """Square tiles of photographs that lie as PNG in a folder or tar.

    Attributes:
        name: of the set.
        side: height and width of a tile.
        photographs: how many there are.
        held_out: how many of them, the last by name, are the test part.
    """

    name: str = "kodak_tiles"
    side: int = 32
    photographs: int = 24
    held_out: int = 6

    def locate(self) -> Path:
        """The folder or tar of photographs, in LOWERBOUND_DATA or in the cache.

        Raises:
            DataError: there is none; the message says where to get them.
        """
        found = first_place(data_folders(), PLACES)
        if found is None:
            places = " or ".join(str(folder) for folder in data_folders())
            raise DataError(
                f"the Kodak photographs are missing: put the {self.photographs} PNG of {HOME} as a "
                f"folder named kodak, or as kodak24.tar, into {places}"
            )
        return found

    def read(self, split: str | None) -> RawData:
        """Tiles (rows, side, side, 3) uint8 of "train" (also for None) or "test".

        Each has the row id "photograph:top,left" in pixels.

        Raises:
            DataError: unknown split; the photographs are missing, too few or damaged.
        """
        split = choose_part(self.name, split)
        tiles, ids = [], []
        for name, content in self._members(split):
            photograph = _decode(content, name)
            tiles.append(cut(photograph, self.side))
            ids += _corners(name, photograph, self.side)
        return RawData(
            np.concatenate(tiles),
            levels=256,
            channels="last",
            ids=tuple(ids),
            source=f"{self.name}:{split}",
        )

    def provenance(self, split: str | None = None) -> dict[str, str]:
        """{"file", "sha256", "split"}; the hash is that of the part's PNG one after another."""
        split = choose_part(self.name, split)
        digest = members_sha256(self._members(split))
        return {"file": self.locate().name, "sha256": digest, "split": split}

    def _members(self, split: str) -> Iterator[tuple[str, bytes]]:
        place = self.locate()
        names = [name for name in member_names(place) if name.lower().endswith(".png")]
        if len(names) != self.photographs:
            raise DataError(f"{place} has {len(names)} PNG, not the {self.photographs} of {HOME}")
        border = self.photographs - self.held_out
        return read_members(place, names[:border] if split == "train" else names[border:])


def cut(photograph: Array, side: int) -> Array:
    """Tiles (rows, side, side, 3) of (H, W, 3), by rows; what is over at the right and below goes.

    Raises:
        DataError: not one tile fits.
    """
    down, across = photograph.shape[0] // side, photograph.shape[1] // side
    if down * across == 0:
        raise DataError(f"no tile of {side}x{side} fits into a picture {photograph.shape[:2]}")
    whole = photograph[: down * side, : across * side]
    grid = whole.reshape(down, side, across, side, 3).swapaxes(1, 2)
    return grid.reshape(-1, side, side, 3)


def _corners(name: str, photograph: Array, side: int) -> list[str]:
    """Row ids in the order of ``cut``."""
    height, width = photograph.shape[:2]
    tops, lefts = range(0, height - side + 1, side), range(0, width - side + 1, side)
    return [f"{name}:{top},{left}" for top in tops for left in lefts]


def _decode(content: bytes, name: str) -> Array:
    """(H, W, 3) uint8, the values that the file holds and no conversion of them."""
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
