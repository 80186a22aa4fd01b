"""Sprites are where and as large as their factors say, and every picture is another one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lowerbound.data.sprites import (
    FACTORS,
    LARGEST,
    SHAPES,
    SMALLEST,
    SpriteGrid,
    render_sprites,
    split_sprites,
)
from lowerbound.errors import DataError, OptionError

Array = np.ndarray[Any, Any]


def drawn(grid: SpriteGrid, *rows: tuple[int, ...]) -> Array:
    """Pictures of given factors, values from 0 to 1."""
    pictures = render_sprites(grid, np.array(rows)).astype(float)
    return pictures / (255 if grid.antialiased else 1)


def center(picture: Array) -> tuple[float, float]:
    """Center of mass, (x, y) in shares of the side."""
    place = (np.arange(len(picture)) + 0.5) / len(picture)
    return (
        float((picture.sum(0) * place).sum() / picture.sum()),
        float((picture.sum(1) * place).sum() / picture.sum()),
    )


@pytest.mark.slow
def test_every_combination_is_there_once_and_looks_like_no_other() -> None:
    grid = SpriteGrid()
    factors = grid.factors()
    assert factors.shape == (3 * 4 * 6 * 8 * 8, len(FACTORS))
    assert len(np.unique(factors, axis=0)) == len(factors)
    pictures = render_sprites(grid, factors)
    assert pictures.dtype == np.uint8
    assert set(np.unique(pictures)) == {0, 1}
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == len(pictures)


def test_no_sprite_touches_the_border() -> None:
    grid = SpriteGrid(size=24, scales=2, rotations=3, positions=2)
    pictures = render_sprites(grid, grid.factors())
    assert pictures[:, 1:-1, 1:-1].any((1, 2)).all()
    corners = render_sprites(SpriteGrid(antialiased=True), np.array([[1, 3, 0, 0, 0]]))[0]
    assert corners[:, 16:].sum() == 0


@pytest.mark.parametrize("shape", [0, 1])
def test_position_is_that_of_the_factors(shape: int) -> None:
    grid = SpriteGrid(size=48, positions=5, antialiased=True)
    for x, y in ((0, 0), (4, 1), (2, 3)):
        found = center(drawn(grid, (shape, 2, 1, x, y))[0])
        expected = [LARGEST + i / 4 * (1 - 2 * LARGEST) for i in (x, y)]
        assert found == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize(
    ("shape", "area"), [("square", 1.4**2), ("ellipse", math.pi * 0.55), ("heart", None)]
)
def test_area_is_that_of_the_scale(shape: str, area: float | None) -> None:
    grid = SpriteGrid(size=64, scales=3, antialiased=True)
    index = list(SHAPES).index(shape)
    found = [drawn(grid, (index, scale, 2, 3, 3))[0].mean() for scale in range(3)]
    radii = np.linspace(SMALLEST, LARGEST, 3)
    assert np.allclose(found / radii**2, found[0] / radii[0] ** 2, rtol=0.02)
    if area is not None:
        assert np.allclose(found, area * radii**2, rtol=0.01)


def test_rotation_turns_by_the_angle() -> None:
    grid = SpriteGrid(size=64, rotations=4, antialiased=True)
    for rotation in range(4):
        picture = drawn(grid, (1, 3, rotation, 3, 3))[0]
        y, x = np.mgrid[: grid.size, : grid.size]
        weights = picture.ravel()
        covariance = np.cov(np.stack([x.ravel(), -y.ravel()]), aweights=weights)
        axis = np.linalg.eigh(covariance)[1][:, -1]
        angle = math.degrees(math.atan2(axis[1], axis[0])) - rotation * 22.5
        assert (angle + 90) % 180 - 90 == pytest.approx(0, abs=0.5)


def test_bits_are_greys_above_one_half() -> None:
    factors = SpriteGrid().factors()[::97]
    greys = render_sprites(SpriteGrid(antialiased=True), factors)
    assert 2 < len(np.unique(greys)) <= 10
    assert np.array_equal(greys >= 127.5, render_sprites(SpriteGrid(), factors) == 1)


def test_hearts_have_a_dent_above_and_a_tip_below() -> None:
    picture = drawn(SpriteGrid(size=64, antialiased=True), (2, 3, 0, 3, 3))[0]
    rows = np.flatnonzero(picture.sum(1) > 0.5)
    top, bottom = picture[rows[1]] > 0.5, picture[rows[-2]] > 0.5
    gaps = np.diff(np.flatnonzero(top))
    assert gaps.max() > 2
    assert bottom.sum() < 8
    assert np.allclose(picture.sum(0)[:0:-1], picture.sum(0)[::-1][:-1])


def test_parts_are_fixed_and_share_no_row() -> None:
    grid = SpriteGrid(scales=2, rotations=2, positions=3)
    training, test = split_sprites(grid, None), split_sprites(grid, "test")
    assert (len(training), len(test)) == (86, 22)
    together = np.concatenate([training, test])
    assert len(np.unique(together, axis=0)) == math.prod(grid.counts)
    assert np.array_equal(split_sprites(grid, "train"), training)
    with pytest.raises(DataError, match="parts train and test"):
        split_sprites(grid, "validation")


def test_impossible_grids_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 8 pixels"):
        SpriteGrid(size=7)
    with pytest.raises(OptionError, match="at least one value"):
        SpriteGrid(rotations=0)
    assert SpriteGrid(scales=1, rotations=1, positions=1).factors().tolist() == [
        [0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [2, 0, 0, 0, 0],
    ]
