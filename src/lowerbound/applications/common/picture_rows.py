"""Files of pictures: a .png sheet, .npz of arrays, a folder, or an animation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound import durable
from lowerbound.applications.common.drawings import (
    ANIMATIONS,
    MOST_COLUMNS,
    Strip,
    animated,
    as_image,
    check_animation,
    grid,
    sheet,
    sheet_of,
    write_animation,
    write_picture,
)
from lowerbound.applications.common.files import fill_folder, replacing
from lowerbound.applications.common.form import FRAMES_PER_SECOND
from lowerbound.applications.common.rows import (
    NPZ,
    ROW_FILES,
    Files,
    NoisyRows,
    Reconstructed,
    Restored,
    RowFiles,
)
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import spread_rows
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.pictures.folders import OVERVIEW, SHEET, OnError
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.data.pictures.whole import file_names
from lowerbound.errors import OptionError
from lowerbound.untrusted import folders

ON_A_SHEET = 100  # most pictures on a sheet
BESIDE = 32  # most rows on a sheet beside what was made of them
ACROSS = 12  # most pictures in a line of such a sheet, unless one row has more
DRAWS = 6  # most draws of a restored row on a sheet
EIGHT_BITS = 255


@ROW_FILES.register("images")
class PictureFiles(RowFiles):
    """Files of pictures with 8 bits per color; an .npz file holds the exact numbers."""

    suffixes = (".png", NPZ, "")
    written = (
        "pictures are written as one .png sheet, as .npz, or into a folder (a name without suffix)"
    )

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        pictures = eight_bit(x)
        labels = extra.get(self.schema.label_column or "label", ())
        return _with_sheet(path, _sheet_of_first(pictures, labels), pictures)

    def write_folder(self, path: Path, x: Tensor, *, rounded: bool) -> Files:
        pictures = eight_bit(x)
        return _folder_with_sheet(path, _sheet_of_first(pictures), pictures)

    def rows_shown(self, path: Path, rows: int) -> int | None:
        return BESIDE if path.suffix.lower() == ".png" and rows > BESIDE else None

    def _write_reconstruction(self, path: Path, part: Reconstructed) -> Files:
        """One sheet of rows evenly spread over the data: input, reconstruction, and uncertainty
        with its largest value white."""
        index = spread_rows(len(part.x), BESIDE)
        named = {"input": part.x[index], "reconstruction": part.mean[index]}
        if part.std is not None:
            named["uncertainty"] = part.std[index] / part.std[index].max()
        overview = _side_by_side([*named], [*map(eight_bit, named.values())])
        return _with_sheet(path, overview, eight_bit(part.mean), part.ids)

    def check_strip(self, path: Path) -> None:
        """As ``RowFiles.check_strip``.

        Raises:
            UnsupportedError: no encoder for the animation is installed.
        """
        if path.suffix.lower() not in (*self.suffixes, *ANIMATIONS):
            raise OptionError(
                f"{path}: pictures are written as a .png sheet, as an animation "
                f"({', '.join(ANIMATIONS)}), as .npz, or into a folder (a name without suffix)"
            )
        check_animation(path)
        if path.suffix:
            durable.check_replaced(_sheet_beside(path))

    def write_strip(self, path: Path, strip: Strip, per_second: float = FRAMES_PER_SECOND) -> Files:
        """As ``RowFiles.write_strip``; also write a .png sheet, before any animation."""
        suffix = path.suffix.lower()
        if not suffix:
            return fill_folder(path, lambda place: _fill_with_strip(place, strip))
        sheet = _save(_sheet_beside(path), sheet_of(strip), optimize=True)
        if suffix == ".png":
            return sheet
        if suffix == NPZ:
            return (*super().write_strip(path, strip, per_second), *sheet)
        return (*write_animation(path, animated(strip), per_second), *sheet)

    def filled_suffixes(self, rows: Incomplete) -> tuple[str, ...]:
        return self.suffixes

    def read_noisy(self, source: str, on_error: OnError) -> NoisyRows:
        """As ``RowFiles.read_noisy``; noisy pictures have 8 bits even if clean ones have fewer."""
        if self.schema.white != EIGHT_BITS:
            return super().read_noisy(source, on_error)
        schema = replace(self.schema, levels=256, binarize="none", dtype="uint8")
        return RowFiles(schema).read_noisy(source, on_error)

    def _write_restored(self, path: Path, rows: Restored) -> Files:
        """Write a sheet of rows evenly spread over those that were restored: given, draws and
        restored; in a folder also every picture."""
        given, index = rows.given, np.arange(len(rows.answer))
        if isinstance(given, Incomplete):
            changed = given.hidden.reshape(len(index), -1).any(1)
            index = index[changed] if changed.any() else index
            given = np.where(given.hidden, np.nan, given.given)
        index = index[spread_rows(len(index), BESIDE).numpy()]
        shown = [given, *rows.drawn[:DRAWS], rows.answer]
        names = [rows.names[0], *(f"draw {i + 1}" for i in range(len(shown) - 2)), rows.names[1]]
        overview = _side_by_side(names, [self._for_eyes(some[index]) for some in shown])
        if path.suffix:
            return write_picture(path, overview)
        every = [self._for_eyes(some) for some in (rows.answer, *rows.drawn)]
        return fill_folder(
            path,
            lambda place: (
                *_overview(place, as_image(overview)),
                *_write_each(place, every, rows.ids),
            ),
        )

    def _for_eyes(self, values: Array) -> Array:
        """Pictures in the data's own units as (rows, H, W, C) uint8; missing pixels are grey."""
        channels = self.schema.layout
        if channels != "last":
            values = np.moveaxis(values[:, None] if channels == "squeezed" else values, 1, -1)
        shares = np.nan_to_num(values / self.schema.white, nan=0.5).clip(0, 1)
        pictures: Array = np.rint(shares * 255).astype(np.uint8)
        return pictures


