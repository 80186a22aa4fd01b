"""The tiles that a transform coder cuts pictures into, each coded separately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import spread_rows

WHOLE = 1024  # pixels of a side: a picture that is no larger is one tile
TILE = 512  # of a larger one: larger tiles save few bytes and need much memory


@dataclass(frozen=True)
class Tile:
    """A part of one picture."""

    row: int
    top: int
    left: int
    size: tuple[int, int]

    def of(self, x: Tensor) -> Tensor:
        """The part, (1, channels, *size), a view."""
        down, across = self.size
        rows = x[self.row : self.row + 1]
        return rows[:, :, self.top : self.top + down, self.left : self.left + across]

    def in_picture(self, x: Array) -> Array:
        """The part of one picture (height, width, channels), a view."""
        down, across = self.size
        return x[self.top : self.top + down, self.left : self.left + across]


def tiles_of_pictures(shape: Sequence[int], most: int | None = None) -> list[Tile]:
    """The tiles that pictures of a shape, (rows, channels, height, width), are written as.

    Args:
        shape: of the pictures.
        most: how many of them, evenly spread; None: all.
    """
    tiles = list(tiles_of_side(shape, side_of(shape)))
    if most is None or len(tiles) <= most:
        return tiles
    return [tiles[place] for place in spread_rows(len(tiles), most).tolist()]


def side_of(shape: Sequence[int]) -> int:
    """The side of the tiles that pictures of a shape are written as."""
    return WHOLE if max(shape[2:]) <= WHOLE else TILE


def tiles_of_side(shape: Sequence[int], side: int) -> Iterator[Tile]:
    """The tiles of pictures, picture by picture, row by row; ``side`` in pixels."""
    rows, _, height, width = shape
    for row, top, left in product(range(rows), range(0, height, side), range(0, width, side)):
        yield Tile(row, top, left, (min(side, height - top), min(side, width - left)))
