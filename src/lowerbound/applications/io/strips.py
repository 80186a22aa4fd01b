"""Strips: rows of decoded data along a path or a strength, as sheet, animation or table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lowerbound.applications.io import rows
from lowerbound.applications.io.animations import ANIMATIONS, FRAMES_PER_SECOND, write_animation
from lowerbound.applications.io.files import replacing
from lowerbound.applications.io.grids import enlarged, flat_image, grid
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError, UnsupportedError

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
        line_key: what lines are called in a table; "" where there is but one and it has no name.
        column_key: what columns are called: "t", "strength", "term".
        before: real rows shown at the left of a sheet, (lines, *event), under ``before_name``.
        after: real rows shown at the right, under ``after_name``.
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


def check_strip_suffix(path: Path, schema: Schema) -> None:
    """Refuse an output name that says nothing we write, before any work is done.

    Raises:
        OptionError: names what is written for this kind of data.
    """
    if schema.kind != "images":
        rows.check_suffix(path, schema)
    elif path.suffix.lower() not in PICTURES:
        raise OptionError(
            f"{path}: pictures are written as a .png sheet, as an animation "
            f"({', '.join(ANIMATIONS)}), as .npz, or into a folder (a name without suffix)"
        )


def write_strip(
    path: Path, schema: Schema, strip: Strip, per_second: float = FRAMES_PER_SECOND
) -> tuple[str, ...]:
    """Write a strip as the suffix of ``path`` says; of pictures always a .png sheet too.

    The sheet is written first, so that it is there where an animation cannot be.

    Returns:
        The files written, the one that was asked for first.

    Raises:
        UnsupportedError: a film, and no encoder is at hand; the sheet is written.
    """
    if schema.kind != "images":
        return _write_table(path, schema, strip)
    suffix = path.suffix.lower()
    if not suffix:
        return _write_folder(path, strip)
    sheet = _write_sheet(path.with_suffix(".png"), strip)
    if suffix == ".png":
        return sheet
    if suffix == ".npz":
        return (*rows.write_columns(path, _arrays(schema, strip)), *sheet)
    try:
        return (*write_animation(path, animated(strip), per_second), *sheet)
    except UnsupportedError as error:
        raise UnsupportedError(f"{error} (the sheet is in {sheet[0]})") from error


def sheet_of(strip: Strip) -> Image:
    """All lines with their names and numbers; of many columns as many as can be looked at."""
    shown = _evenly(len(strip.columns), _most_columns(strip.x.shape[-1]))
    pictures = [list(rows.eight_bit(line[shown])) for line in strip.x]
    above = [heading(strip.columns[i]) for i in shown]
    if strip.before is not None:
        above.insert(0, strip.before_name)
        for line, picture in zip(pictures, rows.eight_bit(strip.before), strict=True):
            line.insert(0, picture)
    if strip.after is not None:
        above.append(strip.after_name)
        for line, picture in zip(pictures, rows.eight_bit(strip.after), strict=True):
            line.append(picture)
    if not strip.line_key:
        return grid(pictures, above)
    return grid(pictures, above, strip.lines, corner=strip.column_key)


def animated(strip: Strip) -> list[Image]:
    """One frame per column, the lines side by side."""
    if len(strip.x) == 1:
        return [enlarged(flat_image(p), FRAME_SIDE) for p in rows.eight_bit(strip.x[0])]
    across = math.ceil(math.sqrt(len(strip.x)))
    names = strip.lines if len(strip.x) <= across else ()
    return [_frame(column, across, names) for column in strip.x.transpose(0, 1)]


def heading(value: float | str) -> str:
    """A name, or a number as short as it can be read."""
    if isinstance(value, str):
        return value
    return f"{value:.3g}"


def _frame(pictures: Tensor, across: int, names: Sequence[str]) -> Image:
    shown = list(rows.eight_bit(pictures))
    blank = [255 + 0 * shown[0]] * (-len(shown) % across)
    lines = [*shown, *blank]
    table = [lines[i : i + across] for i in range(0, len(lines), across)]
    return grid(table, names, least_side=PART_SIDE)


def _write_sheet(path: Path, strip: Strip) -> tuple[str, ...]:
    with replacing(path) as place:
        sheet_of(strip).save(place, format="PNG", optimize=True)
    return (str(path),)


def _write_folder(path: Path, strip: Strip) -> tuple[str, ...]:
    """A sheet, and each picture by line and column."""
    files = list(_write_sheet(path / "sheet.png", strip))
    for line, pictures in enumerate(strip.x):
        name = f"{strip.lines[line]}_" if strip.line_key and len(strip.x) > 1 else ""
        name = name.replace("/", "_").replace(" ", "_")
        for column, picture in enumerate(rows.eight_bit(pictures)):
            files += rows.write_picture(path / f"{name}{column:03d}.png", picture)
    return tuple(files)


def _write_table(path: Path, schema: Schema, strip: Strip) -> tuple[str, ...]:
    if path.suffix.lower() == ".npz":
        return rows.write_columns(path, _arrays(schema, strip))
    named = _keys(strip)
    taken = {column.name for column in schema.columns}
    named = {f"{key}_" if key in taken else key: value for key, value in named.items()}
    values = rows.columns(schema, strip.x.flatten(0, 1), rounded=False)
    return rows.write_columns(path, {**named, **values})


def _arrays(schema: Schema, strip: Strip) -> dict[str, Any]:
    return {**_keys(strip), "x": schema.decode(strip.x.flatten(0, 1), rounded=False)}


def _keys(strip: Strip) -> dict[str, Any]:
    """The line and the number of every row of a table."""
    named: dict[str, Any] = {}
    if strip.line_key:
        named[strip.line_key] = [line for line in strip.lines for _ in strip.columns]
    named[strip.column_key] = list(strip.columns) * len(strip.lines)
    return named


def _most_columns(width: int) -> int:
    return min(MOST_COLUMNS, max(FEWEST_COLUMNS, WIDE // max(width, 1)))


def _evenly(count: int, most: int) -> list[int]:
    """Positions of at most ``most`` of them, the first and the last included."""
    if count <= most:
        return list(range(count))
    return [round(i) for i in torch.linspace(0, count - 1, most, dtype=torch.float64).tolist()]
