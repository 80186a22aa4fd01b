"""Masks of hidden cells: black pixels of a picture, a rectangle of pixels, or booleans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, listed
from lowerbound.data.npz import read_npz
from lowerbound.data.pictures.decoding import on_white, open_picture
from lowerbound.data.pictures.folders import SUFFIXES, find_pictures
from lowerbound.data.pictures.pixels import fit_to
from lowerbound.data.pictures.whole import TileName, stems, tiles_in
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError

ARRAYS = (".npy", ".npz")
LOSSY = ("JPEG", "MPO", "WEBP")  # formats in which black is not quite black
NEAR_BLACK = 32  # grey value below which a pixel of such a mask is black
RECTANGLE = re.compile(r"\d+(,\d+){3}")


def read_mask(path: Path, schema: Schema, rows: int, names: Sequence[str] | None = None) -> Tensor:
    """Read a mask, (rows, *event), True where a cell is hidden.

    Args:
        path: .npy or .npz of booleans, True where hidden, for one row or for all rows; or a picture
            whose black pixels are hidden, or a folder with such a picture for each row, as
            ``masks_in`` finds them; or a rectangle of pixels, "top,left,height,width". A picture of
            another size is resized as the data's pictures are.
        schema: schema of the model.
        rows: number of rows.
        names: of the rows, relative to their folder; None: unknown.

    Raises:
        DataError: the mask cannot be read, or does not fit the rows.
    """
    if path.is_dir():
        hidden = _of_folder(path, schema, names)
    elif path.suffix.lower() in SUFFIXES:
        hidden = _black(path, schema)
    elif RECTANGLE.fullmatch(str(path)):
        hidden = _rectangle(str(path), schema)
    else:
        hidden = _booleans(path)
    hidden = schema.data_kind.as_event(schema, hidden)
    _check_sides(hidden, path, schema, names)
    return torch.from_numpy(_for_rows(hidden, path, schema, rows))


def _of_folder(folder: Path, schema: Schema, names: Sequence[str] | None) -> Array:
    """The masks in a folder, (masks, H, W); of tiles, they may be those of whole pictures."""
    if names and (tiles := tiles_in(names)):
        written = {file.with_suffix("").as_posix() for file in find_pictures(folder)}
        if not written & set(stems(names)):
            return _of_pictures(folder, schema, tiles)
    masks = [_black(file, schema) for file in masks_in(folder, names)]
    if len({mask.shape for mask in masks}) > 1:
        raise DataError(f"the masks in {folder} differ in size")
    return np.stack(masks)


def _of_pictures(folder: Path, schema: Schema, tiles: Sequence[TileName]) -> Array:
    """The part of its picture's mask that belongs to each tile, (tiles, H, W)."""
    pictures = list(dict.fromkeys(tile.picture for tile in tiles))
    masks = masks_in(folder, pictures)
    if len(masks) != len(pictures):
        raise DataError(f"{folder} has {len(masks):,} masks for {len(pictures):,} pictures")
    black = {name: _black(mask, schema) for name, mask in zip(pictures, masks, strict=True)}
    height, width = schema.event_shape[1:]
    parts = [
        black[picture][top : top + height, left : left + width] for picture, top, left in tiles
    ]
    if any(part.shape != (height, width) for part in parts):
        raise DataError(f"the masks in {folder} do not have the sizes of their pictures")
    return np.stack(parts)


