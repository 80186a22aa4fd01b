"""Pictures of any size in one file that loses nothing, as tiles of the size a model was fitted on.

::

    fit photos/ -o photos.lb --resize tiles --image-size 32 ...
    compress photos.lb folder/ -o photos.lbz         every picture at its own size
    decompress photos.lb photos.lbz -o again/
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.compression.codecs import Codec, codec_line, codec_of
from lowerbound.applications.compression.pictures import picture_paths, readable
from lowerbound.applications.io.rows import write_picture
from lowerbound.coding import lossless
from lowerbound.coding.files.container import Container, open_container
from lowerbound.coding.files.header import MOST_SYMBOLS
from lowerbound.coding.lossless import Progress
from lowerbound.coding.picture_tiles import Size, cut, joined, read_sizes, tiles_in
from lowerbound.coding.row_kinds import kind_of
from lowerbound.coding.stack import Array, constriction
from lowerbound.data import CATALOG, Dataset, Schema, load
from lowerbound.data.pictures.folders import OnError, look_at
from lowerbound.data.pictures.pixels import Channels, ImageFormat, channels_first, restore_channels
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted

COLORS = (1, 3)  # of picture files as they are read
WHITE = 255


@dataclass(frozen=True)
class TiledReport(Report):
    """Pictures were written as one file that gives them back bit by bit.

    Attributes:
        file: where.
        pictures: how many.
        tiles: that they were cut into.
        bytes: of the file.
        header_bytes: of these.
        raw_bytes: of the pictures as 8-bit numbers.
        bits_per_dimension: 8 bytes / numbers of the pictures; what fills their last tiles counts
            among the bytes, not among the numbers.
        codec: the model's name in the file.
        gap: by how much the bound is worse in whole numbers, as a share, on up to 1,000 tiles.
        seconds: it took.
        notes: what the model's colors do not hold of the files that were read.
    """

    file: str
    pictures: int
    tiles: int
    bytes: int
    header_bytes: int
    raw_bytes: int
    bits_per_dimension: float
    codec: str
    gap: float
    seconds: float
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        lines = [
            f"{self.pictures:,} pictures, {self.tiles:,} tiles, in {self.bytes:,} bytes, "
            f"{self.bits_per_dimension:.4f} bits per dimension, "
            f"{self.raw_bytes / self.bytes:.1f} times smaller: {self.file}",
            codec_line(self.codec, self.gap, "bound"),
        ]
        if self.notes:
            lines.append(f"lost before that, when they were read: {'; '.join(self.notes)}")
        return "\n".join(lines)


def own_sizes(fitted: Fitted, data: str, part: str) -> list[Path] | None:
    """Picture files that are to come back at their own sizes; None: rows are rows.

    These are a picture, or those of a folder in which one has another size than the model's, where
    the model gives 8-bit numbers back.
    """
    schema = fitted.schema
    exact = schema.kind == "images" and schema.binarize == "none" and schema.levels is not None
    if not exact or schema.white > WHITE or schema.event_shape[0] not in COLORS:
        return None
    if part != "all" or kind_of(fitted.model).lossy or data in CATALOG:
        return None
    paths = picture_paths(data)
    if paths is None or Path(data).is_file():
        return paths
    channels, *side = schema.event_shape
    others = set(look_at(paths, channels).sizes) - {tuple(side)}
    return paths if others else None


def compress(
    fitted: Fitted,
    folder: Path,
    paths: list[Path],
    path: Path,
    on_error: OnError,
    reporter: Reporter,
) -> TiledReport:
    """Write pictures as one file of their tiles.

    Args:
        fitted: a model of pictures of one size.
        folder: its folder.
        paths: of the pictures.
        path: of the file.
        on_error: pictures that cannot be read.
        reporter: hears of the progress.

    Raises:
        UnsupportedError: a part of the model has no exact form.
        DataError: a picture cannot be read, or has other levels than those that were fitted on.
        OptionError: they are too many for one file.
    """
    began = time.perf_counter()
    kind_of(fitted.model).check(fitted.model)
    constriction()  # named before any work is done, where it is missing
    channels = fitted.schema.event_shape[0]
    pictures = (picture for _, picture in readable(paths, channels, on_error, reporter, "reading"))
    rows, sizes = _tiled(pictures, fitted.schema)
    codec = codec_of(fitted, folder, rows)
    x = rows.all().filled.float()
    path.parent.mkdir(parents=True, exist_ok=True)

    def progress(done: int, total: int) -> None:
        reporter.advance("compressing", done, total)

    lossless.write_rows(path, codec.model, x, sizes=sizes, progress=progress)
    file = open_container(path)
    numbers = channels * sum(height * width for height, width in sizes)
    return TiledReport(
        file=str(path),
        pictures=len(sizes),
        tiles=len(x),
        bytes=file.size,
        header_bytes=file.overhead,
        raw_bytes=numbers,
        bits_per_dimension=8 * file.size / numbers,
        codec=codec.hash.hex(),
        gap=codec.gap,
        seconds=time.perf_counter() - began,
        notes=tuple(look_at(paths, channels).notes),
    )


def decompress(file: Container, codec: Codec, path: Path, progress: Progress) -> tuple[str, ...]:
    """Write the pictures of a file; the files' names.

    Raises:
        BitstreamError: it is damaged, or was compressed with another model.
        OptionError: the output is neither a folder nor, for one picture, a .png.
    """
    sizes = read_sizes(file)
    alone = path.suffix.lower() == ".png"
    if alone and len(sizes) > 1:
        raise OptionError(f"{file.name} holds {len(sizes):,} pictures: name a folder for them")
    if path.suffix and not alone:
        raise OptionError(f"{path}: pictures are written as NAME.png or into a folder")
    x = kind_of(codec.model).read(file, codec.model, progress)
    levels = channels_first(codec.schema.decode(x), _layout(codec.schema))
    tiles = np.moveaxis(levels, 1, -1).astype(np.uint8)
    names: list[str] = []
    for number, picture in enumerate(_untiled(tiles, sizes)):
        names += write_picture(path if alone else path / f"{number:05d}.png", picture)
    return tuple(names)


def _tiled(pictures: Iterable[Array], schema: Schema) -> tuple[Dataset, list[Size]]:
    """The tiles of pictures (height, width, channels) as the model's rows, and their sizes."""
    _, height, width = schema.event_shape
    parts: list[Array] = []
    sizes: list[Size] = []
    numbers = 0
    for picture in pictures:
        sizes.append((picture.shape[0], picture.shape[1]))
        numbers += tiles_in(sizes[-1], (height, width)) * schema.dimension
        if numbers > MOST_SYMBOLS:
            raise OptionError(
                f"a file holds at most {MOST_SYMBOLS:,} numbers, and these pictures have more: "
                "compress parts of the folder"
            )
        parts.append(cut(picture, (height, width)))
    tiles = restore_channels(np.moveaxis(np.concatenate(parts), -1, 1), _layout(schema))
    return load(tiles, schema=schema), sizes


def _untiled(tiles: Array, sizes: list[Size]) -> Iterator[Array]:
    """The pictures of tiles (n, height, width, channels), one after another."""
    start = 0
    for size in sizes:
        stop = start + tiles_in(size, (tiles.shape[1], tiles.shape[2]))
        yield joined(tiles[start:stop], size)
        start = stop


def _layout(schema: Schema) -> Channels:
    return (schema.image or ImageFormat()).channels
