"""Rows in the data's own units, written as what their data is: tables, arrays, pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from lowerbound.applications.io.audio_files import check_output, write_sounds
from lowerbound.applications.io.columnar_files import columnar
from lowerbound.applications.io.files import replacing
from lowerbound.data.schema import Schema
from lowerbound.data.tables.frames import to_frame
from lowerbound.errors import OptionError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]

TABLES = (".csv", ".parquet", ".npz")
PICTURES = (".png", ".npz", "")
SHOWN = 100  # pictures on a sheet, so that it can be looked at
MARGIN = 2
LEAST_SIDE = 56  # pixels: smaller pictures are enlarged on a sheet


def check_suffix(path: Path, schema: Schema) -> None:
    """Refuse an output name that says nothing we write, before any work is done.

    Raises:
        OptionError: names what is written for this kind of data.
    """
    if schema.kind == "audio":
        check_output(path)
    elif schema.kind == "images":
        if path.suffix.lower() not in PICTURES:
            raise OptionError(
                f"{path}: pictures are written as one .png sheet, as .npz, or into a folder (a "
                "name without suffix)"
            )
    elif path.suffix.lower() not in TABLES:
        raise OptionError(f"{path}: tables are written as {', '.join(TABLES[:-1])} or {TABLES[-1]}")


def write_rows(
    path: Path, schema: Schema, x: Tensor, *, rounded: bool, extra: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Write rows as the suffix of ``path`` says.

    Args:
        path: .csv, .parquet or .npz for tables; .png (one sheet), .npz or a folder for pictures;
            .wav (end to end), .npz or a folder for sound.
        schema: the way back to the data's own units.
        x: (rows, *event) in model units.
        rounded: snap to the nearest value that the data could hold.
        extra: further columns or arrays, one value per row.

    Returns:
        The files written.
    """
    extra = dict(extra or {})
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return write_columns(path, {"x": schema.decode(x, rounded), **extra})
    if schema.kind == "audio":
        return write_sounds(path, list(schema.decode(x)), schema.sample_rate or 1)
    if schema.kind != "images":
        return write_columns(path, {**columns(schema, x, rounded=rounded), **extra})
    pictures = eight_bit(x)
    if suffix == ".png":
        return write_picture(path, sheet(list(pictures[:SHOWN])))
    files = [
        name
        for index, picture in enumerate(pictures)
        for name in write_picture(path / f"{index:05d}.png", picture)
    ]
    return (*write_picture(path / "sheet.png", sheet(list(pictures[:SHOWN]))), *files)


def columns(schema: Schema, x: Tensor, *, rounded: bool) -> dict[str, Any]:
    """Named columns in the data's own units, of their own types where ``rounded``, else floats."""
    frame = to_frame(schema, x, rounded)
    return {name: frame[name] for name in frame.columns}


def write_columns(path: Path, named: Mapping[str, Any]) -> tuple[str, ...]:
    """One table, .csv or .parquet, or one .npz of arrays."""
    with columnar(path) as file:
        file.add(named)
    return (str(path),)


def write_picture(path: Path, picture: Array) -> tuple[str, ...]:
    """One PNG from (height, width, channels) uint8."""
    with replacing(path) as place:
        as_image(picture).save(place, format="PNG")
    return (str(path),)


def as_image(picture: Array) -> Image:
    """A Pillow image: grey, grey with opacity, color, or color with opacity."""
    from PIL import Image as pillow

    return pillow.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def eight_bit(x: Tensor) -> Array:
    """(rows, C, H, W) in [0, 1] as (rows, H, W, C) uint8, for looking at."""
    units = x.detach().cpu().double().clamp(0, 1).numpy()
    return np.moveaxis(np.rint(units * 255).astype(np.uint8), 1, -1)


def sheet(pictures: list[Array], across: int | None = None) -> Array:
    """Pictures of one size side by side, (H, W, C) uint8; small ones enlarged without smoothing."""
    height, width, channels = pictures[0].shape
    times = max(1, math.ceil(LEAST_SIDE / max(height, width)))
    across = across or math.ceil(math.sqrt(len(pictures)))
    down = math.ceil(len(pictures) / across)
    tall, wide = height * times + MARGIN, width * times + MARGIN
    canvas = np.full((down * tall + MARGIN, across * wide + MARGIN, channels), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // across * tall + MARGIN, index % across * wide + MARGIN
        large = picture.repeat(times, 0).repeat(times, 1)
        canvas[top : top + tall - MARGIN, left : left + wide - MARGIN] = large
    return canvas
