"""Pictures by a transform coder and by JPEG, WebP and AVIF at the same bytes, with a page of them.

At each of several rates the model writes every picture. Each other codec uses the quality whose
file is nearest to the same size. BD-rate measures the distance between the resulting curves.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.comparison.bd_rate import FEWEST, bd_rate, rates_of
from lowerbound.applications.compression.comparison.lossy_rivals import (
    available,
    decode,
    encode,
    nearest,
)
from lowerbound.applications.compression.comparison.pages import picture_of, side_by_side
from lowerbound.applications.compression.losses import psnr
from lowerbound.applications.compression.rated_pictures import INVENTS, each, write_one
from lowerbound.applications.compression.reports import CodecRate, CompareReport
from lowerbound.applications.compression.requests import CompareRequest, CompressRequest, Tune
from lowerbound.applications.io.files import page_path, write_text
from lowerbound.coding.transform import invents
from lowerbound.data.arrays import Array, listed
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import Fitted
from lowerbound.models import Model
from lowerbound.objectives.ms_ssim import ms_ssim

TIMES = (20.0, 30.0, 40.0, 50.0, 60.0)  # smaller than a byte per pixel and color
SHOWN_AT = 50.0
SHOWN = 4  # pictures on the page
WINDOW = 256  # pixels of the part that is shown
OURS, ANCHOR = "lowerbound", "JPEG"


def in_decibels(similarity: float) -> float:
    """-10 log10(1 - similarity)."""
    return -10 * math.log10(max(1 - similarity, 1e-6))


MEASURES: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "psnr": ("PSNR", float),
    "ms_ssim": ("MS-SSIM", in_decibels),
}
"""Measures of BD-rates by their names in reports: title, and the measure in decibels."""


@dataclass(frozen=True)
class PictureRate:
    """One picture by one codec at one rate.

    Attributes:
        bytes: size of the file.
        psnr: of the decoded picture, dB.
        ms_ssim: structural similarity, 1 if equal.
        part: the shown part of the decoded picture.
    """

    bytes: int
    psnr: float
    ms_ssim: float
    part: Array


Rates = dict[tuple[float, str], PictureRate]
"""Rates of one picture, by requested factor and codec."""


def compare_pictures(
    request: CompareRequest, fitted: Fitted, paths: Sequence[Path], reporter: Reporter
) -> CompareReport:
    """Write pictures at several rates by the model and by other codecs.

    Raises:
        DataError: a picture cannot be read, or all are too small for every rate.
        OptionError: the page's name is invalid.
    """
    page = page_path(request.output or None)
    found: dict[str, Rates] = {}
    pixels = 0
    shown: list[tuple[str, Array]] = []
    for path, picture, exported in each(request, fitted, paths, reporter, "comparing"):
        found[str(path)] = _by_all(exported.model, picture, request.tune)
        pixels += picture.shape[0] * picture.shape[1]
        if len(shown) < SHOWN:
            shown.append((path.name, middle(picture)))
    each_found = list(found.values())
    rates = tuple(_together(each_found, pixels))
    if lacking := _not_reached(found, rates):
        reporter.say(lacking)
    if not rates:
        raise DataError("no rate is left to compare: leave out the pictures that are too small")
    if page is not None:
        write_text(page, _page(shown, each_found))
    saved = {measure: _saved(rates, measure) for measure in MEASURES}
    made_up = invents(exported.model)
    return CompareReport(
        {
            "pictures": len(found),
            "rates": [rate.to_mapping() for rate in rates],
            "saved": saved["psnr"],
            "saved_by_ms_ssim": saved["ms_ssim"],
            "tune": request.tune,
            "page": page,
            "invents": made_up,
        },
        tuple(_lines(len(found), rates, saved, made_up, page)),
    )


def _lines(
    pictures: int,
    rates: Sequence[CodecRate],
    saved: Mapping[str, Mapping[str, float]],
    made_up: bool,
    page: Path | None,
) -> Iterator[str]:
    yield f"{pictures:,} pictures; a byte per pixel and color is 1 times"
    for times in dict.fromkeys(rate.measures["times"] for rate in rates):
        yield f"{times:g} times smaller, or the nearest size of a codec:"
        alike = [rate for rate in rates if rate.measures["times"] == times]
        alike.sort(key=lambda rate: -rate.measures["psnr"])
        yield from (f"  {rate.codec:11} {rate.words}" for rate in alike)
    for measure, (title, _) in MEASURES.items():
        for codec, share in sorted(saved[measure].items(), key=lambda pair: pair[1]):
            yield f"{codec}: {share:+.1%} of {ANCHOR}'s bytes at the same {title} (BD-rate)"
    if made_up:
        yield f"{OURS}: {INVENTS}"
    if page is not None:
        yield f"side by side: {page}"


def middle(picture: Array) -> Array:
    """The shown part of a picture, around its center."""
    top, left = (max(0, (side - WINDOW) // 2) for side in picture.shape[:2])
    return picture[top : top + WINDOW, left : left + WINDOW]


def _by_all(model: Model, picture: Array, tune: Tune) -> Rates:
    """One picture by every codec, at every rate that the model can reach."""
    channels, found = picture.shape[-1], {}
    for times in TIMES:
        try:
            size, back = _by_model(model, picture, times, tune)
        except OptionError:  # too large even at the coarsest level
            continue
        found[times, OURS] = _rate(size, picture, back)
        for form in available():
            file = nearest(lambda quality, form=form: encode(form, picture, quality), size)  # type: ignore[misc]
            found[times, form] = _rate(len(file), picture, decode(file, channels))
    return found


def _by_model(model: Model, picture: Array, times: float, tune: Tune) -> tuple[int, Array]:
    rate = CompressRequest("", times=times, tune=tune)
    with tempfile.TemporaryDirectory() as folder:
        written = write_one(model, picture, Path(folder) / "picture.lbz", rate)
    return written.bytes, written.back


def _rate(size: int, picture: Array, back: Array) -> PictureRate:
    decibels = float(psnr(picture[None], back[None])[0])
    return PictureRate(size, decibels, ms_ssim(picture, back), middle(back).copy())


def _together(found: Sequence[Rates], pixels: int) -> Iterator[CodecRate]:
    """All pictures at each rate that all of them reach."""
    for times, codec in found[0]:
        rates = [one[times, codec] for one in found if (times, codec) in one]
        if len(rates) < len(found):
            continue
        size = sum(rate.bytes for rate in rates)
        measures = {
            "times": times,
            "bits_per_pixel": 8 * size / pixels,
            "psnr": float(np.mean([rate.psnr for rate in rates])),
            "ms_ssim": float(np.mean([rate.ms_ssim for rate in rates])),
        }
        words = (
            f"{size:>12,} bytes {measures['bits_per_pixel']:7.3f} bits per pixel, PSNR "
            f"{measures['psnr']:.2f} dB, MS-SSIM {measures['ms_ssim']:.4f}"
        )
        yield CodecRate(codec, size, measures, words)


def _not_reached(found: Mapping[str, Rates], rates: Sequence[CodecRate]) -> str:
    """The rates that are left out, and the pictures that do not reach them; empty if there are
    none."""
    reached = {rate.measures["times"] for rate in rates}
    left = [times for times in TIMES if times not in reached]
    if not left:
        return ""
    small = [name for name, one in found.items() if any((times, OURS) not in one for times in left)]
    factors = ", ".join(f"{times:g}" for times in left)
    return f"left out: {factors} times smaller, for which some are too small: {listed(small)}"


def _saved(rates: Sequence[CodecRate], measure: str) -> dict[str, float]:
    """BD-rate of every codec except the anchor, if the curves are long enough and overlap."""
    _, decibels = MEASURES[measure]
    curves: dict[str, list[tuple[float, float]]] = {}
    for rate in rates:
        point = rate.measures["bits_per_pixel"], decibels(rate.measures[measure])
        curves.setdefault(rate.codec, []).append(point)
    found = {}
    for name, curve in curves.items():
        if name != ANCHOR and min(map(rates_of, (curve, curves[ANCHOR]))) >= FEWEST:
            with suppress(OptionError):  # no quality in common
                found[name] = bd_rate(curve, curves[ANCHOR])
    return found


def _page(shown: Sequence[tuple[str, Array]], found: Sequence[Rates]) -> str:
    """The middle of the first pictures by each codec, as one HTML file."""
    rows = []
    for (name, part), rates in zip(shown, found, strict=False):
        figures = [(picture_of(part), f"{name}, original")]
        figures += [
            (picture_of(rate.part), f"{codec}: {rate.bytes:,} bytes, {rate.psnr:.2f} dB")
            for (times, codec), rate in rates.items()
            if times == SHOWN_AT
        ]
        rows.append(("", figures))
    return side_by_side(
        f"Pictures {SHOWN_AT:g} times smaller",
        "The middle of each picture, pixel by pixel, at the same bytes or a codec's smallest size.",
        rows,
    )
