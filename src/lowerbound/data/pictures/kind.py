"""Pictures: files, folders, LiDAR sweeps, or arrays in any layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.data.arrays import Array, as_array, observed_values, without_nan
from lowerbound.data.audio.clips import is_audio
from lowerbound.data.kinds import DATA_KINDS, DataKind, Default
from lowerbound.data.pictures import folders, pixels
from lowerbound.data.pictures.augmentation import augmented
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.pictures.range_images import is_sweeps, read_sweeps
from lowerbound.data.pictures.shards import shards_of, unpacked_shards
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema

LEAST_SIDE = 16  # pixels of a side from which the default network is convolutional
COLORS = ("red", "green", "blue")  # the channels of a color picture


@DATA_KINDS.register("images")
class PictureKind(DataKind):
    """Pictures, (channels, height, width)."""

    pictures = True

    def reads(self, source: Any) -> bool:
        if not isinstance(source, (str, Path)):
            return False
        path = Path(source).expanduser()
        suffix = path.suffix.lower() in folders.SUFFIXES
        picture = path.is_file() and (suffix or bool(shards_of(path)))
        return picture or is_sweeps(path) or (path.is_dir() and not is_audio(path))

    def read(self, source: Any, reading: Reading) -> RawData:
        reading.refuse(source, "windows", "spectrograms")
        path = Path(source).expanduser()
        size, channels, how = reading.picture_shape()
        if is_sweeps(path):
            reading.refuse(source, "split")
            return reading.labeled(read_sweeps(path, size))
        shards = shards_of(path)
        where = (size, channels, how, reading.on_error, reading.split)
        if shards:
            with unpacked_shards(shards, reading.on_error) as folder:
                found = folders.read_folder(folder, *where)
            found = replace(found, source=folders.readable(str(path)))
        elif path.is_dir():
            found = folders.read_folder(path, *where)
        else:
            reading.refuse(source, "split")
            found = folders.read_file(path, size, channels, how)
        return reading.labeled(found)

    def holds(self, rows: Any) -> bool:
        return getattr(rows, "ndim", 2) in (3, 4)

    def learn(self, raw: RawData, how: Reading) -> Schema:
        channels = raw.channels or pixels.find_channels(raw.x.shape)
        levels, white = pixels.find_levels(observed_values(raw.x, how.gaps), raw.levels)
        return Schema(
            kind="images",
            event_shape=pixels.channels_first(raw.x, channels).shape[1:],
            levels=levels,
            white=white,
            dtype=str(raw.x.dtype),
            image=ImageFormat(channels, raw.resize),
        )

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        pictures, observed = without_nan(self.values(schema, raw), schema.missing)
        return pixels.pack(pictures, schema.levels, schema.white), observed

    def values(self, schema: Schema, raw: Any) -> Array:
        return pixels.match_layout(as_array(raw), schema.event_shape, schema.layout)

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        values = pixels.unpack(units, schema.levels, schema.white, schema.dtype, rounded)
        return pixels.restore_channels(values, schema.layout)

    def laid_out(self, schema: Schema, cells: Array) -> Array:
        return pixels.restore_channels(cells, schema.layout)

    def as_event(self, schema: Schema, cells: Array) -> Array:
        channels, height, width = schema.event_shape
        if cells.shape[-2:] == (height, width) and cells.ndim < 4:
            cells = cells[..., None, :, :]  # a pixel is hidden in all its colors
        elif cells.shape[-3:-1] == (height, width):
            cells = np.moveaxis(cells, -1, -3)
        if cells.shape[-3:] in ((1, height, width), (channels, height, width)):
            cells = np.broadcast_to(cells, (*cells.shape[:-3], *schema.event_shape))
        return cells

    def describe(self, schema: Schema) -> str:
        channels, height, width = schema.event_shape
        if schema.clip_length is not None:
            seconds = schema.clip_length / (schema.sample_rate or 1)
            return f"spectrograms of {seconds:.2g} s of sound, {height} pitches at {width} times"
        color = {1: "grey", 3: "color"}.get(channels, f"{channels}-channel")
        return f"{color} pictures, {width}x{height} pixels, {self.describe_values(schema)}"

    def feature_names(self, schema: Schema) -> list[str]:
        channels, height, width = schema.event_shape
        names = [f"pixel {y},{x}" for y in range(height) for x in range(width)]
        if channels == 1:
            return names
        numbered = tuple(f"channel {channel}" for channel in range(channels))
        colors = COLORS if channels == len(COLORS) else numbered
        return [f"{color} of {name}" for color in colors for name in names]

    def default_network(self, schema: Schema, tabular: bool) -> Default:
        if min(schema.event_shape[1:]) >= LEAST_SIDE:
            return Default("convolutional", "pictures large enough to have parts")
        return Default("mlp", "pictures this small have no parts")

    def report_style(self, schema: Schema) -> str:
        return "pictures"

    def augmented(self, x: Tensor, strength: float) -> Tensor:
        return augmented(x, strength)
