"""Pictures by a transform coder beside JPEG, WebP and AVIF at the same bytes; and a page of them.

At each of several rates the model writes every picture, and each other codec is asked for the
quality whose file is nearest to as many bytes. The points make curves, whose distance is a number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.bd_rate import FEWEST, Curve, bd_rate
from lowerbound.applications.compression.codec import CompareReport, CompareRequest
from lowerbound.applications.compression.losses import psnr
from lowerbound.applications.compression.lossy_rivals import available, decode, encode, nearest
from lowerbound.applications.compression.pages import picture_of, side_by_side
from lowerbound.applications.compression.rated_pictures import INVENTS, each, write_one
from lowerbound.applications.io.files import page_path, write_text
from lowerbound.coding.transform import invents
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.models import Model
from lowerbound.objectives.ms_ssim import ms_ssim

Array = np.ndarray[Any, Any]
TIMES = (20.0, 30.0, 40.0, 50.0, 60.0)  # smaller than a byte per pixel and color
SHOWN_AT = 50.0
SHOWN = 4  # pictures
WINDOW = 256  # pixels of the part that is shown
OURS, ANCHOR = "lowerbound", "JPEG"


@dataclass(frozen=True)
class Rate:
    """One picture at one rate.

    Attributes:
        times: how much smaller was asked for.
        bytes: of the file.
        psnr: of what comes back, decibels.
        ms_ssim: how alike its structure is, 1 where it is equal.
        part: what comes back, a part of it.
    """

    times: float
    bytes: int
    psnr: float
    ms_ssim: float
    part: Array


@dataclass(frozen=True)
class AtRate:
    """All pictures by one codec at one rate.

    Attributes:
        codec: its name.
        times: how many times smaller than the pictures was asked for.
        bytes: of all files.
        bits_per_pixel: 8 bytes / pixels.
        psnr: decibels, the mean over pictures.
        ms_ssim: how alike structure is, the mean over pictures.
    """

    codec: str
    times: float
    bytes: int
    bits_per_pixel: float
    psnr: float
    ms_ssim: float

    def text(self) -> str:
        """A line of a table."""
        return (
            f"  {self.codec:11} {self.bytes:>12,} bytes {self.bits_per_pixel:7.3f} bits per pixel, "
            f"PSNR {self.psnr:.2f} dB, MS-SSIM {self.ms_ssim:.4f}"
        )


def compare_pictures(
    request: CompareRequest, fitted: Fitted, paths: Sequence[Path], reporter: Reporter
) -> CompareReport:
    """Write pictures at several rates by the model and by other codecs.

    Raises:
        DataError: a picture cannot be read.
        OptionError: the page's name makes no sense.
    """
    page = page_path(request.output or None)
    found: list[dict[str, list[Rate]]] = []
    sizes: list[int] = []
    shown: list[tuple[str, Array]] = []
    for path, picture, exported in each(request, fitted, paths, reporter, "comparing"):
        found.append(_by_all(exported.model, picture))
        sizes.append(picture.shape[0] * picture.shape[1])
        if len(shown) < SHOWN:
            shown.append((path.name, middle(picture)))
    rates = tuple(_together(found, sizes))
    if page is not None:
        write_text(page, _page(shown, found))
    saved, made_up = _saved(rates), invents(exported.model)
    return CompareReport(
        {
            "pictures": len(found),
            "rates": rates,
            "saved": saved,
            "page": page,
            "invents": made_up,
        },
        tuple(_lines(len(found), rates, saved, made_up, page)),
    )


def _lines(
    pictures: int,
    rates: Sequence[AtRate],
    saved: Mapping[str, float],
    made_up: bool,
    page: Path | None,
) -> Iterator[str]:
    yield f"{pictures:,} pictures; a byte per pixel and color is 1 times"
    for times in dict.fromkeys(rate.times for rate in rates):
        yield f"{times:g} times smaller, or the nearest that a codec can:"
        alike = [rate for rate in rates if rate.times == times]
        yield from (rate.text() for rate in sorted(alike, key=lambda rate: -rate.psnr))
    for codec, share in sorted(saved.items(), key=lambda pair: pair[1]):
        yield f"{codec}: {share:+.1%} of {ANCHOR}'s bytes at the same PSNR (BD-rate)"
    if made_up:
        yield f"{OURS}: {INVENTS}"
    if page is not None:
        yield f"side by side: {page}"


def middle(picture: Array) -> Array:
    """The part of a picture around its center that is shown."""
    top, left = (max(0, (side - WINDOW) // 2) for side in picture.shape[:2])
    return picture[top : top + WINDOW, left : left + WINDOW]


def _by_all(model: Model, picture: Array) -> dict[str, list[Rate]]:
    """One picture by every codec at every rate that the model can reach."""
    channels = picture.shape[-1]
    found: dict[str, list[Rate]] = {name: [] for name in (OURS, *available())}
    for times in TIMES:
        try:
            size, back = _by_model(model, picture, times)
        except OptionError:  # not even at its coarsest
            continue
        found[OURS].append(_rate(times, size, picture, back))
        for form in available():
            file = nearest(lambda quality, form=form: encode(form, picture, quality), size)  # type: ignore[misc]
            found[form].append(_rate(times, len(file), picture, decode(file, channels)))
    return found


@dataclass(frozen=True)
class _Times:
    """A rate, as a request asks for it."""

    times: float
    quality: None = None
    bytes: None = None


def _by_model(model: Model, picture: Array, times: float) -> tuple[int, Array]:
    with tempfile.TemporaryDirectory() as folder:
        written = write_one(model, picture, Path(folder) / "picture.lbz", _Times(times))
    return written.bytes, written.back


def _rate(times: float, size: int, picture: Array, back: Array) -> Rate:
    decibels = float(psnr(picture[None], back[None])[0])
    return Rate(times, size, decibels, ms_ssim(picture, back), middle(back).copy())


def _together(found: list[dict[str, list[Rate]]], sizes: Sequence[int]) -> Iterator[AtRate]:
    """All pictures at each rate that every one of them reached."""
    for times in TIMES:
        for codec in found[0]:
            alike = [[r for r in one[codec] if r.times == times] for one in found]
            if not all(alike):
                continue
            rates = [rate for (rate,) in alike]
            total = sum(rate.bytes for rate in rates)
            decibels = float(np.mean([rate.psnr for rate in rates]))
            alikeness = float(np.mean([rate.ms_ssim for rate in rates]))
            yield AtRate(codec, times, total, 8 * total / sum(sizes), decibels, alikeness)


def _saved(rates: Sequence[AtRate]) -> dict[str, float]:
    """BD-rate of every codec but the anchor, where curves are long enough and meet."""
    curves: dict[str, Curve] = {
        name: [(rate.bits_per_pixel, rate.psnr) for rate in rates if rate.codec == name]
        for name in dict.fromkeys(rate.codec for rate in rates)
    }
    found = {}
    for name, curve in curves.items():
        if name != ANCHOR and min(len(curve), len(curves[ANCHOR])) >= FEWEST:
            try:
                found[name] = bd_rate(curve, curves[ANCHOR])
            except OptionError:  # no quality in common
                continue
    return found


def _page(shown: Sequence[tuple[str, Array]], found: Sequence[dict[str, list[Rate]]]) -> str:
    """The middle of the first pictures by each codec, in one file that needs no other."""
    rows = []
    for (name, part), by_codec in zip(shown, found, strict=False):
        figures = [(picture_of(part), f"{name}, as it was")]
        for codec, rates in by_codec.items():
            at = [rate for rate in rates if rate.times == SHOWN_AT]
            figures += [
                (picture_of(r.part), f"{codec}: {r.bytes:,} bytes, {r.psnr:.2f} dB") for r in at
            ]
        rows.append(("", figures))
    return side_by_side(
        f"Pictures {SHOWN_AT:g} times smaller",
        "The middle of each picture, pixel by pixel, at the same bytes or the fewest that a codec "
        "can.",
        rows,
    )
