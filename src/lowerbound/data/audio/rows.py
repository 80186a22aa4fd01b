"""Sound as a data set: rows of equal length, cut from clips that lie end to end."""

from __future__ import annotations

from pathlib import Path

import torch

from lowerbound.data.audio.clips import Clips, read_clips, usual_windows
from lowerbound.data.dataset import Dataset
from lowerbound.data.pictures.folders import OnError
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError


def read_rows(
    source: Path | str,
    schema: Schema | None = None,
    windows: Windows | None = None,
    on_error: OnError = "raise",
    split: str | None = None,
) -> Dataset:
    """The rows of a .wav file or of a folder of some.

    Args:
        source: where they are.
        schema: of an earlier fit; rows then do not overlap, so that each sample is in one.
        windows: how to cut; None: as ``usual_windows`` says.
        on_error, split: as of ``read_clips``.

    Raises:
        DataError: they cannot be read, or the schema is not one of sound or of this sample rate.
    """
    if schema is not None and schema.kind != "audio":
        raise DataError(f"{source} is sound, and the model was fitted on other data")
    rate = None if schema is None else schema.sample_rate
    clips = read_clips(source, rate, on_error, split)
    if schema is None:
        cut = windows or usual_windows(clips.rate)
        return rows_of(clips, learned(clips.rate, cut), cut)
    return rows_of(clips, schema)


def learned(rate: int, windows: Windows) -> Schema:
    """What sound in such rows looks like."""
    return Schema(
        kind="audio",
        event_shape=(windows.length,),
        dtype="float32",
        windows=windows,
        sample_rate=rate,
    )


def rows_of(clips: Clips, schema: Schema, windows: Windows | None = None) -> Dataset:
    """The rows of clips, amplitudes; one after another unless ``windows`` says how they overlap."""
    windows = windows or Windows(schema.dimension, schema.dimension)
    return Dataset(schema, torch.from_numpy(clips.rows(windows)), source=clips.source)