def _sheet_beside(path: Path) -> Path:
    """The sheet of a strip, which is also written where ``path`` is an animation or .npz."""
    return path.with_suffix(".png")


def _sheet_of_first(pictures: Array, labels: Sequence[str] = ()) -> Array:
    """A sheet of the first pictures; of classes in turn, with a column for each."""
    shown = list(pictures[:ON_A_SHEET])
    classes = list(dict.fromkeys(labels[:ON_A_SHEET]))
    across = len(classes)
    in_turn = all(label == classes[i % across] for i, label in enumerate(labels[:ON_A_SHEET]))
    if not (1 < across <= MOST_COLUMNS and in_turn):
        return sheet(shown)
    lines = [shown[i : i + across] for i in range(0, len(shown), across)]
    return np.atleast_3d(np.asarray(grid(lines, above=classes)))


def _side_by_side(names: Sequence[str], stacks: Sequence[Array]) -> Array:
    """A sheet of stacks of pictures, (rows, H, W, C) uint8: those of a row together, with the
    name of each stack above."""
    groups = max(1, min(4, ACROSS // len(names), math.ceil(math.sqrt(len(stacks[0])))))
    across = groups * len(names)
    in_turn = [picture for together in zip(*stacks, strict=True) for picture in together]
    lines = [in_turn[i : i + across] for i in range(0, len(in_turn), across)]
    return np.atleast_3d(np.asarray(grid(lines, above=[*names] * groups)))


def _with_sheet(path: Path, sheet: Array, pictures: Array, ids: Files | None = None) -> Files:
    """Write one sheet; in a folder also every picture, by its name if it has one."""
    if path.suffix:
        return write_picture(path, sheet)
    return _folder_with_sheet(path, sheet, pictures, ids)


def _folder_with_sheet(
    path: Path, sheet: Array, pictures: Array, ids: Files | None = None
) -> Files:
    """Write a folder, whatever its name, with one sheet and every picture."""
    return fill_folder(
        path,
        lambda place: (
            *_overview(place, as_image(sheet)),
            *_write_each(place, [pictures], ids),
        ),
    )


def _write_each(
    folder: Path, stacks: Sequence[Array], ids: Files | None, endings: Files = ()
) -> Files:
    """Write each picture of (rows, H, W, C) uint8; stacks add their ending to the name, or later
    ones their number."""
    names = file_names(ids, len(stacks[0]), endings or len(stacks))
    written: list[str] = []
    for name, pictures in zip(names, chain.from_iterable(stacks), strict=True):
        place = folder / name
        folders.make(place.parent)
        written += write_picture(place, pictures)
    return tuple(written)


def _fill_with_strip(path: Path, strip: Strip) -> Files:
    """Write a sheet, and each picture by the name of its row, or by line and column."""
    files = _overview(path, sheet_of(strip))
    if strip.endings:
        columns = [eight_bit(pictures) for pictures in strip.x.transpose(0, 1)]
        return (*files, *_write_each(path, columns, strip.ids, strip.endings))
    for name, pictures in zip(_line_names(strip), strip.x, strict=True):
        for column, picture in enumerate(eight_bit(pictures)):
            files += write_picture(path / f"{name}{column:03d}.png", picture)
    return files


def _line_names(strip: Strip) -> list[str]:
    """How the names of files of each line begin."""
    if not strip.line_key or len(strip.x) < 2:
        return [""] * len(strip.x)
    names = [line.replace("/", "_").replace(" ", "_") + "_" for line in strip.lines]
    if len({name.lower() for name in names}) == len(names):
        return names
    return [f"{line:03d}_{name}" for line, name in enumerate(names)]


def _overview(folder: Path, sheet: Any) -> Files:
    """Write a sheet that is no picture of the data if the folder is read."""
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("Comment", OVERVIEW)
    return _save(folder / SHEET, sheet, optimize=True, pnginfo=about)


def _save(path: Path, picture: Any, **how: Any) -> Files:
    with replacing(path) as place:
        picture.save(place, format="PNG", **how)
    return (str(path),)
