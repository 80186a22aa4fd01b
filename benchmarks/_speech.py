"""Spoken digits, what a codec does to them, and the codecs that telephones use.

The data: 3,000 clips of digits spoken by six people, 8,000 samples of 16 bits per second (the free
spoken digit dataset). Takes 0 to 4 of each digit and speaker, 300 clips of 129 s in all, are the
test part. Clips are coded end to end, by every codec alike.

Log-mel L1 is the mean of |log10 a - log10 b| over 40 triangles of the mel scale (HTK's) on
magnitudes of spectra of 256 samples under a Hann window, every 80 samples, with magnitudes below
1e-5 taken for that. By it, 0.05 is 1 dB.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound.data.audio import Clips, amplitudes
from lowerbound.data.download import data_folders
from lowerbound.errors import DataError
from lowerbound.objectives.log_mel import LogMel

Array = np.ndarray[Any, Any]
RATE = 8000
TEST_TAKES, CHOICE_TAKES = range(5), range(5, 10)
TIMES = 20  # points in time that the recognizer looks at


@dataclass(frozen=True)
class Said:
    """What a file's name tells: {digit}_{speaker}_{take}.wav."""

    digit: int
    speaker: str
    take: int

    @classmethod
    def of(cls, name: str) -> Said:
        digit, speaker, take = name.removesuffix(".wav").split("_")
        return cls(int(digit), speaker, int(take))


def spoken(wanted: Callable[[Said], bool]) -> Clips:
    """The clips that are wanted, sorted by name."""
    found = {name: samples for name, samples in _archived() if wanted(Said.of(name))}
    names = tuple(sorted(found))
    return Clips(tuple(found[name] for name in names), RATE, names, "fsdd")


def archive_path() -> Path:
    """Where the data is: fsdd.tar.xz, the repository's recordings, beside the other data sets."""
    places = [folder / "fsdd.tar.xz" for folder in data_folders()]
    found = [place for place in places if place.exists()]
    if not found:
        raise DataError(f"the data set fsdd is missing: no {' and no '.join(map(str, places))}")
    return found[0]


def _archived() -> Iterator[tuple[str, Array]]:
    from scipy.io import wavfile

    with tarfile.open(archive_path()) as archive:
        for member in archive:
            if member.name.endswith(".wav"):
                file = archive.extractfile(member)
                assert file is not None
                rate, values = wavfile.read(io.BytesIO(file.read()))
                assert rate == RATE
                yield member.name.rpartition("/")[2], amplitudes(values)


# measures -----------------------------------------------------------------------------------------


def log_mel_distance(ours: Array, theirs: Array) -> float:
    """Log-mel L1 of two signals."""
    ear = LogMel(RATE)
    return float(ear.distance(torch.from_numpy(ours)[None], torch.from_numpy(theirs)[None]))


def si_sdr(decoded: Array, original: Array) -> float:
    """Decibels of the decoded signal's part along the original over the rest, scale left free."""
    made, real = (signal.astype(np.float64) - signal.mean() for signal in (decoded, original))
    along = (made @ real) / (real @ real) * real
    return float(10 * np.log10((along @ along) / ((made - along) @ (made - along))))


class Recognizer:
    """Which digit a clip says, learned from original clips.

    Log-mel spectra at 20 points in time, evenly spread over the clip, and the logarithm of its
    length, go to a support vector machine with a Gaussian kernel.
    """

    def __init__(self, clips: Clips) -> None:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        self._ear = LogMel(RATE)
        self._machine = make_pipeline(StandardScaler(), SVC(C=10.0))
        self._machine.fit(self._seen(clips.samples), self._digits(clips))

    def accuracy(self, clips: Clips, heard: Sequence[Array]) -> float:
        """The share of clips whose digit is recognized from what is heard of them."""
        return float(self._machine.score(self._seen(heard), self._digits(clips)))

    def _digits(self, clips: Clips) -> list[int]:
        return [Said.of(name).digit for name in clips.names]

    def _seen(self, clips: Sequence[Array]) -> Array:
        return np.stack([self._features(clip) for clip in clips])

    def _features(self, clip: Array) -> Array:
        loudness = self._ear(torch.from_numpy(clip)[None])[0].clamp_min(-3.0).numpy()
        places = np.linspace(0, loudness.shape[1] - 1, TIMES)
        times = np.arange(loudness.shape[1])
        spread = [np.interp(places, times, band) for band in loudness]
        return np.concatenate([*spread, [np.log(len(clip))]])


