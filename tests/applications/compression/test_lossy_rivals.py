"""Other lossy codecs: the size that was asked for, and pictures that lie where they lay."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lowerbound.applications.compression.picture_files import MOST
from lowerbound.applications.compression.rivals import (
    available,
    cut,
    decode,
    encode,
    lossy_rivals,
    mosaic,
    nearest,
)
from lowerbound.data.arrays import Array


def waves(rows: int = 5, channels: int = 3) -> Array:
    """Smooth pictures of 16 x 24."""
    down, across = np.mgrid[:16, :24]
    phases = np.arange(rows * channels).reshape(rows, 1, 1, channels)
    grey = np.sin(down[..., None] / 3 + phases) + np.cos(across[..., None] / 4 - phases)
    return np.rint(127.5 + 60 * grey).astype(np.uint8)


@pytest.mark.parametrize("rows", [1, 4, 5, 7])
def test_a_mosaic_can_be_cut_again(rows: int) -> None:
    pictures = waves(rows)
    np.testing.assert_array_equal(cut(mosaic(pictures), pictures.shape), pictures)


def test_neighbors_lie_side_by_side() -> None:
    pictures = waves(4)
    np.testing.assert_array_equal(mosaic(pictures)[16:, :24], pictures[2])


@pytest.mark.parametrize(("target", "expected"), [(0, 3), (3, 3), (7, 7), (9, 7), (5000, 403)])
def test_the_nearest_size_is_found(target: int, expected: int) -> None:
    """3 bytes at quality 0, then 7, 11, 15 ..."""
    assert len(nearest(lambda quality: bytes(3 + 4 * quality), target)) == expected


@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_are_of_files_that_decode_to_what_is_judged(channels: int) -> None:
    pictures = waves(channels=channels)
    found = list(lossy_rivals(pictures, 5 * 500))
    assert [name for name, *_ in found] == [name for name in available() for _ in range(2)]
    for name, size, psnr, how in found:
        assert 20 < psnr <= MOST, (name, how)
        assert 0 < size < 5 * 1200


def test_quality_is_pillows(tmp_path: pytest.TempPathFactory) -> None:
    picture = waves(1)[0]
    place = f"{tmp_path}/x.jpg"
    Image.fromarray(picture).save(place, quality=30, optimize=True)
    with Image.open(place) as shown:
        np.testing.assert_array_equal(decode(encode("JPEG", picture, 30), 3), np.asarray(shown))
