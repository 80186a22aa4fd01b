r"""Sound by a model of codes and by telephone codecs at about the same bytes, with a page.

Every codec gets all clips end to end. The model writes a file at each number of codebooks. Each
other codec, Opus and AMR-NB of FFmpeg's libraries through PyAV, uses the setting with the nearest
number of bytes. Bytes are payload: the chunks of codes in the model's file, and packets without a
file's overhead.

::

    signal ──resampled──> codec's rate ──encoder──> packets      bytes are those of packets
    heard  <─resampled─── aligned      <──decoder── packets

If the codec supports the signal's sample rate, nothing is resampled. Decoded sound differs from the
original by loudness and by waveform:

- Log-mel L1, d of ``lowerbound.data.audio.clips``: the mean distance of log10 magnitudes in 40
  mel bands; 0.05 is 1 dB. Spectra are of 32 ms every 10 ms, or of 256 samples every 80 if this
  is longer (below 8,000 samples per second).
- Scale-invariant signal-to-distortion ratio in decibels, of signals minus their means and up to
  scale (Le Roux et al. 2019):

  .. math:: 10 \log_{10} \frac{\lVert a x \rVert^2}{\lVert \hat x - a x \rVert^2}, \qquad
            a = \frac{\hat x^\top x}{x^\top x}
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.files import page_path, write_text
from lowerbound.applications.compression.codec import CodecRate, CompareReport
from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.picture_comparison import Figure, player_of, side_by_side
from lowerbound.applications.compression.requests import CompareRequest
from lowerbound.applications.compression.rivals import nearest
from lowerbound.applications.compression.sound_codec import read_clips, write_clips
from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import Clips, LogMel, amplitudes
from lowerbound.errors import MissingExtraError
from lowerbound.fitting.fitted import Fitted

LATEST = Fraction(1, 4)  # longest delay of a decoder, seconds
LOOKED_AT = 60  # seconds from which the delay is measured
BANDS = 40  # of log-mel
LENGTH, OF_RATE = 256, 8000  # samples of a spectrum, at this sample rate
OURS = "lowerbound"
BITS = 16  # per sample of the uncompressed sound
SHOWN, SECONDS = 4, 10  # clips on a page, and seconds of each


@dataclass(frozen=True)
class Telephone:
    """A codec at one setting.

    Attributes:
        title: name in tables.
        encoder, decoder: FFmpeg's names.
        bits: requested bits per second.
        rates: supported samples per second, ascending.
        options: options of the encoder.
    """

    title: str
    encoder: str
    decoder: str
    bits: int
    rates: tuple[int, ...]
    options: tuple[tuple[str, str], ...] = ()

    def encoded(self, signal: Array, rate: int) -> Call:
        """Encode amplitudes, (length,)."""
        taken = self.taken(rate)
        sent = resampled(signal, rate, taken)
        packets, extradata = self._packets(sent, taken)
        return Call(self, signal, rate, sent, tuple(packets), extradata)

    def taken(self, rate: int) -> int:
        """The lowest sample rate that loses nothing of a signal, or the highest supported one."""
        return next((own for own in self.rates if own >= rate), self.rates[-1])

    def _packets(self, signal: Array, rate: int) -> tuple[list[Any], Any]:
        av = pyav()
        encoder = av.CodecContext.create(self.encoder, "w")
        encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", "s16"
        encoder.bit_rate, encoder.time_base = self.bits, Fraction(1, rate)
        encoder.options = dict(self.options)
        encoder.open()
        whole = (np.clip(signal, -1, 1) * 32767).round().astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        waiting = av.AudioFifo()
        waiting.write(frame)
        packets = []
        while (part := waiting.read(encoder.frame_size)) is not None:
            packets += encoder.encode(part)
        if (part := waiting.read(0, partial=True)) is not None:
            packets += encoder.encode(part)
        return packets + encoder.encode(None), encoder.extradata


@dataclass(frozen=True, eq=False)
class Call:
    """A signal as packets; its length is their bytes, without a file's overhead.

    Attributes:
        telephone: codec that wrote them.
        signal: the original, (length,) amplitudes.
        rate: its samples per second.
        sent: the signal at a rate that the codec supports.
        packets: PyAV's packets.
        extradata: initial data for the decoder.
    """

    telephone: Telephone
    signal: Array
    rate: int
    sent: Array
    packets: tuple[Any, ...]
    extradata: Any

    def __len__(self) -> int:
        return sum(packet.size for packet in self.packets)

    def heard(self) -> Array:
        """The decoded signal, aligned with the original and of the same length, float32."""
        taken = self.telephone.taken(self.rate)
        decoded = self._decoded(taken)
        late = lag(decoded, self.sent, taken)
        in_time = np.zeros_like(self.sent)
        part = decoded[late : late + len(self.sent)]
        in_time[: len(part)] = part
        return resampled(in_time, taken, self.rate)[: len(self.signal)]

    def _decoded(self, rate: int) -> Array:
        decoder = pyav().CodecContext.create(self.telephone.decoder, "r")
        if self.extradata:
            decoder.extradata = self.extradata
        else:
            decoder.sample_rate, decoder.layout = rate, "mono"
        frames = [frame for packet in self.packets for frame in decoder.decode(packet)]
        sound = amplitudes(np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]))
        return resampled(sound, frames[0].sample_rate, rate)


def resampled(signal: Array, rate: int, wanted: int) -> Array:
    """Resample a signal to another number of samples per second, float32."""
    if rate == wanted:
        return signal
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(signal, wanted, rate), np.float32)


def lag(decoded: Array, signal: Array, rate: int) -> int:
    """Delay of the decoded signal in samples: the shift with the largest correlation."""
    count = min(len(decoded), len(signal), LOOKED_AT * rate)
    spectra = [np.fft.rfft(part[:count], 2 * count) for part in (signal, decoded)]
    alike = np.fft.irfft(spectra[0].conj() * spectra[1], 2 * count)
    return int(np.argmax(alike[: min(count, int(rate * LATEST))]))


def opus(bits: int) -> Telephone:
    """Opus for voice in packets of 60 ms, its longest."""
    options = (("application", "voip"), ("frame_duration", "60"))
    rates = (8000, 12000, 16000, 24000, 48000)
    return Telephone(f"Opus {bits / 1000:g}k/60 ms", "libopus", "libopus", bits, rates, options)


def amr(bits: int) -> Telephone:
    """AMR-NB, which covers up to 4 kHz."""
    return Telephone(f"AMR-NB {bits / 1000:g}", "libopencore_amrnb", "amrnb", bits, (8000,))


RIVALS: Mapping[str, tuple[Telephone, ...]] = {
    # below this rate, Opus sends empty packets
    "Opus": tuple(map(opus, range(3000, 128_001, 250))),
    "AMR-NB": tuple(map(amr, (4750, 5150, 5900, 6700, 7400, 7950, 10_200, 12_200))),
}


def available() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(codecs that run here, one sentence for each that does not)."""
    try:
        av = pyav()
    except MissingExtraError as error:
        return (), (f"{' and '.join(RIVALS)} are left out: {error}",)
    found, left_out = [], []
    for name, settings in RIVALS.items():
        try:
            av.Codec(settings[0].encoder, "w")
            av.Codec(settings[0].decoder, "r")
        except ValueError as error:  # PyAV raises it for an unknown codec
            left_out.append(f"{name} is left out: this PyAV has no codec {error}")
        else:
            found.append(name)
    return tuple(found), tuple(left_out)


def pyav() -> Any:
    """FFmpeg's libraries.

    Raises:
        MissingExtraError: they are not installed.
    """
    try:
        import av as library
    except ImportError as error:
        raise MissingExtraError("PyAV", "sound") from error
    return library


def log_mel_distance(heard: Array, original: Array, rate: int, length: int | None = None) -> float:
    """Log-mel L1 of two signals, (samples,) each; 0 if they are equal.

    Args:
        heard, original: amplitudes.
        rate: samples per second.
        length: samples of a spectrum; bands are in proportion. None: as above.
    """
    usual = max(LENGTH, LENGTH * rate // OF_RATE)
    length = length or usual
    ear = LogMel(rate, length, bands=BANDS * length // usual)
    return float(ear.distance(torch.from_numpy(heard)[None], torch.from_numpy(original)[None]))


def si_sdr(heard: Array, original: Array) -> float:
    """SI-SDR in decibels; infinite if only the scale differs, NaN if either is silent."""
    made, real = (signal.astype(np.float64) - signal.mean() for signal in (heard, original))
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (made @ real) / (real @ real) * real
        rest = made - along
        return float(10 * np.log10((along @ along) / (rest @ rest)))


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
