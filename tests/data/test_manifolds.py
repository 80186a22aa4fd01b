"""Sheets whose geometry is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.data import flat_sheet, rolled_sheet
from lowerbound.errors import OptionError


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_points_without_noise_lie_on_the_roll() -> None:
    points, coordinates = rolled_sheet(300, noise=0)
    turn, along = coordinates.T
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 2]), turn, rtol=1e-12)
    np.testing.assert_allclose(points[:, 1], along, rtol=1e-12)
    assert turn.min() >= 1.5 * np.pi
    assert turn.max() <= 4.5 * np.pi


def test_a_larger_space_keeps_all_distances() -> None:
    flat, _ = rolled_sheet(50, noise=0, seed=3)
    hidden, _ = rolled_sheet(50, noise=0, seed=3, dimension=20)
    assert hidden.shape == (50, 20)
    np.testing.assert_allclose(distances(hidden), distances(flat), atol=1e-9)


def test_the_noise_has_the_size_that_was_asked_for() -> None:
    clean, _ = rolled_sheet(4000, noise=0, dimension=5)
    noisy, _ = rolled_sheet(4000, noise=0.3, dimension=5)
    assert (noisy - clean).std() == pytest.approx(0.3, rel=0.02)


def test_a_flat_sheet_has_the_spectrum_that_was_asked_for() -> None:
    points, _ = flat_sheet(20_000, rank=2, noise=0.1, dimension=6)
    eigenvalues = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    np.testing.assert_allclose(eigenvalues, [4.01, 1.01, 0.01, 0.01, 0.01, 0.01], rtol=0.05)


@pytest.mark.usefixtures("untouched_random_state")
def test_the_seed_decides_everything() -> None:
    np.testing.assert_array_equal(rolled_sheet(9, seed=1)[0], rolled_sheet(9, seed=1)[0])
    assert not np.array_equal(rolled_sheet(9, seed=1)[0], rolled_sheet(9, seed=2)[0])


def test_impossible_dimensions_are_refused() -> None:
    with pytest.raises(OptionError, match="3 dimensions or more, not 2"):
        rolled_sheet(9, dimension=2)
    with pytest.raises(OptionError, match="rank must lie in 1 to 3"):
        flat_sheet(9, rank=4)
