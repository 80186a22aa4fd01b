r"""Spectrograms of sound clips as pictures: loudness by pitch (high pitches on top) and time.

.. math:: g = 255 \; \operatorname{clamp}\Big(1 + \frac{\ell - \max \ell}{4}, 0, 1\Big)

rounded to integers, with the log-mel loudness :math:`\ell` of ``log_mel``. The loudest point of a
clip is white, and 80 dB below it is black, so that the volume of the recording has no effect
(except for almost silent clips). Clips are centered in the picture, and longer clips lose their
ends.

Such pictures show speech and speaker, but cannot be converted back to sound.
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
DECADES = 4.0  # decades of magnitude from black to white
SHOWN = 0.95  # fraction of the clips that are shown completely by default
SECONDS_SEEN = 0.032  # length of a frame
WHITE = 255


def read_spectrograms(
    source: Path | str,
    schema: Schema | None = None,
    size: tuple[int, int] | None = None,
    on_error: OnError = "raise",
    split: str | None = None,
) -> tuple[RawData, int, int]:
    """Read clips as pictures; also return their sample rate, and the samples in a picture.

    Args:
        source: a .wav file or a folder; the first level of subfolders is the classes, except
            "unlabeled", whose clips have no class.
        schema: of an earlier fit.
        size: (bands, times); None: 32 by 32.
        on_error, split: as in ``audio.read_clips``.

    Raises:
        DataError: the clips cannot be read, or the schema is not one of spectrograms.
    """
    if schema is not None and schema.clip_length is None:
        raise DataError(f"{source} is sound, but the model was fitted on other data")
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
        length: samples in the picture.
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


_ear = lru_cache(maxsize=1)(LogMel)  # its filters are the same for every clip


def centered(samples: Array, length: int) -> Array:
    """A clip padded with silence, or cropped, around its center, (length,) float32."""
    before = (len(samples) - length) // 2
    if before >= 0:
        return np.ascontiguousarray(samples[before : before + length], np.float32)
    found = np.zeros(length, np.float32)
    found[-before : len(samples) - before] = samples
    return found
