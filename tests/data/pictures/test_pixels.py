"""Axes of color and levels of grey are found from the array, or the message says why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.pictures.pixels import find_channels, find_levels
from lowerbound.errors import DataError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((9, 28, 28), "squeezed"),
        ((9, 1, 28, 28), "first"),
        ((9, 3, 32, 48), "first"),
        ((9, 28, 28, 1), "last"),
        ((9, 32, 48, 3), "last"),
        ((9, 4, 32, 3), "last"),
    ],
)
def test_the_color_axis_is_found(shape: tuple[int, ...], channels: str) -> None:
    assert find_channels(shape) == channels


def test_an_axis_that_cannot_be_told_is_said() -> None:
    with pytest.raises(DataError, match=r"which axis of \(9, 16, 16, 16\) is color"):
        find_channels((9, 16, 16, 16))


@pytest.mark.parametrize(
    ("values", "levels", "white"),
    [
        (np.array([True, False]), 2, 1),
        (np.array([0, 1], dtype=np.uint8), 2, 1),
        (np.array([0.0, 1.0]), 2, 1),
        (np.array([0, 255], dtype=np.uint8), 2, 255),
        (np.array([0, 7, 255], dtype=np.uint8), 256, 255),
        (np.array([0, 16], dtype=np.int64), 256, 255),
        (np.array([0, 300], dtype=np.int32), 65536, 65535),
        (np.array([0.0, 0.5, 1.0]), None, 1),
    ],
)
def test_levels_are_found(values: Any, levels: int | None, white: float) -> None:
    assert find_levels(values) == (levels, white)


def test_levels_that_are_told_win() -> None:
    assert find_levels(np.array([0, 1]), 17) == (17, 16.0)
    with pytest.raises(DataError, match="17 levels mean whole numbers 0 to 16"):
        find_levels(np.array([0, 17]), 17)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([-1, 4]), "0 to 255 or 65535; found whole numbers from -1 to 4"),
        (np.array([0, 70000]), "found whole numbers from 0 to 70000"),
        (np.array([-0.5, 0.5]), r"must lie in \[0, 1\]; found numbers from -0.5 to 0.5"),
        (np.array([0.0, 16.0]), r"astype\('uint8'\), or give levels="),
        (np.array([[0.0], [np.nan]]), "NaN or inf in row 1"),
    ],
)
def test_values_that_are_no_grey_levels_are_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_levels(values)


def test_whole_number_pictures_stay_one_byte_each() -> None:
    pictures = RANDOM.integers(0, 256, (7, 3, 8, 8), dtype=np.uint8)
    for array in (pictures, pictures.astype(np.int64)):
        dataset = load(array)
        assert dataset.x.dtype == torch.uint8
        assert dataset.x.element_size() * dataset.x.numel() == pictures.nbytes
        assert dataset.schema.units(dataset.x).dtype == torch.float32


def test_deep_pictures_come_back_exactly() -> None:
    pictures = RANDOM.integers(0, 65536, (3, 4, 4), dtype=np.uint16)
    dataset = load(pictures)
    restored = dataset.schema.decode(dataset.schema.encode(pictures))
    assert restored.dtype == np.uint16
    np.testing.assert_array_equal(restored, pictures)


def test_black_and_white_pictures_are_bits_and_come_back_black_and_white() -> None:
    pictures = 255 * RANDOM.integers(0, 2, (4, 5, 5), dtype=np.uint8)
    dataset = load(pictures)
    units = dataset.schema.encode(pictures)
    assert dataset.schema.levels == 2
    assert set(units.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_array_equal(dataset.schema.decode(units), pictures)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_keep_their_precision_and_values(dtype: torch.dtype) -> None:
    pictures = torch.rand(4, 1, 5, 5, dtype=dtype)
    dataset = load(pictures)
    assert dataset.x.dtype == dtype
    np.testing.assert_array_equal(dataset.schema.decode(dataset.x), pictures.numpy())


@pytest.mark.parametrize(
    ("channels", "first", "last"),
    [
        (1, "pixel 0,0", "pixel 3,4"),
        (3, "red of pixel 0,0", "blue of pixel 3,4"),
        (2, "channel 0 of pixel 0,0", "channel 1 of pixel 3,4"),
    ],
)
def test_pixels_are_named_by_their_color(channels: int, first: str, last: str) -> None:
    schema = load(np.zeros((2, channels, 4, 5), np.uint8)).schema
    names = schema.data_kind.feature_names(schema)
    assert (names[0], names[-1]) == (first, last)
    assert len(set(names)) == schema.dimension
