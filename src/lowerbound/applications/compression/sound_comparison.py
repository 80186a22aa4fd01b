"""Sound by a model of codes beside the codecs of telephones at about the same bytes; and a page.

All clips go end to end, to every codec alike. At each number of codebooks the model writes a file,
and each other codec is asked for the setting whose packets are nearest to as many bytes. Bytes are
payload: the chunks of codes of the model's file, and packets without what a file adds to them.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.compression.lossy_rivals import nearest
from lowerbound.applications.compression.sound import BITS, asked_clips
from lowerbound.applications.compression.sound_page import SHOWN, Shown, sound_page
from lowerbound.applications.compression.sound_rivals import RIVALS, Call, Telephone, available
from lowerbound.applications.io.files import page_path, write_text
from lowerbound.coding.files.container import open_container
from lowerbound.coding.sound import read_clips, write_clips
from lowerbound.data.audio.clips import Clips
from lowerbound.data.pictures.folders import OnError
from lowerbound.evaluation.samples.sound import log_mel_distance, si_sdr
from lowerbound.fitting import Fitted

Array = np.ndarray[Any, Any]
OURS = "lowerbound"


@dataclass(frozen=True)
class SoundRate:
    """All clips by one codec at one rate.

    Attributes:
        codec: its name.
        codebooks: of the model, whose bytes the codec was asked for.
        bytes: of the payload.
        kilobits_per_second: of the payload.
        times_smaller: than samples of 16 bits.
        log_mel: log-mel L1 of what is heard, 0 where it is as it was; 0.05 is 1 dB.
        si_sdr: of what is heard, decibels; see ``lowerbound.evaluation.samples.sound``.
    """

    codec: str
    codebooks: int
    bytes: int
    kilobits_per_second: float
    times_smaller: float
    log_mel: float
    si_sdr: float

    @property
    def title(self) -> str:
        """What tells it from the others."""
        return f"{OURS}, {self.codebooks} codebooks" if self.codec == OURS else self.codec

    def text(self) -> str:
        """A line of a table."""
        return (
            f"  {self.codec:16} {self.kilobits_per_second:7.2f} kbit/s {self.times_smaller:6.1f} "
            f"times smaller, log-mel L1 {self.log_mel:.3f}, SI-SDR {self.si_sdr:.1f} dB"
        )


@dataclass(frozen=True)
class SoundComparison(Report):
    """Codecs of sound beside each other.

    Attributes:
        clips: how many.
        sound_seconds: of all clips.
        rates: of each codec at each number of codebooks, the model first.
        left_out: a sentence for each codec that could not be asked.
        page: where clips are to be listened to, if anywhere.
    """

    clips: int
    sound_seconds: float
    rates: tuple[SoundRate, ...]
    left_out: tuple[str, ...] = ()
    page: str | None = None

    def text(self) -> str:
        lines = [
            f"{self.clips:,} clips, {self.sound_seconds:,.1f} s of sound, laid end to end; bytes "
            "are of codes and packets, without headers"
        ]
        for codebooks in dict.fromkeys(rate.codebooks for rate in self.rates):
            lines.append(f"{codebooks} codebooks, and the nearest that others can:")
            lines += [rate.text() for rate in self.rates if rate.codebooks == codebooks]
        lines += self.left_out
        return "\n".join(lines if self.page is None else [*lines, f"side by side: {self.page}"])


def compare_sound(
    fitted: Fitted,
    data: str,
    output: str | None,
    codebooks: int | None,
    on_error: OnError,
    part: str,
    reporter: Reporter,
) -> SoundComparison:
    """The clips of a .wav file or a folder by the model and by other codecs.

    Args:
        codebooks: how many are used; None: all, and half of them.

    Raises:
        UnsupportedError: the model does not turn sound into codes.
        DataError: the data is no sound of the model's sample rate.
        OptionError: there are not so many codebooks, a part is asked for, or the page's name makes
            no sense.
    """
    page = page_path(output)
    clips, most = asked_clips(fitted, data, codebooks, on_error, part)
    counts = [most] if codebooks else dict.fromkeys((most, (most + 1) // 2))
    rivals, left_out = available()
    rates: list[SoundRate] = []
    shown = {"as it was": _first(clips, clips.joined)}
    for rate, heard in _by_all(fitted, clips, list(counts), rivals):
        reporter.say(f"{rate.title}: {rate.bytes:,} bytes")
        rates.append(rate)
        shown.setdefault(rate.title, _first(clips, heard))
    report = SoundComparison(
        clips=len(clips.samples),
        sound_seconds=sum(clips.lengths) / clips.rate,
        rates=tuple(rates),
        left_out=left_out,
        page=None if page is None else str(page),
    )
    if page is not None:
        write_text(page, sound_page(_table(rates), Shown(clips.names, clips.rate, shown)))
    return report


def _by_all(
    fitted: Fitted, clips: Clips, counts: Sequence[int], rivals: Sequence[str]
) -> Iterator[tuple[SoundRate, Array]]:
    """What all clips take and what is heard of them, by every codec at every rate."""
    signal = clips.joined

    @cache  # both rates look among the same settings
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
    """(bytes of all codes, what comes back of their file)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clips.lbz"
        write_clips(path, fitted.model, clips.samples, clips.rate, codebooks=codebooks)
        file = open_container(path)
        heard = read_clips(file, fitted.model).joined
    return sum(chunk.length for chunk in file.header.chunks[1:]), heard


def _measured(codec: str, codebooks: int, size: int, heard: Array, clips: Clips) -> SoundRate:
    original = clips.joined
    raw = len(original) * BITS // 8
    return SoundRate(
        codec=codec,
        codebooks=codebooks,
        bytes=size,
        kilobits_per_second=size * 8 / (len(original) / clips.rate) / 1000,
        times_smaller=raw / size if size else math.inf,  # codes that are certain take nothing
        log_mel=log_mel_distance(heard, original, clips.rate),
        si_sdr=si_sdr(heard, original),
    )


def _first(clips: Clips, heard: Array) -> list[Array]:
    """The first clips of a signal that is as long as all of them."""
    return clips.cut(heard)[:SHOWN]


def _table(rates: Sequence[SoundRate]) -> list[tuple[str, ...]]:
    head = ("", "kbit/s", "times smaller", "log-mel L1", "SI-SDR, dB")
    rows = {
        rate.title: (
            rate.title,
            f"{rate.kilobits_per_second:.2f}",
            f"{rate.times_smaller:.1f}",
            f"{rate.log_mel:.3f}",
            f"{rate.si_sdr:.1f}",
        )
        for rate in rates
    }
    return [head, *rows.values()]
