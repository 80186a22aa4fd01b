"""A picture file that is stored as it is, because a coder would make it larger.

Scans, drawings and small pictures are such files, and photographs that are compressed already. The
payload is the file itself, or its pixels as a lossless WebP or PNG: nothing is lost.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.applications.compression import container
from lowerbound.applications.compression.container import Container
from lowerbound.applications.compression.header import HASH_BYTES
from lowerbound.data.pictures.decoding import bits_of, is_transparent, open_picture
from lowerbound.errors import BitstreamError

if TYPE_CHECKING:
    from PIL.Image import Image

KIND = "stored"
NO_MODEL = bytes(HASH_BYTES)
FORMATS = {  # kept as they are
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
}
BY_WEBP = ("1", "L", "LA", "P", "RGB", "RGBA")
BY_PNG = ("1", "P", "I;16", "I;16B")
FEW_GREYS = {"L;2", "L;4"}  # which Pillow spreads to 8 bits, but not the transparent one
INKS = ("CMYK", "YCbCr", "LAB")  # which PNG does not have
WEBP_SIDE = 16_383  # pixels
PIECES, PIECE = 3, 256  # pieces down and across, and their side in pixels
SURELY = 5.0  # the whole does not fit if its pieces promise more than so many times ``most``
ROUGHLY = 2.0  # times the size of a thorough lossless WebP: no quick one is larger


def smallest_exact(content: bytes, most: float) -> bytes | None:
    """The smallest exact form of a picture file; None if it takes more bytes than ``most``."""
    with open_picture(io.BytesIO(content)) as picture:
        kept = [content] if picture.format in FORMATS.values() else []
        forms = [*kept, *_lossless(_exact(picture), most)]
    best = min(forms, key=len, default=None)
    return None if best is None or len(best) > most else best


def write_stored(target: Path, payload: bytes) -> None:
    """Write a picture file as a compressed file."""
    with open_picture(io.BytesIO(payload)) as picture:
        shape = (1, len(picture.getbands()), picture.height, picture.width)
    container.write(target, KIND, NO_MODEL, shape, b"", [(payload, zlib.crc32(payload))])


@container.checked
def read_stored(file: Container) -> tuple[bytes, str]:
    """The picture file, and its format.

    Raises:
        BitstreamError: the file is damaged, or holds no such picture.
    """
    file.expect(KIND, NO_MODEL)
    if len(file.header.chunks) != 1:
        raise BitstreamError(f"{file.name} has settings that do not fit its chunks")
    payload = file.payload(0)
    file.check_symbols(0, payload)
    try:
        with open_picture(io.BytesIO(payload)) as picture:
            form = picture.format or ""
            shape = (1, len(picture.getbands()), picture.height, picture.width)
            picture.load()
    except (OSError, SyntaxError) as error:  # Pillow's errors of broken files
        raise BitstreamError(f"{file.name} holds no readable picture: {error}") from error
    if form not in FORMATS.values() or shape != file.header.shape:
        raise BitstreamError(f"{file.name} claims another picture than it holds")
    return payload, form


def as_png(payload: bytes) -> bytes:
    """The picture as a PNG file with the same pixels; colors of printing inks become RGB."""
    with open_picture(io.BytesIO(payload)) as picture:
        upright = _upright(picture)
        if upright.mode in INKS:
            upright = upright.convert("RGB")
            upright.info.pop("icc_profile", None)  # of the inks
        return _saved(_plain(upright), "PNG")


def _exact(picture: Image) -> Image | None:
    """The picture upright with all its bits; None: Pillow reads only 8 bits of its deep colors, or
    no PNG has so many, or Pillow misses its transparent grey."""
    raw = {str(tile[-1]) for tile in getattr(picture, "tile", ())}
    if is_transparent(picture) and raw & FEW_GREYS:
        return None
    bits, upright = bits_of(picture), _upright(picture)
    if upright.mode == "RGB" and is_transparent(upright):  # a color, which no WebP marks
        upright = upright.convert("RGBA")
    if upright.mode != "I":
        return None if bits > 8 and upright.mode[:4] != "I;16" else upright
    values = np.asarray(upright)
    fit = 0 <= values.min() <= values.max() < 1 << 16
    return upright.convert("I;16") if fit else None


def _lossless(picture: Image | None, most: float) -> Iterator[bytes]:
    """Lossless forms that may take at most so many bytes."""
    if picture is None:
        return
    if picture.mode in BY_WEBP and max(picture.size) <= WEBP_SIDE and _may_fit(picture, most):
        quick = _saved(picture, "WEBP", lossless=True, quality=0, method=1)
        if len(quick) <= ROUGHLY * most:
            yield _saved(picture, "WEBP", lossless=True, quality=100, method=4, exact=True)
    if picture.mode in BY_PNG:
        yield _saved(picture, "PNG", optimize=True)


def _may_fit(picture: Image, most: float) -> bool:
    """Whether a lossless WebP may take at most so many bytes, by some pieces of a large picture:
    the whole takes a lot of memory."""
    width, height = picture.size
    if width * height <= PIECES**2 * PIECE**2 * 4:
        return True
    size = 0
    for place in product(range(PIECES), repeat=2):
        left, top = (
            round(at * (side - PIECE) / (PIECES - 1))
            for at, side in zip(place, (width, height), strict=True)
        )
        piece = picture.crop((left, top, left + PIECE, top + PIECE))
        size += len(_saved(piece, "WEBP", lossless=True, quality=0, method=1))
    return size * width * height / (PIECES * PIECE) ** 2 <= SURELY * most


def _saved(picture: Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    profile = picture.info.get("icc_profile")
    picture.save(stream, form, icc_profile=profile, **options)
    return stream.getvalue()


def _upright(picture: Image) -> Image:
    from PIL import ImageOps

    turned: Image = ImageOps.exif_transpose(picture)
    return turned


def _plain(picture: Image) -> Image:
    """A color picture that is grey everywhere as a grey one, as lossless WebP has no greys."""
    if picture.mode != "RGB":
        return picture
    red, green, blue = picture.split()
    same = red.tobytes() == green.tobytes() == blue.tobytes()
    return red if same else picture
