r"""Sweeps of a spinning LiDAR as range images: one row per beam, one column per direction.

.. math:: u = \left\lfloor \tfrac12 \left(1 - \tfrac{\operatorname{atan2}(y, x)}{\pi}\right) W
    \right\rfloor, \quad v = \left\lfloor \frac{\theta_{max} - \arcsin(z / r)}
    {\theta_{max} - \theta_{min}} H \right\rfloor

for a return at (x, y, z) with the distance r in meters and elevations from 2 down to -24.8 degrees
(Velodyne HDL-64E, as in KITTI). The middle column is straight ahead. A pixel is r over 120 m of the
nearest return, and is missing without a return.

Source: Geiger et al. 2013 for the files, Milioto et al. 2019 for the projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array, listed
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError

SUFFIX = ".bin"
SIZE = (64, 1024)  # beams, directions
HIGHEST, LOWEST = np.radians(2.0), np.radians(-24.8)
MOST = 120.0  # meters; farther returns are ignored
COPIES = 6.0  # of a file, in memory
NUMBERS = 4  # per return: x, y, z in meters, reflectance


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
    _refuse_empty(files, images)
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


def _refuse_empty(files: Sequence[Path], images: Sequence[Array]) -> None:
    empty = [file.name for file, image in zip(files, images, strict=True) if np.isnan(image).all()]
    if empty:
        raise DataError(
            f"{listed(empty)}: no return within {MOST:.0f} m, so the range image would be empty"
        )
