"""Bits per dimension of 8-bit pictures by exact probability mass, beside lossless codecs.

Fashion-MNIST by its own parts, and 32 x 32 tiles of the Kodak photographs: trained on tiles of
eighteen, cut every 16 pixels, and tested on tiles of the last six by name, which do not overlap.
The models are top-down convolutional ladders; their figure is -L_100 / (D ln 2) of the test part.
PNG, WebP (lossless), JPEG XL (lossless) and xz code the same pictures one by one. What a codec
spends on an all-black picture of that shape is its header, reported apart; beside it the same
pixels in one large picture, where headers cost nothing: the six whole photographs, or all garments
side by side.

    python benchmarks/bits_per_dimension.py --cell kodak_tiles
    python benchmarks/bits_per_dimension.py --list
    python benchmarks/bits_per_dimension.py               all missing cells, then the result

The codecs are those of ``imagecodecs``: pip install -e '.[bench]'.
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from _cells import (
    LADDER_TRAINING,
    Answer,
    Cell,
    corner,
    done,
    drive,
    parts,
    quick_look,
    write_cells,
)
from _record import Metric

from lowerbound.data import Dataset
from lowerbound.models.options import ModelOptions

NAME = "bits_per_dimension"
Array = np.ndarray[Any, Any]
HEADERS = (
    "The target is WebP's size without its headers. Headers: bits per dimension that an all-black "
    "picture of the same shape needs."
)


def ladder(title: str, source: str, epochs: int) -> Cell:
    model = ModelOptions(
        model="ladder",
        network="convolutional",
        likelihood="discretized_logistic_mixture",
    )
    return Cell(
        title,
        epochs,
        model=model,
        batch_size=128,
        learning_rate=1e-3,
        score_samples=100,
        source=source,
        training=LADDER_TRAINING,
    )


CELLS: dict[str, Cell] = {
    "fashion_mnist": ladder("Fashion-MNIST", "fashion_mnist", 40),
    "kodak_tiles": ladder("Kodak tiles, 32 x 32", "kodak_tiles", 40),
}


@dataclass(frozen=True)
class Size:
    """What a codec needs, in bits per dimension.

    Attributes:
        tiles: pictures one by one.
        headers: the part of that which an all-black picture needs.
        whole: the same pixels in large pictures.
    """

    tiles: float
    headers: float
    whole: float


def codecs() -> dict[str, Callable[[Array], int]]:
    """Bytes of a picture, (height, width, channels) in uint8, by lossless codec."""
    import imagecodecs

    return {
        "PNG": lambda x: len(imagecodecs.png_encode(_squeezed(x), level=9)),
        "WebP lossless": lambda x: len(imagecodecs.webp_encode(_color(x), lossless=True)),
        "JPEG XL": lambda x: len(
            imagecodecs.jpegxl_encode(_squeezed(x), lossless=True, effort=9, numthreads=1)
        ),
        "xz": lambda x: len(lzma.compress(x.tobytes(), preset=9 | lzma.PRESET_EXTREME)),
    }


def sizes(tiles: Array, whole: list[Array]) -> dict[str, Size]:
    """What each codec needs for ``tiles``, (rows, height, width, channels), and large pictures."""
    found = {}
    for name, size in codecs().items():
        dimensions = tiles[0].size
        black = 8 * size(np.zeros_like(tiles[0])) / dimensions
        each = 8 * sum(size(tile) for tile in tiles) / tiles.size
        large = 8 * sum(map(size, whole)) / sum(picture.size for picture in whole)
        found[name] = Size(each, black, large)
    return found


def test_pictures(source: str) -> tuple[Array, list[Array]]:
    """The test part as tiles and as large pictures of the same pixels, channels last."""
    _, scored = parts(source, held_out=False)
    tiles = np.ascontiguousarray(scored.x.permute(0, 2, 3, 1).numpy())
    return tiles, whole_pictures(scored, tiles)


def whole_pictures(scored: Dataset, tiles: Array) -> list[Array]:
    """The photographs that the tiles were cut from; other pictures side by side in one square."""
    rows, height, width, channels = tiles.shape
    if scored.ids is None:
        side = math.isqrt(rows)
        square = tiles[: side * side].reshape(side, side, height, width, channels).swapaxes(1, 2)
        return [square.reshape(side * height, side * width, channels)]
    corners: dict[str, dict[tuple[int, int], Array]] = {}
    for name, tile in zip(scored.ids, tiles, strict=True):
        photograph, top, left = corner(name)
        corners.setdefault(photograph, {})[top, left] = tile
    return [joined(found) for found in corners.values()]


def joined(tiles: Mapping[tuple[int, int], Array]) -> Array:
    """One picture from tiles by their upper left corners."""
    tops, lefts = (sorted(set(corners)) for corners in zip(*tiles, strict=True))
    return np.concatenate(
        [np.concatenate([tiles[top, left] for left in lefts], axis=1) for top in tops]
    )


def quick(seed: int) -> None:
    quick_look(CELLS["kodak_tiles"], seed, rows=128, scored=16, samples=2)


def summarize() -> None:
    """Write the result from the cells that are done."""
    cells = done(NAME)
    metrics: list[Metric] = []
    for name, cell in cells.items():
        metrics += compared(cell, sizes(*test_pictures(CELLS[name].source)))
    data = [{"file": name, "sha256": cell["rows_sha256"]} for name, cell in cells.items()]
    write_cells(NAME, metrics, data, HEADERS)


def compared(cell: Answer, found: Mapping[str, Size]) -> list[Metric]:
    """The model, then each codec on the same pictures."""
    webp = found["WebP lossless"]
    ours = Metric(
        f"{cell['title']}: ladder, {cell['minutes']:.0f} minutes, -L_{cell['samples']}",
        cell["bits_per_dimension"],
        "bits/dim",
        "lower",
        None,
        webp.tiles - webp.headers,
        {"-ELBO in nats": cell["negative_elbo"]},
    )
    theirs = [
        Metric(
            f"{cell['title']}: {name}, headers left out",
            size.tiles - size.headers,
            "bits/dim",
            "lower",
            beside={"headers": size.headers, "in large pictures": size.whole},
        )
        for name, size in found.items()
    ]
    return [ours, *theirs]


def _squeezed(picture: Array) -> Array:
    return picture[..., 0] if picture.shape[-1] == 1 else picture


def _color(picture: Array) -> Array:
    """WebP knows no grey; equal channels cost it next to nothing."""
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:-1], 3)))


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick)