# codecs of telephones -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Telephone:
    """A codec of FFmpeg's libraries, through PyAV.

    Attributes:
        title: what tables call it.
        encoder, decoder: FFmpeg's names.
        bits: per second, asked for.
        options: of the encoder.
    """

    title: str
    encoder: str
    decoder: str
    bits: int
    options: tuple[tuple[str, str], ...] = ()

    def payload_and_sound(self, signal: Array) -> tuple[int, Array]:
        """(bytes of all packets, the decoded signal, as long as the original and in time)."""
        packets, extradata = self._encoded(signal)
        decoded = self._decoded(packets, extradata)
        lag = _lag(decoded, signal)
        heard = np.zeros_like(signal)
        part = decoded[lag : lag + len(signal)]
        heard[: len(part)] = part
        return sum(packet.size for packet in packets), heard

    def _encoded(self, signal: Array) -> tuple[list[Any], Any]:
        import av

        encoder = av.CodecContext.create(self.encoder, "w")
        encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "s16"
        encoder.bit_rate, encoder.time_base = self.bits, Fraction(1, RATE)
        encoder.options = dict(self.options)
        encoder.open()
        whole = (np.clip(signal, -1, 1) * 32767).round().astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        waiting = av.AudioFifo()
        waiting.write(frame)
        packets = []
        while (part := waiting.read(encoder.frame_size)) is not None:
            packets += encoder.encode(part)
        if (part := waiting.read(0, partial=True)) is not None:
            packets += encoder.encode(part)
        return packets + encoder.encode(None), encoder.extradata

    def _decoded(self, packets: Sequence[Any], extradata: Any) -> Array:
        import av
        from scipy.signal import resample_poly

        decoder = av.CodecContext.create(self.decoder, "r")
        if self.encoder == "libopus":
            decoder.extradata = extradata
        else:
            decoder.sample_rate, decoder.layout = RATE, "mono"
        frames = [frame for packet in packets for frame in decoder.decode(packet)]
        sound = amplitudes(np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]))
        rate = frames[0].sample_rate
        return np.asarray(sound if rate == RATE else resample_poly(sound, RATE, rate), np.float32)


def _lag(decoded: Array, signal: Array, most: int = 2000) -> int:
    """By how many samples the decoded signal is late: where the two correlate most."""
    count = min(len(decoded), len(signal), 60 * RATE)
    spectra = [np.fft.rfft(part[:count], 2 * count) for part in (signal, decoded)]
    return int(np.argmax(np.fft.irfft(spectra[0].conj() * spectra[1])[:most]))


def opus(bits: int) -> Telephone:
    """Opus for voice in packets of 60 ms, its longest."""
    options = (("application", "voip"), ("frame_duration", "60"))
    return Telephone(f"Opus {bits // 1000}k/60 ms", "libopus", "libopus", bits, options)


AMR = Telephone("AMR-NB 4.75", "libopencore_amrnb", "amrnb", 4750)
TELEPHONES = (opus(5000), opus(6000), opus(8000), AMR)


@dataclass(frozen=True, eq=False)
class Judge:
    """What is asked of a decoded signal of the test clips."""

    clips: Clips
    recognizer: Recognizer

    @cached_property
    def original(self) -> Array:
        return self.clips.joined

    def answer(self, payload: int, heard: Array) -> dict[str, float]:
        """Payload in kbit/s and how many times smaller than 16 bits; the distances; accuracy."""
        kilobits = payload * 8 / (len(self.original) / RATE) / 1000
        return {
            "kbps": kilobits,
            "ratio": 16 * RATE / 1000 / kilobits,
            "mel": log_mel_distance(heard, self.original),
            "si_sdr": si_sdr(heard, self.original),
            "accuracy": self.recognizer.accuracy(self.clips, self.clips.cut(heard)),
        }
