"""Codecs of photographs beside ours: a picture in, a file and the picture decoded from it out.

Of each common codec the settings that a careful user takes where size counts: progressive JPEG with
optimized Huffman tables, and the same with the scans of mozjpeg; WebP at its most thorough method;
AVIF at two speeds, with all of the color and with a quarter of it.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, features

from lowerbound.applications.compression.picture_comparison import Curve, bd_rate
from lowerbound.errors import OptionError
from lowerbound.objectives.features import ms_ssim

Array = np.ndarray[Any, Any]
Point = list[float]  # bits per pixel, mean squared error, MS-SSIM
ANCHOR = "JPEG"
HAS_MOZJPEG = importlib.util.find_spec("mozjpeg_lossless_optimization") is not None
RATES = (0.3, 0.9)  # of the anchor, bits per pixel: the range of a BD-rate


def unchanged(file: bytes) -> bytes:
    return file


def rescanned(file: bytes) -> bytes:
    """The same coefficients in the scans that mozjpeg finds smallest."""
    import mozjpeg_lossless_optimization

    return bytes(mozjpeg_lossless_optimization.optimize(file))


@dataclass(frozen=True)
class Codec:
    """A codec of Pillow, its settings, and the qualities that are tried.

    Attributes:
        after: what is done to the file afterwards.
    """

    form: str
    qualities: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    after: Callable[[bytes], bytes] = unchanged

    def point(self, picture: Array, quality: int) -> Point:
        """One photograph, (height, width, 3) uint8, at one quality."""
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, self.form, quality=quality, **self.settings)
        file = self.after(stream.getvalue())
        back = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
        return point_of(len(file), picture, back)

    def points(self, picture: Array) -> list[Point]:
        return [self.point(picture, quality) for quality in self.qualities]


OF_JPEG = (12, 20, 30, 40, 50, 62, 75, 85)
OF_AVIF = (25, 32, 40, 46, 52, 58, 64, 72)
JPEG = {"optimize": True, "progressive": True, "subsampling": "4:2:0"}
CODECS: dict[str, Codec] = {
    ANCHOR: Codec("JPEG", OF_JPEG, JPEG),
    "JPEG, mozjpeg": Codec("JPEG", OF_JPEG, JPEG, rescanned),
    "WebP": Codec("WebP", (2, 10, 20, 35, 50, 65, 75, 84), {"method": 6}),
    **{
        f"AVIF, speed {speed}, {colors}": Codec(
            "AVIF", OF_AVIF, {"speed": speed, "subsampling": colors}
        )
        for speed in (4, 6)
        for colors in ("4:2:0", "4:4:4")
    },
}


def rivals() -> dict[str, Codec]:
    """The codecs that this machine has."""
    return {
        name: codec
        for name, codec in CODECS.items()
        if (codec.form == "JPEG" or features.check(codec.form.lower()))
        and (HAS_MOZJPEG or codec.after is not rescanned)
    }


def settings() -> dict[str, Any]:
    """What each codec is told, for the result."""
    return {
        name: {"form": codec.form, "qualities": codec.qualities, **codec.settings}
        for name, codec in rivals().items()
    }


def point_of(size: int, picture: Array, back: Array) -> Point:
    """Rate and both errors of a picture decoded from a file of so many bytes."""
    rate = 8 * size / (picture.shape[0] * picture.shape[1])
    error = float(np.square(picture.astype(np.float64) - back).mean())
    return [rate, error, ms_ssim(picture, back)]


def decibels(error: float) -> float:
    """PSNR of a mean squared error, dB."""
    return 10 * math.log10(255**2 / max(error, 1e-3))


def similarity(value: float) -> float:
    """-10 log10(1 - MS-SSIM), dB."""
    return -10 * math.log10(max(1 - value, 1e-6))


QUALITIES: dict[str, Callable[[Point], float]] = {
    "PSNR": lambda point: decibels(point[1]),
    "MS-SSIM": lambda point: similarity(point[2]),
}


def curve(pictures: Sequence[Sequence[Point]], measure: str) -> Curve:
    """Mean rate and mean quality (dB) over photographs at each setting."""
    found = []
    for points in zip(*pictures, strict=True):
        qualities = [QUALITIES[measure](point) for point in points]
        found.append((float(np.mean([point[0] for point in points])), float(np.mean(qualities))))
    return found


def saved(points: Mapping[str, Sequence[Point]], measure: str) -> dict[str, float | None]:
    """BD-rate of each codec against the anchor on one photograph, %; None: no common quality."""
    anchor = curve([points[ANCHOR]], measure)
    found: dict[str, float | None] = {}
    for name, own in points.items():
        try:
            found[name] = 100 * bd_rate(curve([own], measure), anchor, RATES)
        except OptionError:
            found[name] = None
    return found


def quality_at(known: Curve, rate: float) -> float:
    """The quality of a codec at a rate, interpolated by log rate."""
    rates, quality = np.array(sorted(known), np.float64).T
    return float(np.interp(np.log(rate), np.log(rates), np.maximum.accumulate(quality)))
