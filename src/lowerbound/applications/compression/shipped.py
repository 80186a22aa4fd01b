"""The codec that comes with the package: photographs can be compressed without a fit.

::

    compress photo.png                 writes photo.lbz
    decompress photo.lbz -o back.png

``shipped/photographs/README.md`` names what it was trained on, and what it is worth on other
photographs; ``benchmarks/ship_photographs.py`` makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowerbound.applications.compression.codecs import FOLDER, Codec, codec_of, read_codec
from lowerbound.data import load
from lowerbound.data.pictures.resizing import tiles_of
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted

PHOTOGRAPHS = Path(__file__).parents[2] / "shipped" / "photographs"

PictureCodec = Callable[[NDArray[np.uint8]], Codec]


@cache
def shipped_codec() -> Codec:
    """The codec of photographs.

    Raises:
        OptionError: this copy of the package comes without it.
    """
    found = sorted((PHOTOGRAPHS / FOLDER).glob("*.safetensors"))
    if not found:
        raise OptionError("this copy of lowerbound has no codec of its own: name a model folder")
    return read_codec(found[-1])


def picture_codec(fitted: Fitted | None, folder: str | None) -> tuple[int, PictureCodec]:
    """Colors of pictures, and the codec for one of them; the shipped one where none is named.

    Where the pictures a model was fitted on are gone, the tiles of the first one that is to be
    compressed tell its layers' ranges.
    """
    if fitted is None or folder is None:
        codec = shipped_codec()
        return codec.schema.event_shape[0], lambda picture: codec
    channels, height, width = fitted.schema.event_shape
    made: list[Codec] = []

    def of(picture: NDArray[np.uint8]) -> Codec:
        if not made:
            tiles = load(tiles_of(picture, (height, width)).x, schema=fitted.schema)
            made.append(codec_of(fitted, Path(folder), tiles))
        return made[0]

    return channels, of
