"""Streets seen by a spinning LiDAR: ground, walls, cars, poles; and what spoils a sweep."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ROWS, COLUMNS = 32, 256
FIELD = np.radians(90.0)  # seen to either side together
HIGHEST, LOWEST = np.radians(2.0), np.radians(-24.8)
HEIGHT, FARTHEST = 1.7, 40.0  # of the sensor, meters; nothing is seen beyond
DROPPED, FALSE, SPECKLE = 0.3, 0.02, 0.02  # shares of returns; speckle as a share of the range


def scene(rng: np.random.Generator) -> Array:
    """The range of each pixel over the farthest one, (ROWS, COLUMNS), all of them there."""
    elevation = np.linspace(HIGHEST, LOWEST, ROWS)[:, None]
    azimuth = np.linspace(FIELD / 2, -FIELD / 2, COLUMNS)[None]
    rays = np.stack(
        np.broadcast_arrays(
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        )
    )
    hits = [_ground(rays), np.full(rays.shape[1:], FARTHEST)]
    for side in (-1, 1):
        hits.append(_box(rays, (-20, side * rng.uniform(6, 14) + (side - 1)), (60, 2), (0, 9), rng))
    for _ in range(rng.integers(2, 7)):
        place = (rng.uniform(4, 30), rng.uniform(-6, 6))
        hits.append(_box(rays, place, (rng.uniform(3.5, 5), 1.8), (0, 1.5), rng, turned=True))
    for _ in range(rng.integers(2, 7)):
        place = (rng.uniform(4, 25), rng.uniform(-6, 6))
        hits.append(_box(rays, place, (0.25, 0.25), (0, rng.uniform(2, 5)), rng))
    return np.minimum.reduce(hits) / FARTHEST


def spoiled(clean: Array, rng: np.random.Generator) -> Array:
    """Speckle on every return, a few false ones, and dropped ones as NaN."""
    noisy = clean + SPECKLE * rng.normal(size=clean.shape)
    noisy = np.where(rng.random(clean.shape) < FALSE, rng.random(clean.shape), noisy)
    return np.where(rng.random(clean.shape) < DROPPED, np.nan, noisy)


def _ground(rays: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.where(rays[2] < -1e-6, -HEIGHT / rays[2], np.inf)


def _box(
    rays: Array,
    corner: tuple[float, float],
    sides: tuple[float, float],
    heights: tuple[float, float],
    rng: np.random.Generator,
    turned: bool = False,
) -> Array:
    """Where each ray enters an upright box, by the slab method; infinite where it misses."""
    angle = rng.uniform(-0.3, 0.3) if turned else 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = cos * rays[0] + sin * rays[1], cos * rays[1] - sin * rays[0]
    left, right = np.zeros_like(x), np.full_like(x, np.inf)
    low, high = heights[0] - HEIGHT, heights[1] - HEIGHT
    center = (cos * corner[0] + sin * corner[1], cos * corner[1] - sin * corner[0])
    spans = ((center[0], center[0] + sides[0]), (center[1], center[1] + sides[1]), (low, high))
    for direction, (near, far) in zip((x, y, rays[2]), spans, strict=True):
        with np.errstate(divide="ignore"):
            one, two = near / direction, far / direction
        left, right = (
            np.maximum(left, np.minimum(one, two)),
            np.minimum(right, np.maximum(one, two)),
        )
    return np.where((left < right) & (left > 0), left, np.inf)
