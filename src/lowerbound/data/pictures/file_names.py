"""Names of the files that are made of pictures or tiles.

They are the names of the pictures, or numbers. That of a tile says its picture, and the corner at
which it was cut out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lowerbound.data.pictures.folders import SHEET
from lowerbound.data.pictures.whole import names_beside

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
