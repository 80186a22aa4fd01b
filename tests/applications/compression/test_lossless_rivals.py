"""What other codecs need: known sizes of known digits, and the same picture back."""

from __future__ import annotations

import io
import lzma
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowerbound.applications.compression.rivals import packed, picture_codecs, rivals
from lowerbound.data import load


def test_bits_lie_eight_to_a_byte() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 1, 5, 5))
    content = packed(bits, 2)
    assert len(content) == 3 * 4
    back = np.unpackbits(np.frombuffer(content, np.uint8).reshape(3, 4), axis=1, count=25)
    np.testing.assert_array_equal(back.reshape(bits.shape), bits)


@pytest.mark.parametrize(("levels", "size"), [(17, 1), (256, 1), (300, 2)])
def test_levels_take_whole_bytes(levels: int, size: int) -> None:
    codes = np.random.default_rng(0).integers(0, levels, (4, 7)).astype(np.uint16)
    back = np.frombuffer(packed(codes, levels), "<u2" if size == 2 else np.uint8)
    np.testing.assert_array_equal(back.reshape(codes.shape), codes)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [2, 256])
def test_sizes_are_of_pictures_that_come_back(levels: int, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, levels, (9, 7, channels)).astype(np.uint8)
    sizes = {name: encode(picture) for name, encode in picture_codecs(levels).items()}
    shown = picture * 255 if levels == 2 else picture
    image = Image.fromarray(shown[..., 0] if channels == 1 else shown)
    image = image.convert("1") if levels == 2 and channels == 1 else image
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    assert sizes["PNG"] == len(stream.getvalue())
    assert sizes["WebP, lossless"] > 0


def test_no_codec_takes_less_than_the_information_of_colored_bits() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (32, 32, 3)).astype(np.uint8)
    for name, encode in picture_codecs(2).items():
        assert encode(bits) >= bits.size / 8, name


@pytest.mark.slow
def test_known_digits_have_known_sizes(shared_data: Path) -> None:
    """Measured by others on the 10,000 test digits of MNIST: bits per dimension."""
    x = load("mnist", split="test").all().x
    assert x is not None
    found = {name: 8 * size / x.numel() for name, size, _ in islice(rivals(x, 256), 4)}
    joint = packed(torch.round(x * 255).numpy().astype(np.uint16), 256)
    found["xz -9e"] = 8 * len(lzma.compress(joint)) / x.numel()  # theirs was the usual preset
    expected = {"gzip -9": 1.640, "bz2 -9": 1.418, "xz -9e": 1.395, "PNG": 2.796}
    assert found == {name: pytest.approx(value, rel=0.005) for name, value in expected.items()}
