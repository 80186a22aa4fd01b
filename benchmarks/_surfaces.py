"""Surfaces from pictures that come with scikit-image, and defects that are planted on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from PIL import Image
from scipy.ndimage import uniform_filter
from skimage.draw import line_aa

Array = np.ndarray[Any, Any]
SIDE = 64  # pixels of a tile
FITTED, SCORED = 700, 150  # tiles; as many are scored with each kind of defect


@dataclass(frozen=True)
class Field:
    """Tiles of a surface, (tiles, channels, SIDE, SIDE) uint8.

    Attributes:
        training: without a defect, of the upper half of the picture.
        sound: without a defect, of the lower half.
        spoiled: other tiles of the lower half with a defect, by kind.
    """

    training: Array
    sound: Array
    spoiled: Mapping[str, Array]


def picture_path(name: str) -> Path:
    return next(Path(skimage.__file__).parent.joinpath("data").glob(f"{name}.*"))


def surface(name: str, seed: int, fitted: int = FITTED, scored: int = SCORED) -> Field:
    """Tiles at random places of the two halves of a picture."""
    with Image.open(picture_path(name)) as opened:
        channels = opened.convert("L" if opened.mode in ("L", "I;16") else "RGB")
        picture = np.asarray(channels).reshape(*channels.size[::-1], -1).transpose(2, 0, 1)
    draws = np.random.default_rng(seed)
    middle = picture.shape[1] // 2
    upper, lower = picture[:, :middle], picture[:, middle:]
    return Field(
        tiles(upper, fitted, draws),
        tiles(lower, scored, draws),
        {
            kind: np.stack([plant(tile, draws) for tile in tiles(lower, scored, draws)])
            for kind, plant in DEFECTS.items()
        },
    )


def tiles(picture: Array, count: int, draws: np.random.Generator) -> Array:
    """Tiles at random places of a picture, (channels, height, width)."""
    _, height, width = picture.shape
    places = draws.integers(0, (height - SIDE + 1, width - SIDE + 1), (count, 2))
    return np.stack([picture[:, y : y + SIDE, x : x + SIDE] for y, x in places])


def scratch(tile: Array, draws: np.random.Generator) -> Array:
    """A straight line, brighter or darker, one or two pixels wide."""
    half, angle = draws.uniform(6, 20), draws.uniform(0, np.pi)
    way = half * np.array([np.sin(angle), np.cos(angle)])
    middle = draws.uniform(12, SIDE - 12, 2)
    ends = np.clip(np.concatenate([middle - way, middle + way]), 0, SIDE - 1).astype(int)
    mask = np.zeros((SIDE, SIDE))
    rows, columns, share = line_aa(*ends)
    mask[rows, columns] = np.maximum(mask[rows, columns], share)
    if draws.random() < 0.5:
        mask = np.maximum(mask, np.roll(mask, 1, 0))
    return added(tile, mask, draws.uniform(0.8, 1.6), draws)


def smooth_spot(tile: Array, draws: np.random.Generator) -> Array:
    """A round spot without detail."""
    return mixed(tile, uniform_filter(tile.astype(float), (0, 9, 9)), disk(draws, 4, 8))


def blob(tile: Array, draws: np.random.Generator) -> Array:
    """A small bright or dark spot with soft edges."""
    radius = draws.uniform(2, 5.3)
    far = distance(draws.uniform(10, SIDE - 10, 2))
    return added(tile, np.exp(-(far**2) / (2 * radius**2)), draws.uniform(0.5, 1.2), draws)


def turned_spot(tile: Array, draws: np.random.Generator) -> Array:
    """A round spot from the tile turned by a quarter."""
    return mixed(tile, np.rot90(tile, axes=(1, 2)), disk(draws, 6, 10))


def stain(tile: Array, draws: np.random.Generator) -> Array:
    """A large bright or dark spot."""
    return added(tile, disk(draws, 8, 14, soft=4.0), draws.uniform(0.5, 1.0), draws)


def coarse_spot(tile: Array, draws: np.random.Generator) -> Array:
    """A round spot of the same surface, twice as large."""
    large = tile[:, : SIDE // 2, : SIDE // 2].repeat(2, 1).repeat(2, 2)
    return mixed(tile, large, disk(draws, 8, 14))


DEFECTS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "scratch": scratch,
    "smooth spot": smooth_spot,
    "blob": blob,
    "turned spot": turned_spot,
    "stain": stain,
    "coarse spot": coarse_spot,
}


def distance(middle: Array) -> Array:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.asarray(np.hypot(rows - middle[0], columns - middle[1]))


def disk(draws: np.random.Generator, low: float, high: float, soft: float = 1.0) -> Array:
    """The mask of a round spot, (SIDE, SIDE) in [0, 1]; its edge is ``soft`` pixels wide."""
    radius = draws.uniform(low, high)
    far = distance(draws.uniform(high, SIDE - high, 2))
    return np.clip((radius - far) / soft + 0.5, 0, 1)


def added(tile: Array, mask: Array, height: float, draws: np.random.Generator) -> Array:
    """The tile, brighter or darker by ``height`` of its deviations inside a mask."""
    sign = draws.choice([-1, 1])
    return eight_bit(tile + sign * height * tile.std() * mask)


def mixed(tile: Array, other: Array, mask: Array) -> Array:
    return eight_bit(tile * (1 - mask) + other * mask)


def eight_bit(values: Array) -> Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
