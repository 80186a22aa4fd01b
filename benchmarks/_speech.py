"""Spoken digits, and what is asked of a codec of them.

The data: 3,000 clips of digits spoken by six people, 8,000 samples of 16 bits per second (the free
spoken digit dataset). Takes 0 to 4 of each digit and speaker, 300 clips of 129 s in all, are the
test part. Clips are coded end to end, by every codec alike.

Measures are those of ``lowerbound.applications.compression.sound_comparison``: log-mel L1 is the
mean of |log10 a - log10 b| over 40 triangles of the mel scale (HTK's) on magnitudes of spectra of
256 samples under a Hann window, every 80 samples, with magnitudes below 1e-5 taken for that.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound.applications.compression.sound_comparison import amr, log_mel_distance, opus, si_sdr
from lowerbound.data.audio.clips import Clips, LogMel, amplitudes
from lowerbound.data.catalog import data_folders
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]
RATE = 8000
TEST_TAKES, CHOICE_TAKES = range(5), range(5, 10)
LONG = 1024  # samples of a window; it is 128 ms long, and resolves harmonics
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


TELEPHONES = (opus(5000), opus(6000), opus(8000), amr(4750))


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
            "mel": log_mel_distance(heard, self.original, RATE),
            "long": log_mel_distance(heard, self.original, RATE, LONG),
            "si_sdr": si_sdr(heard, self.original),
            "accuracy": self.recognizer.accuracy(self.clips, self.clips.cut(heard)),
        }
