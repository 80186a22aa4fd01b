r"""Sound as pictures, one of each clip: how loud it is at each pitch, high above low, and time.

.. math:: g = 255 \; \operatorname{clamp}\Big(1 + \frac{\ell - \max \ell}{4}, 0, 1\Big)

in whole numbers, with the log-mel loudness :math:`\ell` of ``log_mel``: the loudest place of a
clip is white, and 80 dB below it is black, so that how loud a clip was recorded is left out (but
of one that is next to silent). Clips lie in the middle of the time that a picture shows; longer
ones lose their ends.

A model of such pictures hears what is said and by whom, and cannot be turned back into sound.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import read_clips
from lowerbound.data.audio.log_mel import FLOOR, LogMel
from lowerbound.data.pictures.folders import OnError, classes_of
from lowerbound.data.raw import RawData
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError

SIZE = (32, 32)  # bands, times
DECADES = 4.0  # of magnitudes, from black to white
SHOWN = 0.95  # of the clips are shown whole by default
SECONDS_SEEN = 0.032  # at once
WHITE = 255


def read_spectrograms(
    source: Path | str,
    schema: Schema | None = None,
    size: tuple[int, int] | None = None,
    on_error: OnError = "raise",
    split: str | None = None,
) -> tuple[RawData, int, int]:
    """The clips of a .wav file or of a folder as pictures, their sample rate, and how many samples
    a picture shows.

    Args:
        source: where they are; the first level of subfolders names the classes, except one called
            unlabeled, whose clips have none.
        schema: of an earlier fit.
        size: (bands, times); None: 32 by 32.
        on_error, split: as of ``audio.read_clips``.

    Raises:
        DataError: they cannot be read, or the schema is not one of such pictures.
    """
    if schema is not None and schema.clip_length is None:
        raise DataError(f"{source} is sound, and the model was fitted on other data")
    rate = None if schema is None else schema.sample_rate
    clips = read_clips(source, rate, on_error, split)
    if schema is None:
        length, size = round(float(np.quantile(clips.lengths, SHOWN))), size or SIZE
    else:
        assert schema.clip_length is not None
        length, size = schema.clip_length, (schema.event_shape[1], schema.event_shape[2])
    pictures = np.stack([spectrogram(clip, clips.rate, length, size) for clip in clips.samples])
    found = RawData(
        pictures,
        labels=classes_of([Path(name) for name in clips.names]),
        channels="squeezed",
        ids=clips.names,
        source=clips.source,
    )
    return found, clips.rate, length


def spectrogram(samples: Array, rate: int, length: int, size: tuple[int, int]) -> Array:
    """The picture of a clip, (bands, times) uint8.

    Args:
        samples: amplitudes, (any length,).
        rate: samples per second.
        length: samples that the picture shows.
        size: (bands, times).
    """
    bands, times = size
    seen = max(64, round(SECONDS_SEEN * rate))
    hop = max(1, -(-length // times))
    loudness = _ear(rate, seen, hop, bands)(torch.from_numpy(centered(samples, hop * times))[None])[
        0, :, :times
    ]
    loudest = loudness.max().clamp_min(math.log10(FLOOR) + DECADES)
    bright = (1 + (loudness - loudest) / DECADES).clamp(0, 1)
    picture: Array = (WHITE * bright).round().to(torch.uint8).flip(0).numpy()
    return picture


_ear = lru_cache(maxsize=1)(LogMel)  # its triangles are the same for every clip


def centered(samples: Array, length: int) -> Array:
    """A clip in the middle of silence, or the middle of a clip, (length,) float32."""
    before = (len(samples) - length) // 2
    if before >= 0:
        return np.ascontiguousarray(samples[before : before + length], np.float32)
    found = np.zeros(length, np.float32)
    found[-before : len(samples) - before] = samples
    return found
