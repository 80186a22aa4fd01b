"""The same sound by telephone codecs: Opus and AMR-NB of FFmpeg's libraries, through PyAV.

::

    signal ──resampled──> codec's rate ──encoder──> packets      bytes are those of packets
    heard  <─resampled─── aligned      <──decoder── packets

If the codec supports the signal's sample rate, nothing is resampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import amplitudes
from lowerbound.errors import MissingExtraError

LATEST = Fraction(1, 4)  # longest delay of a decoder, seconds
LOOKED_AT = 60  # seconds from which the delay is measured


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
