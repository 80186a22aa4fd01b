r"""Pictures by a transform coder and by JPEG, WebP and AVIF at the same bytes, with a page of them.

At each of several rates the model writes every picture. Each other codec uses the quality whose
file is nearest to the same size. The BD-rate, the mean difference in file size at the same quality,
measures the distance between the resulting curves:

.. math:: \exp\Big(\frac{1}{b - a}\int_a^b \log R_1(q) - \log R_0(q) \,dq\Big) - 1

R is the rate as a function of quality: monotone cubics of log R interpolate the measured points.
Source: Bjontegaard 2001, with the piecewise cubic Hermite interpolation that ITU-T recommends.

The page shows the output of the codecs side by side, in one HTML file.
"""

from __future__ import annotations

import base64
import html
import io
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.drawings import as_image
from lowerbound.applications.common.files import page_path, write_text
from lowerbound.applications.compression.codec import CodecRate, CompareReport
from lowerbound.applications.compression.picture_files import psnr
from lowerbound.applications.compression.rated_pictures import INVENTS, each, write_one
from lowerbound.applications.compression.requests import CompareRequest, CompressRequest, Tune
from lowerbound.applications.compression.rivals import available, decode, encode, nearest
from lowerbound.applications.compression.transform_codec import invents
from lowerbound.data.arrays import Array, listed
from lowerbound.data.audio.clips import wav_file
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.models.base import Model
from lowerbound.objectives.features import ms_ssim

Curve = Sequence[tuple[float, float]]
"""(rate, quality) of a codec at several settings."""

FEWEST = 4  # points of a curve
Figure = tuple[str, str]
"""(HTML of a picture or player, its caption)."""
TIMES = (20.0, 30.0, 40.0, 50.0, 60.0)  # smaller than a byte per pixel and color
SHOWN_AT = 50.0  # times smaller than the picture, on the page
SHOWN = 4  # pictures on the page
WINDOW = 256  # pixels of the part that is shown
OURS, ANCHOR = "lowerbound", "JPEG"


def bd_rate(codec: Curve, anchor: Curve, rates: tuple[float, float] | None = None) -> float:
    """Mean difference in rate between ``codec`` and ``anchor``, as a share; negative if it saves.

    Args:
        codec: at least four points of different rates.
        anchor: reference curve, also of at least four different rates.
        rates: range of the anchor's rates for the mean; None: all qualities that both reach.

    Raises:
        OptionError: too few points, or no quality that both reach.
    """
    from scipy.interpolate import PchipInterpolator

    if min(map(rates_of, (codec, anchor))) < FEWEST:
        raise OptionError(f"a curve has at least {FEWEST} points of different rates")
    (rate, quality), (their_rate, their_quality) = map(_sorted, (codec, anchor))
    low, high = max(quality[0], their_quality[0]), min(quality[-1], their_quality[-1])
    if rates is not None:
        ends = np.interp(rates, their_rate, their_quality)
        low, high = max(low, ends[0]), min(high, ends[1])
    if low >= high:
        raise OptionError("the curves have no quality in common")
    ours = PchipInterpolator(quality, np.log(rate)).integrate(low, high)
    theirs = PchipInterpolator(their_quality, np.log(their_rate)).integrate(low, high)
    return float(np.expm1((ours - theirs) / (high - low)))


def rates_of(curve: Curve) -> int:
    """The number of different rates: a codec at its smallest file repeats a point."""
    return len({rate for rate, _ in curve})


def _sorted(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    rate, quality = np.array(sorted(curve), np.float64).T
    return rate, np.maximum.accumulate(quality) + 1e-9 * np.arange(len(quality))


def side_by_side(
    title: str,
    about: str,
    rows: Sequence[tuple[str, Sequence[Figure]]],
    table: Sequence[Sequence[str]] = (),
) -> str:
    """The page as HTML.

    Args:
        title: title of the page.
        about: one sentence that describes the page.
        rows: a heading or "", and the figures side by side.
        table: lines of cells above the figures; the first line is the head.
    """
    lines = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(about)}</p>"]
    if table:
        head, *rest = table
        lines += ["<table>", _line(head, "th"), *(_line(words, "td") for words in rest), "</table>"]
    for heading, figures in rows:
        lines += [f"<h2>{html.escape(heading)}</h2>"] if heading else []
        lines.append(f"<div>{''.join(_figure(*figure) for figure in figures)}</div>")
    return _FRAME.format(title=html.escape(title), body="\n".join(lines))


def picture_of(picture: Array) -> str:
    """HTML of a picture (height, width, channels) uint8."""
    stream = io.BytesIO()
    as_image(picture).save(stream, "PNG")
    return f'<img src="data:image/png;base64,{_base64(stream.getvalue())}" alt="">'


def player_of(sound: Array, rate: int) -> str:
    """HTML that plays amplitudes, (length,)."""
    return f'<audio controls src="data:audio/wav;base64,{_base64(wav_file(sound, rate))}"></audio>'


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _figure(media: str, caption: str) -> str:
    text = html.escape(caption)
    return f'<figure aria-label="{text}">{media}<figcaption>{text}</figcaption></figure>'


def _line(words: Sequence[str], cell: str) -> str:
    return f"<tr>{''.join(f'<{cell}>{html.escape(word)}</{cell}>' for word in words)}</tr>"


_FRAME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; }}
th, td {{ padding: 0.1em 1.5em 0.1em 0; }}
th + th, td + td {{ text-align: right; font-variant-numeric: tabular-nums; }}
figure {{ display: inline-block; margin: 0 1em 1em 0; vertical-align: top; }}
img {{ display: block; }}
figcaption {{ max-width: 256px; font-size: 13px; }}
</style></head><body>
{body}
</body></html>
"""


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
