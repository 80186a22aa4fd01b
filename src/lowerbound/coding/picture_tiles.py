"""Pictures of any size as tiles of one size, with the sizes for joining them again.

::

    pictures ──cut──> tiles of the model's size ──lossless──> file ──> tiles ──joined──> pictures

Tiles at the right and bottom repeat the picture's border, and joining cuts it off. In the kind
``bits_back_tiles`` the first chunk holds (height, width) of each picture as varints, and its
symbols are the same bytes. Rows are the tiles, picture by picture, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowerbound.coding.files import varint
from lowerbound.coding.files.container import Container
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError

KIND = "bits_back_tiles"
Size = tuple[int, int]  # (height, width)


def tiles_in(size: Size, side: Size) -> int:
    """Number of tiles of ``side`` that cover a picture of ``size``."""
    return -(-size[0] // side[0]) * -(-size[1] // side[1])


def cut(picture: Array, side: Size) -> Array:
    """The tiles of a picture (height, width, channels), (n, *side, channels)."""
    around = [(0, -length % part) for length, part in zip(picture.shape, side, strict=False)]
    whole = np.pad(picture, [*around, (0, 0)], mode="edge")
    down, across = (length // part for length, part in zip(whole.shape, side, strict=False))
    parts = whole.reshape(down, side[0], across, side[1], -1).swapaxes(1, 2)
    return parts.reshape(down * across, *side, -1)


def joined(tiles: Array, size: Size) -> Array:
    """Join tiles to the picture of ``size``, (*size, channels)."""
    _, high, wide, channels = tiles.shape
    down, across = -(-size[0] // high), -(-size[1] // wide)
    parts = tiles.reshape(down, across, high, wide, channels).swapaxes(1, 2)
    return parts.reshape(down * high, across * wide, channels)[: size[0], : size[1]]


def pack_sizes(sizes: Sequence[Size]) -> bytes:
    """Sizes of pictures as varints."""
    return b"".join(varint.encode(length) for size in sizes for length in size)


def read_sizes(file: Container) -> list[Size]:
    """(height, width) of each picture of a file.

    The number of tiles must equal that in the header, so no picture is larger than its tiles.

    Raises:
        BitstreamError: the sizes are damaged, or do not fit the tiles.
    """
    rows, *event = file.header.shape
    if len(event) != 3 or file.header.chunks[0].length > 2 * varint.LONGEST * rows:
        raise BitstreamError(f"{file.name} claims more pictures than it has tiles")
    payload = file.payload(0)
    file.check_symbols(0, payload)
    try:
        numbers = varint.decode_all(payload)
    except ValueError as error:
        raise BitstreamError(f"{file.name} has pictures with invalid sizes") from error
    if len(numbers) % 2 or 0 in numbers:
        raise BitstreamError(f"{file.name} has pictures with invalid sizes")
    sizes = list(zip(numbers[::2], numbers[1::2], strict=True))
    if sum(tiles_in(size, (event[1], event[2])) for size in sizes) != rows:
        raise BitstreamError(f"{file.name} has pictures whose sizes do not fit its {rows:,} tiles")
    return sizes
