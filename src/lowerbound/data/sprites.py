"""Sprites: pictures of one white shape on black, with known generative factors.

There are five factors, and every combination occurs once: shape, size, rotation, and two
coordinates. They serve as the truth for measures of disentanglement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError

FACTORS = ("shape", "scale", "rotation", "x", "y")
SUPERSAMPLES = 3  # points per side of a pixel
ROWS_AT_ONCE = 64
SMALLEST, LARGEST = 5 / 32, 1 / 4  # radius, as a fraction of the side
TEST_SHARE = 0.2
SPLIT_SEED = 0


def _square(right: Array, up: Array) -> Array:
    return np.maximum(np.abs(right), np.abs(up)) <= 0.7


def _ellipse(right: Array, up: Array) -> Array:
    return right**2 + (up / 0.55) ** 2 <= 1


def _heart(right: Array, up: Array) -> Array:
    x, y = (1.3 * right) ** 2, 1.3 * up + 0.1
    return (x + y**2 - 1) ** 3 <= x * y**3


SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "square": _square,
    "ellipse": _ellipse,
    "heart": _heart,
}
"""Whether a point lies in a shape, in coordinates in which the unit circle contains the shape."""


@dataclass(frozen=True)
class SpriteGrid:
    """The grid of factors, and the parameters of rendering.

    Rotations cover only a quarter turn, because a square that is rotated further repeats its
    pictures, and its rotation would not be identifiable.

    Attributes:
        size: pixels per side.
        scales: number of radii, from 5/32 to a quarter of the side.
        rotations: number of angles, from 0 to below 90 degrees.
        positions: number of positions along each side.
        antialiased: grey values by the covered fraction of a pixel; else bits.

    Raises:
        OptionError: a count is below one, or the pictures are too small.
    """

    size: int = 32
    scales: int = 4
    rotations: int = 6
    positions: int = 8
    antialiased: bool = False

    def __post_init__(self) -> None:
        if self.size < 8:
            raise OptionError(f"sprites need at least 8 pixels a side, not {self.size}")
        if min(self.counts) < 1:
            raise OptionError(f"each factor needs at least one value, not {min(self.counts)}")

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of values of each factor, in the order of ``FACTORS``."""
        return (len(SHAPES), self.scales, self.rotations, self.positions, self.positions)

    def factors(self) -> Array:
        """Every combination once, (rows, 5) integers, each from 0."""
        return np.stack(np.unravel_index(np.arange(np.prod(self.counts)), self.counts), axis=1)


def render_sprites(grid: SpriteGrid, factors: Array) -> Array:
    """Render pictures, (rows, size, size) uint8: 0 and 1, or 0 to 255 if ``grid.antialiased``.

    Args:
        grid: parameters of rendering.
        factors: (rows, 5), as ``grid.factors()``.
    """
    parts = [
        _covered(grid, factors[start : start + ROWS_AT_ONCE])
        for start in range(0, len(factors), ROWS_AT_ONCE)
    ]
    covered = np.concatenate(parts)
    values = np.rint(255 * covered) if grid.antialiased else covered >= 0.5
    pictures: Array = values.astype(np.uint8)
    return pictures


def split_sprites(grid: SpriteGrid, split: str | None) -> Array:
    """The factors of "train" (also for None) or "test", a fixed random fifth.

    Raises:
        DataError: unknown split.
    """
    if split not in (None, "train", "test"):
        raise DataError(f"sprites have the parts train and test, not {split!r}")
    factors = grid.factors()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(factors))
    held_out = round(TEST_SHARE * len(factors))
    return factors[order[:held_out] if split == "test" else order[held_out:]]


def _covered(grid: SpriteGrid, factors: Array) -> Array:
    """Fraction of each pixel that lies in the shape, (rows, size, size)."""
    window = min(math.ceil(2 * LARGEST * grid.size) + 1, grid.size)  # no shape is larger
    x, y = (_spread(factors[:, k], grid.positions, LARGEST, 1 - LARGEST) for k in (3, 4))
    left, top = (_first_pixel(center, grid.size, window) for center in (x, y))
    inside = _inside(
        grid, factors, *(_points(grid, c, p, window) for c, p in ((x, left), (y, top)))
    )
    cells = inside.reshape(len(factors), window, SUPERSAMPLES, window, SUPERSAMPLES)
    covered = np.zeros((len(factors), grid.size, grid.size), dtype=np.float32)
    row, pixel = np.arange(len(factors))[:, None, None], np.arange(window)
    places = (row, top[:, None, None] + pixel[:, None], left[:, None, None] + pixel)
    covered[places] = cells.mean((2, 4))
    return covered


def _first_pixel(center: Array, size: int, window: int) -> Array:
    """First pixel of the window around a center, within the picture."""
    first = np.floor((center - LARGEST) * size).astype(np.int64)
    return np.clip(first, 0, size - window)


def _points(grid: SpriteGrid, center: Array, first: Array, window: int) -> Array:
    """Positions of the window's points along one side, from the center, (rows, points)."""
    fine = first[:, None] * SUPERSAMPLES + np.arange(window * SUPERSAMPLES) + 0.5
    points: Array = (fine / (grid.size * SUPERSAMPLES) - center[:, None]).astype(np.float32)
    return points


def _inside(grid: SpriteGrid, factors: Array, right: Array, down: Array) -> Array:
    """1 for points in the shape, (rows, points down, points right)."""
    radius = _spread(factors[:, 1], grid.scales, SMALLEST, LARGEST)
    angle = (0.5 * np.pi * factors[:, 2] / grid.rotations).astype(np.float32)
    cosine, sine = ((f(angle) / radius)[:, None, None] for f in (np.cos, np.sin))
    along = cosine * right[:, None, :] - sine * down[:, :, None]
    across = -cosine * down[:, :, None] - sine * right[:, None, :]
    inside = np.empty(along.shape, dtype=np.float32)
    for index, lies_in in enumerate(SHAPES.values()):
        rows = factors[:, 0] == index
        inside[rows] = lies_in(along[rows], across[rows])
    return inside


def _spread(index: Array, count: int, low: float, high: float) -> Array:
    """Evenly spaced values from low to high; the middle if there is only one."""
    share = index / (count - 1) if count > 1 else np.full(index.shape, 0.5)
    return (low + share * (high - low)).astype(np.float32)
