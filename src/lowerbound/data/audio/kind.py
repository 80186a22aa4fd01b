r"""Sound as a data set: rows of equal length, or a spectrogram of each clip.

A spectrogram is a picture of loudness by pitch (high pitches on top) and time,

.. math:: g = 255 \; \operatorname{clamp}\Big(1 + \frac{\ell - \max \ell}{4}, 0, 1\Big)

rounded to integers, with the log-mel loudness :math:`\ell` of ``log_mel``. The loudest point of a
clip is white, and 80 dB below it is black, so that the volume of the recording has no effect
(except for almost silent clips). Clips are centered in the picture, and longer clips lose their
ends.

Such pictures show speech and speaker, but cannot be converted back to sound.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, as_array
from lowerbound.data.audio.clips import (
    FLOOR,
    Clips,
    LogMel,
    is_audio,
    read_clips,
    seconds,
    usual_windows,
)
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import DATA_KINDS, DataKind, Default
from lowerbound.data.pictures.folders import OnError, classes_of, find_pictures
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError, OptionError

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


@DATA_KINDS.register("audio")
class AudioKind(DataKind):
    """Rows of amplitudes in [-1, 1], (samples,)."""

    matrix = True
    amplitudes = True
    always_complete = True

    def reads(self, source: Any) -> bool:
        return is_audio(source)

    def takes(self, source: Any, reading: Reading) -> bool:
        """Also a folder with neither pictures nor sound, if the model was fitted on sound."""
        heard = reading.schema is not None and reading.schema.sample_rate is not None
        return self.reads(source) or (heard and _holds_neither(source))

    def load(self, source: Any, reading: Reading) -> Dataset:
        """Read a .wav file or a folder of them as rows, or as spectrograms if requested.

        With the schema of an earlier fit, rows do not overlap, so that each sample is in one row.
        """
        schema = reading.schema
        if reading.spectrograms or (schema is not None and schema.clip_length):
            return _pictures(source, reading)
        reading.refuse(source, "label")
        others = (reading.resize, reading.binarize, reading.levels, reading.image_size)
        if any(value not in (None, "none") for value in others):
            raise OptionError("sound has no levels and bits, and no pictures to resize")
        if reading.gaps:
            raise OptionError("sound has no missing samples: leave missing='model' out")
        if schema is not None and schema.sample_rate is None:
            raise DataError(f"{source} is sound, but the model was fitted on other data")
        rate = None if schema is None else schema.sample_rate
        clips = read_clips(source, rate, reading.on_error, reading.split)
        if schema is None:
            windows = replace(reading.windows or usual_windows(clips.rate), varied=False)
            return rows_of(clips, learned(clips.rate, windows), windows)
        return rows_of(clips, schema)

    def learn(self, raw: RawData, how: Reading) -> Schema:
        raise DataError("a model of sound is fitted to .wav files, which have a sample rate")

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, None]:
        values = as_array(raw)
        if values.ndim != 2 or values.shape[1] != schema.dimension:
            raise DataError(
                f"the model was fitted on sound in rows of {schema.dimension:,} samples, but this "
                f"is an array of shape {values.shape}: give .wav files, or rows of that length"
            )
        return torch.from_numpy(values.astype(np.float32)), None

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        return units

    def report_style(self, schema: Schema) -> str:
        return ""

    def describe(self, schema: Schema) -> str:
        length = schema.dimension / (schema.sample_rate or 1)
        return f"rows of {length:g} s of sound, {schema.sample_rate:,} samples per second"

    def feature_names(self, schema: Schema) -> list[str]:
        """The time of each sample after the first of the row, which has a time in its clip."""
        rate = schema.sample_rate or 1
        times = (seconds(index, rate) for index in range(schema.dimension))
        return [f"sample {time} s after the start of the row" for time in times]

    def default_network(self, schema: Schema, tabular: bool) -> Default:
        return Default("frames", "sound is modeled in frames")


def _holds_neither(source: Any) -> bool:
    path = Path(source).expanduser() if isinstance(source, str | Path) else None
    return path is not None and path.is_dir() and not find_pictures(path)


def learned(rate: int, windows: Windows) -> Schema:
    """The schema of sound in rows of these windows."""
    return Schema(
        kind="audio",
        event_shape=(windows.length,),
        dtype="float32",
        windows=windows,
        sample_rate=rate,
    )


def rows_of(clips: Clips, schema: Schema, windows: Windows | None = None) -> Dataset:
    """Cut clips into rows of amplitudes, without overlap unless ``windows`` defines it.

    Rows without overlap are named after the clip and the second at which they begin, and after
    those at which they end if that is another clip.
    """
    ids = clips.places(schema.dimension) if windows is None else None
    windows = windows or Windows(schema.dimension, schema.dimension)
    return Dataset(schema, torch.from_numpy(clips.rows(windows)), ids=ids, source=clips.source)


def rows_of_each(clips: Clips, schema: Schema) -> Dataset:
    """Each clip cut into rows on its own, so that no row has samples of two clips.

    Rows are named after the clip and the second at which they begin.
    """
    rows, places = clips.apart(schema.dimension)
    return Dataset(schema, torch.from_numpy(rows), ids=places, source=clips.source)


def _pictures(source: Any, reading: Reading) -> Dataset:
    """Clips as spectrograms."""
    size, _, _ = replace(reading, resize=None).picture_shape()
    found, rate, length = read_spectrograms(
        source, reading.schema, size, reading.on_error, reading.split
    )
    read = replace(reading, windows=None).encoded(reading.labeled(found))
    heard = replace(read.schema, sample_rate=rate, clip_length=length)
    return read if reading.schema is not None else replace(read, schema=heard)
