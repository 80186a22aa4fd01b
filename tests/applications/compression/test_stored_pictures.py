"""Picture files that are stored as they are: nothing is lost, and no file is trusted."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lowerbound.applications.compression import stored_pictures
from lowerbound.applications.compression.container import open_container, pack
from lowerbound.applications.compression.stored_pictures import (
    KIND,
    NO_MODEL,
    as_png,
    read_stored,
    smallest_exact,
    write_stored,
)
from lowerbound.errors import BitstreamError

RNG = np.random.default_rng(0)


def scan() -> Image.Image:
    picture = Image.new("1", (200, 120), 1)
    ImageDraw.Draw(picture).text((10, 20), "lower bound", fill=0)
    return picture


PICTURES = {
    "bits": scan(),
    "grey": Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (40, 1))),
    "deep grey": Image.fromarray(np.tile(np.arange(64, dtype=np.uint16) * 999, (40, 1))),
    "palette": Image.fromarray(RNG.integers(0, 4, (40, 50), np.uint8) * 80).convert("P"),
    "color": Image.fromarray(np.tile(RNG.integers(0, 256, (1, 50, 3), np.uint8), (40, 1, 1))),
    "transparent": Image.fromarray(np.tile(RNG.integers(0, 256, (1, 9, 4), np.uint8), (9, 1, 1))),
}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("name", PICTURES)
def test_every_pixel_comes_back(name: str, suffix: str, tmp_path: Path) -> None:
    picture = PICTURES[name]
    path = tmp_path / f"picture{suffix}"
    picture.save(path)
    payload = smallest_exact(path.read_bytes(), 1e6)
    assert payload is not None
    assert len(payload) <= path.stat().st_size
    write_stored(tmp_path / "x.lbz", payload)
    back, _ = read_stored(open_container(tmp_path / "x.lbz"))
    with Image.open(io.BytesIO(as_png(back))) as found:
        mode = "RGBA" if name == "transparent" else picture.mode if "deep" in name else "RGB"
        ours = found if "deep" in name else found.convert(mode)
        theirs = picture if "deep" in name else picture.convert(mode)
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
        if name == "grey":
            assert found.mode == "L"


CLEAR = {  # the value that is transparent
    "bits": 0,
    "grey": 20,
    "deep grey": 999 * 20,
    "palette": int(np.asarray(PICTURES["palette"])[0, 0]),
    "color": tuple(np.asarray(PICTURES["color"])[0, 0].tolist()),
}


@pytest.mark.parametrize("name", CLEAR)
def test_a_transparent_color_comes_back(name: str) -> None:
    stream = io.BytesIO()
    PICTURES[name].save(stream, "PNG", transparency=CLEAR[name])
    payload = smallest_exact(stream.getvalue() + bytes(1000), 1e6)  # a smaller form is found
    assert payload is not None
    assert len(payload) < len(stream.getvalue()) + 1000
    with Image.open(stream) as given, Image.open(io.BytesIO(payload)) as found:
        if name == "deep grey":  # which has no mode with opacity
            assert found.info["transparency"] == given.info["transparency"]
            np.testing.assert_array_equal(np.asarray(found), np.asarray(given))
        else:
            theirs, ours = (np.asarray(one.convert("RGBA")) for one in (given, found))
            assert 0 < (theirs[..., 3] == 0).sum() < theirs[..., 3].size
            np.testing.assert_array_equal(ours, theirs)


def test_a_transparent_color_of_few_greys_is_kept() -> None:
    """Pillow does not find it in a PNG of 2 or 4 bits, so the file is kept byte for byte."""
    kinds = {
        b"IHDR": struct.pack(">IIBBBBB", 4, 64, 4, 0, 0, 0, 0),
        b"tRNS": struct.pack(">H", 5),
        b"IDAT": zlib.compress(b"\x00\x55\x7f" * 64),
        b"IEND": b"",
    }
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in kinds.items()
    )
    content += bytes(1000)
    assert smallest_exact(content, 1e6) == content


def test_a_small_jpeg_is_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(path, quality=30)
    assert smallest_exact(path.read_bytes(), 1e6) == path.read_bytes()


def test_a_rotated_picture_comes_back_upright(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    picture = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (16, 1)))
    picture.save(path, exif=exif)
    with Image.open(io.BytesIO(as_png(path.read_bytes()))) as found:
        assert found.size == (16, 64)
        assert found.getpixel((0, 0)) < found.getpixel((0, 63))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_a_png_of_inks_has_no_profile_of_inks(mode: str) -> None:
    """It would change the colors, which are those of a screen; that of a screen is kept."""
    for kind, kept in ((mode, False), ("RGB", True)):
        stream = io.BytesIO()
        picture = PICTURES["color"].convert("LAB" if kind == "LAB" else kind)
        picture.save(stream, "TIFF", icc_profile=b"profile")
        with Image.open(io.BytesIO(as_png(stream.getvalue()))) as found:
            assert (found.mode, "icc_profile" in found.info) == ("RGB", kept)


def test_none_where_no_exact_form_is_small(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    assert smallest_exact(path.read_bytes(), 5_000) is None


def file_of(payload: bytes, shape: tuple[int, ...]) -> bytes:
    return pack(KIND, NO_MODEL, shape, b"", [(payload, zlib.crc32(payload))])


def test_files_of_another_picture_are_refused() -> None:
    stream = io.BytesIO()
    PICTURES["color"].save(stream, "PNG")
    read_stored(open_container(file_of(stream.getvalue(), (1, 3, 40, 50))))
    with pytest.raises(BitstreamError, match="claims another picture"):
        read_stored(open_container(file_of(stream.getvalue(), (1, 3, 50, 40))))
    for broken in (b"no picture", stream.getvalue()[:-40]):
        with pytest.raises(BitstreamError, match="no readable picture"):
            read_stored(open_container(file_of(broken, (1, 3, 40, 50))))
    gif = io.BytesIO()
    PICTURES["grey"].save(gif, "GIF")
    with pytest.raises(BitstreamError, match="claims another picture"):
        read_stored(open_container(file_of(gif.getvalue(), (1, 1, 40, 64))))


def large(busy: slice) -> Image.Image:
    """A white page of 4 megapixels with noise in some of its lines."""
    page = np.full((2000, 2200, 3), 255, np.uint8)
    page[busy] = np.random.default_rng(0).integers(0, 256, page[busy].shape)
    return Image.fromarray(page)


def test_a_large_page_is_judged_by_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole is not tried where pieces show that it is too large, and else it is."""
    tried: list[tuple[int, int]] = []
    whole = stored_pictures._saved

    def saved(picture: Image.Image, form: str, **options: object) -> bytes:
        tried.append(picture.size)
        return whole(picture, form, **options)

    monkeypatch.setattr(stored_pictures, "_saved", saved)
    path = tmp_path / "page.bmp"
    large(slice(0, 2000)).save(path)
    assert smallest_exact(path.read_bytes(), 200_000) is None
    assert set(tried) == {(256, 256)}
    large(slice(0, 20)).save(path)
    found = smallest_exact(path.read_bytes(), 200_000)
    assert found is not None
    assert (2200, 2000) in tried
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(found))), np.asarray(Image.open(path))
    )
