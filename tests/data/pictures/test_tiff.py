"""TIFF files of measurements are refused in one sentence, and those of pictures are read."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.pictures.whole import read_whole_picture
from lowerbound.errors import DataError

SHORT, LONG = 3, 4


def tiff(pixels: np.ndarray, photometric: int, *, planes: bool = False, extra: int = -1) -> bytes:
    """An uncompressed TIFF file of one strip for each plane.

    Args:
        pixels: (H, W, bands), or (bands, H, W) if ``planes``.
        photometric: 1 grey, 2 color.
        planes: whether a band is stored after the other.
        extra: meaning of the bands beside the colors, 0 none, 2 opacity; -1: there are none.
    """
    height, width = pixels.shape[1:] if planes else pixels.shape[:2]
    bands = pixels.shape[0] if planes else pixels.shape[2]
    strips = bands if planes else 1
    colors = 3 if photometric == 2 else 1
    numbers = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags: list[tuple[int, int, list[int]]] = [
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [8 * pixels.dtype.itemsize] * bands),
        (259, SHORT, [1]),
        (262, SHORT, [photometric]),
        (273, LONG, []),
        (277, SHORT, [bands]),
        (278, LONG, [height]),
        (279, LONG, [pixels.nbytes // strips] * strips),
        (284, SHORT, [1 + planes]),
    ]
    if extra >= 0:
        tags.append((338, SHORT, [extra] * (bands - colors)))
    tags.append((339, SHORT, [numbers] * bands))
    directory = 2 + 12 * len(tags) + 4
    start = 8 + directory
    long_values, entries = b"", b""
    sizes = {SHORT: ("H", 2), LONG: ("I", 4)}
    space = sum(sizes[k][1] * max(len(v), strips if t == 273 else 0) for t, k, v in tags)
    for tag, kind, values in tags:
        if tag == 273:
            part = pixels.nbytes // strips
            values = [start + space + part * each for each in range(strips)]
        code = sizes[kind][0]
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            place = struct.pack("<I", start + len(long_values))
            long_values += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, len(values)) + place
    long_values = long_values.ljust(space, b"\0")
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    return header + entries + b"\0\0\0\0" + long_values + pixels.tobytes()


def values(*shape: int, dtype: str = "u1") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


PLANES = "it has {} bands, one stored after the other"
BANDS = "it has {} bands, 1 of them neither color nor opacity"
REFUSED = {
    "three planes": (tiff(values(3, 6, 9), 2, planes=True), PLANES.format(3)),
    "four planes": (tiff(values(4, 6, 9), 2, planes=True, extra=2), PLANES.format(4)),
    "three grey planes": (
        tiff(values(3, 6, 9), 1, planes=True, extra=0),
        "it has 3 bands of 8 bits, whole numbers",
    ),
    "two bands": (tiff(values(6, 9, 2), 1, extra=0), BANDS.format(2)),
    "a band beside colors": (tiff(values(6, 9, 4), 2, extra=0), BANDS.format(4)),
    "signed of 8 bits": (tiff(values(6, 9, 1, dtype="i1"), 1), "it has signed whole numbers"),
    "signed of 16 bits": (tiff(values(6, 9, 1, dtype="i2"), 1), "it has signed whole numbers"),
    "signed of 32 bits": (tiff(values(6, 9, 1, dtype="i4"), 1), "whole numbers of 32 bits"),
    "signed colors": (
        tiff(values(6, 9, 3, dtype="i1"), 2),
        "it has 3 bands of 8 bits, signed whole numbers",
    ),
    "half floats": (tiff(values(6, 9, 1, dtype="f2"), 1), "it has 1 band of 16 bits, floats"),
    "whole numbers of 32 bits": (tiff(values(6, 9, 1, dtype="u4"), 1), "whole numbers of 32 bits"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_measurements_are_refused_by_what_they_are(tmp_path: Path, name: str) -> None:
    content, words = REFUSED[name]
    (tmp_path / "a.tif").write_bytes(content)
    for source in (tmp_path, tmp_path / "a.tif"):
        with pytest.raises(
            DataError, match=rf"a\.tif cannot be read as a picture: .*{words}"
        ) as said:
            load(source)
        assert ".npz" in str(said.value)
    with pytest.raises(DataError, match=r"a\.tif"):
        read_whole_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("bands", [1, 3])
def test_pictures_keep_their_values(tmp_path: Path, bands: int) -> None:
    pixels = values(6, 9, bands)
    (tmp_path / "a.tif").write_bytes(tiff(pixels, 1 if bands == 1 else 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(tmp_path)
    given = found.schema.decode(found.batch(torch.arange(1)).x)
    assert np.asarray(given).reshape(pixels.shape).tolist() == pixels.tolist()


def test_grey_with_opacity_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(values(6, 9, 2), 1, extra=2))
    with pytest.warns(UserWarning, match="transparent ones are laid on white"):
        load(tmp_path)
