"""Pictures of any size in one lossless file, as tiles of the size that the model was fitted on.

::

    fit photos/ -o photos.lb --resize tiles --image-size 32 ...
    compress photos.lb folder/ -o photos.lbz         every picture at its own size
    decompress photos.lb photos.lbz -o again/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.compression import lossless
from lowerbound.applications.compression.codec import (
    CODECS,
    CompressReport,
    Output,
    advancing,
    exported_for,
)
from lowerbound.applications.compression.container import Container
from lowerbound.applications.compression.exported_models import exported_model
from lowerbound.applications.compression.header import MOST_SYMBOLS
from lowerbound.applications.compression.lossless import (
    TILES_KIND,
    Progress,
    Size,
    cut,
    joined,
    read_sizes,
    tiles_in,
)
from lowerbound.applications.compression.picture_files import (
    check_pictures_output,
    readable,
    write_decoded,
)
from lowerbound.applications.compression.requests import CodecRequest, CompressRequest, output_file
from lowerbound.applications.compression.rows import ExactRows, about_codec, units
from lowerbound.data.arrays import Array
from lowerbound.data.catalog import CATALOG
from lowerbound.data.dataset import Dataset
from lowerbound.data.loading import load
from lowerbound.data.pictures.folders import look_at
from lowerbound.data.pictures.pixels import channels_first, restore_channels
from lowerbound.data.pictures.whole import picture_paths
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError, counted
from lowerbound.fitting.fitted import Fitted
from lowerbound.untrusted import folders

COLORS = (1, 3)  # of picture files channels that are read
WHITE = 255


@CODECS.register(TILES_KIND)
class PictureTiles(ExactRows):
    """Pictures as tiles for a model of pictures of one size; compared as rows."""

    takes = "pictures of any size by a vae, hierarchical or ladder model of tiles"
    unit = "picture"
    options = frozenset()

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        """Whether pictures must keep their own sizes and the model is of 8-bit numbers.

        This holds for a single picture, and for a folder with at least one picture of another size
        than the model's.
        """
        if request.part != "all" or request.source in CATALOG:
            return False
        return super().serves(request, fitted) and _own_sizes(fitted.schema, request.source)

    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        path, paths = output_file(request), picture_paths(request.source)
        self.export.check(fitted.model)
        channels = fitted.schema.event_shape[0]
        pictures = readable(paths, channels, request.on_error, reporter, "reading")
        rows, sizes = _tiled((picture for _, picture in pictures), fitted.schema)
        exported, x = exported_model(fitted, Path(request.model), rows), units(rows)
        folders.make(path.parent)
        progress = advancing(reporter, "compressing")
        lossless.write_rows(path, exported.model, x, sizes=sizes, progress=progress)
        numbers = channels * sum(height * width for height, width in sizes)
        bits = 8 * path.stat().st_size / numbers  # without the padding of the last tiles
        notes = tuple(look_at(paths).losses(channels))
        lost = f"lost on reading, before compression: {'; '.join(notes)}"
        return CompressReport.of(
            [path],
            numbers,
            f"{counted(len(sizes), 'picture')}, {counted(len(x), 'tile')},",
            f"{bits:.4f} bits per dimension",
            (about_codec(exported), *([lost] if notes else [])),
            pictures=len(sizes),
            tiles=len(x),
            bits_per_dimension=bits,
            gap=exported.gap,
            notes=notes,
        )

    def decompress(
        self, file: Container, folder: Path, output: Output, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        sizes = read_sizes(file)
        alone = check_pictures_output(output, len(sizes), file.name)
        exported = exported_for(file, folder)
        x = lossless.read_rows(file, exported.model, progress)
        levels = channels_first(exported.schema.decode(x), exported.schema.layout)
        tiles = np.moveaxis(levels, 1, -1).astype(np.uint8)
        names = [f"{number:05d}.png" for number in range(len(sizes))]
        return len(sizes), write_decoded(output.path, alone, names, _untiled(tiles, sizes))


def _own_sizes(schema: Schema, source: str) -> bool:
    exact = len(schema.event_shape) == 3 and schema.binarize == "none" and schema.levels is not None
    if not exact or schema.white > WHITE or schema.event_shape[0] not in COLORS:
        return False
    paths = picture_paths(source)
    if not paths or Path(source).is_file():
        return bool(paths)
    _, *side = schema.event_shape
    return bool(set(look_at(paths).sizes) - {tuple(side)})


def _tiled(pictures: Iterable[Array], schema: Schema) -> tuple[Dataset, list[Size]]:
    """(tiles of pictures (height, width, channels) as the model's rows; picture sizes)."""
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
    tiles = restore_channels(np.moveaxis(np.concatenate(parts), -1, 1), schema.layout)
    return load(tiles, schema=schema), sizes


def _untiled(tiles: Array, sizes: list[Size]) -> Iterator[Array]:
    """Yield the pictures of tiles (n, height, width, channels)."""
    start = 0
    for size in sizes:
        stop = start + tiles_in(size, (tiles.shape[1], tiles.shape[2]))
        yield joined(tiles[start:stop], size)
        start = stop
