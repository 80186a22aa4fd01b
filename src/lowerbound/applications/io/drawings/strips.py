"""Strips: decoded rows along a path or a strength, written as sheet, animation or table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lowerbound.applications.io.drawings.animations import ANIMATIONS
from lowerbound.applications.io.drawings.grids import enlarged, flat_image, grid
from lowerbound.data.arrays import check_numbers
from lowerbound.data.pictures.pixels import eight_bit

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = (".png", *ANIMATIONS, ".npz", "")
WIDE, MOST_COLUMNS, FEWEST_COLUMNS = 2000, 17, 5  # of a sheet: pixels, pictures
FRAME_SIDE, PART_SIDE = 160, 96  # pixels: smaller pictures are enlarged in an animation


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
