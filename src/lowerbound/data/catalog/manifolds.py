r"""Synthetic data on a known surface, for tests of the manifold hypothesis.

A rolled sheet has two coordinates, the turn t and the height h, in three or more dimensions:
(t cos t, h, t sin t), plus noise, then rotated at random.
"""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError


def rolled_sheet(
    n: int, noise: float = 0.05, seed: int = 0, dimension: int = 3, height: float = 10.0
) -> tuple[Array, Array]:
    """Points on a rolled-up sheet (the "Swiss roll" of Tenenbaum et al. 2000).

    Args:
        n: number of points.
        noise: standard deviation of Gaussian noise in each of the ``dimension`` directions.
        seed: of everything random here.
        dimension: of the space around the sheet, at least 3; above that, randomly rotated.
        height: of the sheet along the axis of the roll; its radius runs from 4.7 to 14.1.

    Returns:
        (points (n, dimension), coordinates (n, 2)): turn in radians and height of each point.

    Raises:
        OptionError: fewer than 3 dimensions.
    """
    if dimension < 3:
        raise OptionError(f"a rolled sheet needs 3 dimensions or more, not {dimension}")
    random = np.random.default_rng(seed)
    turn = 1.5 * np.pi * (1 + 2 * random.random(n))
    along = height * random.random(n)
    sheet = np.stack([turn * np.cos(turn), along, turn * np.sin(turn)], axis=1)
    points = _embed(sheet, dimension, random) if dimension > 3 else sheet
    points = points + noise * random.standard_normal((n, dimension))
    return points, np.stack([turn, along], axis=1)


def flat_sheet(
    n: int, rank: int = 2, noise: float = 0.05, seed: int = 0, dimension: int = 3
) -> tuple[Array, Array]:
    """Points on a linear subspace, for which PCA is sufficient.

    Args:
        n: number of points.
        rank: dimension of the subspace; its axes have standard deviations rank, ..., 2, 1.
        noise: standard deviation of Gaussian noise in each direction.
        seed: of everything random here.
        dimension: of the space around it.

    Returns:
        (points (n, dimension), coordinates (n, rank)).

    Raises:
        OptionError: the rank is larger than the dimension.
    """
    if not 0 < rank <= dimension:
        raise OptionError(f"rank must lie in 1 to {dimension}, not {rank}")
    random = np.random.default_rng(seed)
    coordinates = random.standard_normal((n, rank)) * np.arange(rank, 0, -1)
    points = _embed(coordinates, dimension, random)
    return points + noise * random.standard_normal((n, dimension)), coordinates


def _embed(points: Array, dimension: int, random: np.random.Generator) -> Array:
    """Map with orthonormal rows, which keeps distances."""
    basis, _ = np.linalg.qr(random.standard_normal((dimension, points.shape[1])))
    embedded: Array = points @ basis.T
    return embedded