def masks_in(folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """The mask of each picture: of the same name, without the suffix; if no mask has the name of a
    picture, all masks in sorted order.

    Args:
        folder: of the masks.
        names: of the pictures, relative to their folder; None: unknown.

    Raises:
        DataError: there are no pictures in the folder, or some of the pictures have no mask.
    """
    files = find_pictures(folder)
    if not files:
        raise DataError(f"the folder {folder} has no pictures; a mask's black pixels are hidden")
    by_stem = {file.with_suffix("").as_posix(): file for file in files}
    wanted = stems(names or ())
    if len(by_stem) < len(files) or not by_stem.keys() & set(wanted):
        return [folder / file for file in files]
    if lacking := sorted(set(wanted) - by_stem.keys()):
        raise DataError(
            f"the masks in {folder} have the names of pictures, but there is none of "
            f"{listed(lacking)}"
        )
    return [folder / by_stem[stem] for stem in wanted]


def _booleans(path: Path) -> Array:
    if path.suffix.lower() not in ARRAYS or not path.exists():
        raise DataError(
            f"there is no mask {path}: give a picture whose black pixels are hidden, a folder of "
            "them, a .npy or .npz file of booleans, or a rectangle of pixels "
            "(top,left,height,width)"
        )
    values: Array = read_npz(path).x
    if not np.isin(values, (0, 1)).all():
        raise DataError(f"{path} has other values than True (hidden) and False")
    hidden: Array = values.astype(bool)
    return hidden


def _black(path: Path, schema: Schema) -> Array:
    """(H, W), True at pixels that are black, or nearly so, as in a JPEG; clear ones are white."""
    from PIL import Image

    if not schema.data_kind.pictures:
        raise DataError(
            f"{path} is a picture, but the data is not pictures; give a .npy file of booleans"
        )
    grey, limit = _grey(path)
    black = Image.fromarray(255 * (grey < limit).astype(np.uint8))
    _, height, width = schema.event_shape
    resize = "pad" if schema.image is None else schema.image.resize
    if resize != "tiles":  # whose pictures are not resized
        black = fit_to(black, (height, width), resize)
    hidden: Array = np.asarray(black) > 127
    return hidden


def _grey(path: Path) -> tuple[Array, int]:
    """(grey values of a mask, (H, W) uint8; the limit below which one counts as black)."""
    from PIL import ImageOps

    if not path.exists():
        raise DataError(f"there is no file {path}, which should be a mask")
    try:
        with open_picture(path) as picture:
            limit = NEAR_BLACK if picture.format in LOSSY else 1
            grey = np.asarray(on_white(ImageOps.exif_transpose(picture)).convert("L"))
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error
    return grey, limit


def hides_nothing(path: Path) -> str:
    """What a mask that hides no cell says, in words; ``path`` is one that ``read_mask`` reads."""
    if path.is_dir():
        return f"the masks in {path} hide no pixel: only black pixels (0 of 255) are hidden"
    if path.suffix.lower() not in SUFFIXES:
        return f"{path} hides nothing: no value is True"
    grey, limit = _grey(path)
    if (grey < limit).any():
        return f"{path} hides no pixel once it has the size of the model's pictures"
    black = "0" if limit == 1 else f"below {limit}"
    return (
        f"{path} hides no pixel: only black pixels ({black} of 255) are hidden, and its darkest "
        f"is {grey.min()}"
    )


def _rectangle(text: str, schema: Schema) -> Array:
    """(H, W), True inside of top,left,height,width."""
    if not schema.data_kind.pictures:
        raise DataError(f"{text} is a rectangle of pixels, but the data is not pictures")
    top, left, height, width = map(int, text.split(","))
    inside = np.zeros(schema.event_shape[1:], dtype=bool)
    tall, wide = inside.shape
    if min(height, width) < 1 or top + height > tall or left + width > wide:
        raise DataError(
            f"the rectangle {text} (top,left,height,width) does not lie in pictures {tall} pixels "
            f"high and {wide} wide"
        )
    inside[top : top + height, left : left + width] = True
    return inside


def _check_sides(hidden: Array, path: Path, schema: Schema, names: Sequence[str] | None) -> None:
    """Check that masks of pixels have the size of the pictures.

    Raises:
        DataError: they have another; the message has both, and the picture if there is only one.
    """
    if not schema.data_kind.pictures or not (hidden.ndim == 2 or path.is_dir()):
        return
    (height, width), (tall, wide) = schema.event_shape[1:], hidden.shape[-2:]
    if (height, width) != (tall, wide):
        other = f"{names[0]} has" if names and len(names) == 1 else "the pictures have"
        raise DataError(f"{path}: the mask has {wide}x{tall} pixels, and {other} {width}x{height}")


def _for_rows(hidden: Array, path: Path, schema: Schema, rows: int) -> Array:
    if hidden.shape == schema.event_shape:
        hidden = hidden[None]
    if hidden.shape[1:] != schema.event_shape or len(hidden) not in (1, rows):
        raise DataError(
            f"{path}: a mask of shape {hidden.shape} fits neither one row of shape "
            f"{schema.event_shape} nor {rows:,} of them"
        )
    return np.array(np.broadcast_to(hidden, (rows, *schema.event_shape)))
