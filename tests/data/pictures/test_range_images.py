"""Range images of sweeps that the test writes, against a loop over the returns."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data import load
from lowerbound.data.pictures.kind import range_image
from lowerbound.errors import DataError

RNG = np.random.default_rng(0)


def write(path: Path, points: np.ndarray) -> None:  # type: ignore[type-arg]
    returns = np.concatenate([points, RNG.random((len(points), 1))], 1)
    path.write_bytes(returns.astype("<f4").tobytes())


def scattered(count: int) -> np.ndarray:  # type: ignore[type-arg]
    points = RNG.normal(size=(count, 3)) * (20, 20, 2)
    return np.asarray(points.astype(np.float32), dtype=np.float64)


def by_loop(points: np.ndarray, rows: int, columns: int) -> np.ndarray:  # type: ignore[type-arg]
    """The nearest return of each pixel, one return after the other."""
    image = np.full((rows, columns), np.nan)
    for x, y, z in points:
        distance = math.sqrt(x * x + y * y + z * z)
        if distance == 0 or distance > 120:
            continue
        azimuth = math.degrees(math.atan2(y, x))  # to the left
        elevation = math.degrees(math.asin(z / distance))
        column = math.floor((180 - azimuth) / 360 * columns) % columns
        row = min(max(math.floor((2 - elevation) / 26.8 * rows), 0), rows - 1)
        if not image[row, column] * 120 <= distance:
            image[row, column] = distance / 120
    return image


def test_a_sweep_is_the_nearest_returns(tmp_path: Path) -> None:
    points = np.concatenate([scattered(4000), [[0, 0, 0], [200, 0, 0], [-5, 0, -1]]])
    write(tmp_path / "0.bin", points)
    dataset = load(tmp_path / "0.bin", image_size=(16, 90))
    expected = by_loop(points, 16, 90)
    assert dataset.observed is not None
    np.testing.assert_array_equal(dataset.observed[0, 0].numpy(), ~np.isnan(expected))
    np.testing.assert_allclose(dataset.x[0, 0].numpy(), np.nan_to_num(expected), rtol=1e-6)


def test_where_a_return_lies() -> None:
    """Straight ahead is the middle column, left is left, and the sky is on top."""
    ahead, left = (10.0, 0.0, 0.0), (0.0, 10.0, -3.0)
    image = range_image(np.array([ahead, left]), (64, 1024))
    places = {(int(r), int(c)) for r, c in np.argwhere(~np.isnan(image))}
    assert places == {(4, 512), (44, 256)}
    assert image[4, 512] == pytest.approx(10 / 120)


def test_a_folder_is_pictures_with_missing_pixels(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}.bin", scattered(500))
    dataset = load(tmp_path)
    assert dataset.ids == ("a.bin", "b.bin")
    assert dataset.schema.kind == "images"
    assert dataset.schema.event_shape == (1, 64, 1024)
    assert dataset.schema.missing
    again = load(tmp_path / "b.bin", schema=dataset.schema)
    assert again.x.equal(dataset.x[1:])
    given = dataset.schema.decode(dataset.x)
    assert given.shape == (2, 64, 1024)


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    path.write_bytes(b"x" * 33)
    with pytest.raises(DataError, match=r"0\.bin is not a sweep: it has 33 bytes, and each return"):
        load(path)
    write(path, np.array([[1.0, 2, 3], [np.nan, 0, 0]]))
    with pytest.raises(DataError, match=r"0\.bin: NaN or inf in returns 1, counted from 0"):
        load(path)
    write(path, np.array([[500.0, 0, 0]]))
    with pytest.raises(DataError, match=r"0\.bin: no return within 120 m"):
        load(path)
    with pytest.raises(DataError, match="no parts"):
        load(path, split="test")
