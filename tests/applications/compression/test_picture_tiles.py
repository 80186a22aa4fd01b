"""Pictures as tiles: pixel by pixel what they should be, and sizes that are never trusted."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest

from lowerbound.applications.compression import varint
from lowerbound.applications.compression.container import open_container, pack
from lowerbound.applications.compression.lossless import (
    TILES_KIND,
    Size,
    cut,
    joined,
    pack_sizes,
    read_sizes,
    tiles_in,
)
from lowerbound.errors import BitstreamError

SIDE = (6, 5)
SIZES = [(1, 1), (6, 5), (7, 5), (6, 6), (17, 31), (5, 40), (18, 15)]


def file_of(payload: bytes, rows: int, *, event: tuple[int, ...] = (1, *SIDE)) -> bytes:
    """Sizes as they are spelled, before a stream of no tiles."""
    chunks = [(payload, zlib.crc32(payload)), (b"", 0)]
    return pack(TILES_KIND, bytes(8), (rows, *event), b"", chunks)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_hold_the_picture_and_its_border(size: Size, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    tiles = cut(picture, SIDE)
    assert len(tiles) == tiles_in(size, SIDE)
    across = -(-size[1] // SIDE[1])
    for index, tile in enumerate(tiles):
        top, left = index // across * SIDE[0], index % across * SIDE[1]
        for y, x in np.ndindex(*SIDE):
            nearest = picture[min(top + y, size[0] - 1), min(left + x, size[1] - 1)]
            np.testing.assert_array_equal(tile[y, x], nearest)
    np.testing.assert_array_equal(joined(tiles, size), picture)


def test_sizes_come_back() -> None:
    rows = sum(tiles_in(size, SIDE) for size in SIZES)
    assert read_sizes(open_container(file_of(pack_sizes(SIZES), rows))) == SIZES


@pytest.mark.parametrize(
    ("numbers", "rows", "sentence"),
    [
        ((), 1, "do not fit"),
        ((6,), 1, "invalid sizes"),
        ((6, 5, 6), 2, "invalid sizes"),
        ((0, 5, 6, 5), 1, "invalid sizes"),
        ((6, 5, 6, 0), 1, "invalid sizes"),
        ((6, 5), 2, "do not fit"),
        ((7, 5), 1, "do not fit"),
        ((6, 5, 6, 5), 1, "do not fit"),
        ((2**32 - 1, 2**32 - 1), 1, "do not fit"),
        ((2**32 - 1, 2**32 - 1), 10**6, "do not fit"),
        ((1, 1) * 6, 1, "more pictures than"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    numbers: tuple[int, ...], rows: int, sentence: str
) -> None:
    content = file_of(b"".join(map(varint.encode, numbers)), rows)
    tracemalloc.start()
    with pytest.raises(BitstreamError, match=sentence):
        read_sizes(open_container(content))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**17


@pytest.mark.parametrize("payload", [b"\x85\x00\x05", b"\xff", b"\x05\xff\xff\xff\xff\xff\x0f"])
def test_sizes_that_are_no_numbers_are_refused(payload: bytes) -> None:
    with pytest.raises(BitstreamError, match="invalid sizes"):
        read_sizes(open_container(file_of(payload, 9)))


@pytest.mark.parametrize("event", [(), (30,), (6, 5), (1, 1, 6, 5)])
def test_tiles_are_pictures(event: tuple[int, ...]) -> None:
    with pytest.raises(BitstreamError):
        read_sizes(open_container(file_of(pack_sizes([(6, 5)]), 1, event=event)))
