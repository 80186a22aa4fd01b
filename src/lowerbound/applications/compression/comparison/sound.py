"""Sound by a model of codes and by telephone codecs at about the same bytes, with a page.

Every codec gets all clips end to end. The model writes a file at each number of codebooks.
Each other codec uses the setting with the nearest number of bytes. Bytes are payload: the chunks
of codes in the model's file, and packets without a file's overhead.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.comparison.lossy_rivals import nearest
from lowerbound.applications.compression.comparison.pages import Figure, player_of, side_by_side
from lowerbound.applications.compression.comparison.sound_rivals import (
    RIVALS,
    Call,
    Telephone,
    available,
)
from lowerbound.applications.compression.reports import CodecRate, CompareReport
from lowerbound.applications.compression.requests import CompareRequest
from lowerbound.applications.io.files import page_path, write_text
from lowerbound.coding.files.container import open_container
from lowerbound.coding.sound import read_clips, write_clips
from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import Clips
from lowerbound.evaluation.samples.sound import log_mel_distance, si_sdr
from lowerbound.fitting import Fitted

OURS = "lowerbound"
BITS = 16  # per sample of the uncompressed sound
SHOWN, SECONDS = 4, 10  # clips on a page, and seconds of each


def compare_sound(
    request: CompareRequest, fitted: Fitted, clips: Clips, codebooks: int, reporter: Reporter
) -> CompareReport:
    """Clips by the model and by other codecs.

    Args:
        request: gives the page and the number of codebooks; without this number, half of them are
            compared too.
        fitted: a model that turns sound into codes.
        clips: the clips.
        codebooks: number of codebooks to use.
        reporter: receives the size of each codec.

    Raises:
        OptionError: the page's name is invalid.
    """
    page = page_path(request.output or None)
    counts = [codebooks] if request.codebooks else dict.fromkeys((codebooks, (codebooks + 1) // 2))
    rivals, left_out = available()
    rates: list[CodecRate] = []
    shown = {"original": _first(clips, clips.joined)}
    for rate, heard in _by_all(fitted, clips, list(counts), rivals):
        reporter.say(f"{_title(rate)}: {rate.bytes:,} bytes")
        rates.append(rate)
        shown.setdefault(_title(rate), _first(clips, heard))
    if page is not None:
        write_text(page, _page(clips, rates, shown))
    seconds = sum(clips.lengths) / clips.rate
    return CompareReport(
        {
            "clips": len(clips.samples),
            "sound_seconds": seconds,
            "rates": [rate.to_mapping() for rate in rates],
            "left_out": left_out,
            "page": page,
        },
        tuple(_lines(len(clips.samples), seconds, rates, left_out, page)),
    )


def _lines(
    clips: int,
    seconds: float,
    rates: Sequence[CodecRate],
    left_out: Sequence[str],
    page: Path | None,
) -> Iterator[str]:
    yield (
        f"{clips:,} clips, {seconds:,.1f} s of sound, laid end to end; bytes are of codes and "
        "packets, without headers"
    )
    for codebooks in dict.fromkeys(rate.measures["codebooks"] for rate in rates):
        yield f"{codebooks} codebooks, and the nearest setting of the others:"
        alike = [rate for rate in rates if rate.measures["codebooks"] == codebooks]
        yield from (f"  {rate.codec:16} {rate.words}" for rate in alike)
    yield from left_out
    if page is not None:
        yield f"side by side: {page}"


def _by_all(
    fitted: Fitted, clips: Clips, counts: Sequence[int], rivals: Sequence[str]
) -> Iterator[tuple[CodecRate, Array]]:
    """Bytes and decoded sound of all clips, by every codec at every rate."""
    signal = clips.joined

    @cache  # both rates search the same settings
    def encoded(telephone: Telephone) -> Call:
        return telephone.encoded(signal, clips.rate)

    for count in counts:
        payload, heard = _by_model(fitted, clips, count)
        yield _measured(OURS, count, payload, heard, clips), heard
        for name in rivals:
            settings = RIVALS[name]
            call = nearest(
                lambda place, settings=settings: encoded(settings[place]),  # type: ignore[misc]
                payload,
                range(len(settings)),
            )
            heard = call.heard()
            yield _measured(call.telephone.title, count, len(call), heard, clips), heard


def _by_model(fitted: Fitted, clips: Clips, codebooks: int) -> tuple[int, Array]:
    """(bytes of all codes, the sound decoded from the file)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clips.lbz"
        write_clips(path, fitted.model, clips.samples, clips.rate, codebooks=codebooks)
        file = open_container(path)
        heard = read_clips(file, fitted.model).joined
    return sum(chunk.length for chunk in file.header.chunks[1:]), heard


def _measured(codec: str, codebooks: int, size: int, heard: Array, clips: Clips) -> CodecRate:
    """``codebooks`` is that of the model's file whose bytes the codec must match."""
    original = clips.joined
    measures = {
        "codebooks": codebooks,
        "kilobits_per_second": size * 8 / (len(original) / clips.rate) / 1000,
        # codes of probability 1 take no bytes
        "times_smaller": len(original) * BITS // 8 / size if size else math.inf,
        "log_mel": log_mel_distance(heard, original, clips.rate),  # 0.05 is 1 dB
        "si_sdr": si_sdr(heard, original),  # decibels
    }
    words = (
        f"{measures['kilobits_per_second']:7.2f} kbit/s {measures['times_smaller']:6.1f} times "
        f"smaller, log-mel L1 {measures['log_mel']:.3f}, SI-SDR {measures['si_sdr']:.1f} dB"
    )
    return CodecRate(codec, size, measures, words)


def _title(rate: CodecRate) -> str:
    """The label of a rate, different from all others."""
    own = rate.codec == OURS
    return f"{OURS}, {rate.measures['codebooks']} codebooks" if own else rate.codec


def _first(clips: Clips, heard: Array) -> list[Array]:
    """The first clips of a signal that contains all of them."""
    return clips.cut(heard)[:SHOWN]


def _page(clips: Clips, rates: Sequence[CodecRate], shown: Mapping[str, list[Array]]) -> str:
    """A table, and players of the first clips by each codec."""

    def players(heard: Sequence[Array]) -> list[Figure]:
        parts = [player_of(clip[: SECONDS * clips.rate], clips.rate) for clip in heard]
        return list(zip(parts, shown, strict=True))

    clips_by_codec = zip(clips.names, *shown.values(), strict=False)
    rows = [(name, players(heard)) for name, *heard in clips_by_codec]
    about = (
        "All clips, laid end to end; bits are of codes and packets, without headers of files. "
        f"Below are the first clips, {SECONDS} seconds of each at most."
    )
    return side_by_side("Compressed sound", about, rows, _table(rates))


def _table(rates: Sequence[CodecRate]) -> list[tuple[str, ...]]:
    columns = {
        "kilobits_per_second": ("kbit/s", ".2f"),
        "times_smaller": ("times smaller", ".1f"),
        "log_mel": ("log-mel L1", ".3f"),
        "si_sdr": ("SI-SDR, dB", ".1f"),
    }
    rows = {
        _title(rate): tuple(f"{rate.measures[name]:{form}}" for name, (_, form) in columns.items())
        for rate in rates
    }
    head = ("", *(title for title, _ in columns.values()))
    return [head, *((title, *numbers) for title, numbers in rows.items())]
