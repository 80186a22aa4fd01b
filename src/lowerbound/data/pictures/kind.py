r"""Pictures: files, folders, LiDAR sweeps, or arrays in any layout.

In training, augmentation makes small random changes of them, to which a network becomes invariant.
A sweep of a spinning LiDAR is a range image, one row per beam, one column per direction,

.. math:: u = \left\lfloor \tfrac12 \left(1 - \tfrac{\operatorname{atan2}(y, x)}{\pi}\right) W
    \right\rfloor, \quad v = \left\lfloor \frac{\theta_{max} - \arcsin(z / r)}
    {\theta_{max} - \theta_{min}} H \right\rfloor

for a return at (x, y, z) with the distance r in meters and elevations from 2 down to -24.8 degrees
(Velodyne HDL-64E, as in KITTI). The middle column is straight ahead. A pixel is r over 120 m of the
nearest return, and is missing without a return.

Source: Geiger et al. 2013 for the files, Milioto et al. 2019 for the projection.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound import untrusted
from lowerbound.data.arrays import Array, as_array, listed, observed_values, without_nan
from lowerbound.data.audio.clips import is_audio
from lowerbound.data.kinds import DATA_KINDS, DataKind, Default
from lowerbound.data.pictures import folders, pixels
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.pictures.shards import shards_of, unpacked_shards
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError

TURN, SHIFT, ZOOM, SHEAR = 0.2, 0.07, 0.1, 0.15  # radians, fraction of a side, factors
SUFFIX = ".bin"  # of a LiDAR sweep
SIZE = (64, 1024)  # beams, directions
HIGHEST, LOWEST = np.radians(2.0), np.radians(-24.8)  # elevations of its beams
MOST = 120.0  # meters; farther returns are ignored
COPIES = 6.0  # of a file, in memory
NUMBERS = 4  # per return: x, y, z in meters, reflectance
LEAST_SIDE = 16  # pixels of a side from which the default network is convolutional
COLORS = ("red", "green", "blue")  # the channels of a color picture


def augmented(pictures: Tensor, strength: float) -> Tensor:
    """Rotate, shift, zoom and shear each picture (rows, channels, height, width) at random; pixels
    from outside repeat the edge."""
    rows, _, height, width = pictures.shape
    turn, zoom, shear, down, right = (
        strength * (2 * torch.rand(5, rows, device=pictures.device) - 1)
    ).unbind()
    turn, size, shear = TURN * turn, 1 + ZOOM * zoom, SHEAR * shear
    # in units of half a side, as in affine_grid; the rotation is corrected for unequal sides
    ratio = height / width
    first = torch.stack(
        (size * torch.cos(turn), ratio * (shear - size * torch.sin(turn)), 2 * SHIFT * right), 1
    )
    second = torch.stack(
        (size * torch.sin(turn) / ratio, size * torch.cos(turn), 2 * SHIFT * down), 1
    )
    affine = torch.stack((first, second), 1).to(pictures.dtype)
    grid = F.affine_grid(affine, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def is_sweeps(path: Path) -> bool:
    """Whether ``path`` is a sweep, or a folder of sweeps."""
    if path.is_dir():
        return next(path.glob(f"*{SUFFIX}"), None) is not None
    return path.suffix.lower() == SUFFIX and path.is_file()


def read_sweeps(path: Path, size: tuple[int, int] | None = None) -> RawData:
    """Read a sweep, or those of a folder by name, as range images in [0, 1], NaN if missing.

    Args:
        path: a .bin file of little-endian float32 x, y, z, reflectance, or a folder of them.
        size: (rows, columns); None: 64 by 1024.

    Raises:
        DataError: a file is not a sweep; the message names it.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    images = [range_image(read_points(file), size or SIZE) for file in files]
    empty = [file.name for file, image in zip(files, images, strict=True) if np.isnan(image).all()]
    if empty:
        raise DataError(
            f"{listed(empty)}: no return within {MOST:.0f} m, so the range image would be empty"
        )
    return RawData(
        np.stack(images),
        channels="squeezed",
        ids=tuple(file.name for file in files),
        source=str(path),
        missing=True,
    )


def read_points(path: Path) -> Array:
    """The returns of a sweep, (returns, 3) in meters.

    Raises:
        DataError: its size is not that of whole returns, or a number in it is not finite.
    """
    size = path.stat().st_size
    untrusted.check_memory(COPIES * size, str(path), DataError)
    raw = untrusted.content(path, DataError)
    if not raw or len(raw) % (4 * NUMBERS):
        raise DataError(
            f"{path} is not a sweep: it has {len(raw):,} bytes, and each return has {4 * NUMBERS} "
            "(x, y, z and reflectance as float32)"
        )
    returns = np.frombuffer(raw, dtype="<f4").reshape(-1, NUMBERS)
    bad = np.flatnonzero(~np.isfinite(returns[:, :3]).all(1))
    if len(bad):
        raise DataError(
            f"{path}: NaN or inf in returns {listed(bad.tolist())}, counted from 0; drop them"
        )
    return returns[:, :3].astype(np.float64)


def range_image(points: Array, size: tuple[int, int] = SIZE) -> Array:
    """Project returns (n, 3) in meters to (rows, columns) float32 in [0, 1], NaN if missing.

    Returns above the highest or below the lowest beam belong to that beam.
    """
    rows, columns = size
    distance = np.sqrt(np.square(points).sum(1))
    kept = (distance > 0) & (distance <= MOST)
    (x, y, z), distance = points[kept].T, distance[kept]
    across = 0.5 * (1 - np.arctan2(y, x) / np.pi) * columns
    down = (HIGHEST - np.arcsin(z / distance)) / (HIGHEST - LOWEST) * rows
    column = np.floor(across).astype(np.int64) % columns
    row = np.floor(down).astype(np.int64).clip(0, rows - 1)
    image = np.full(size, np.inf)
    np.minimum.at(image, (row, column), distance)
    return np.where(np.isfinite(image), image / MOST, np.nan).astype(np.float32)


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
