"""Sound as a data set: rows of equal length, or a spectrogram of each clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, as_array
from lowerbound.data.audio.clips import Clips, is_audio, read_clips, seconds, usual_windows
from lowerbound.data.audio.spectrograms import read_spectrograms
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import DATA_KINDS, DataKind, Default
from lowerbound.data.pictures.folders import find_pictures
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError, OptionError


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
