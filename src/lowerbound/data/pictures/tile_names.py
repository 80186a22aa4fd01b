"""Names of tiles: the file of a picture, and the corner at which a tile was cut out of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

TILE = re.compile(r"(.*?)(?::(\d+),(\d+))?", re.DOTALL)  # a file, and the corner of a tile


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
