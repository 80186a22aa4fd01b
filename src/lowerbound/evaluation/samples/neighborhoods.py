"""Precision, recall, density and coverage: whether samples and real rows lie in the same regions.

A ball around each row reaches its k-th neighbor. Precision and recall (Kynkäänniemi et al. 2019),
density and coverage (Naeem et al. 2020) count points in these balls, on features, (rows, width).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.evaluation.samples.distances import require_rows

PRECISION_NEIGHBORS, COVERAGE_NEIGHBORS = 3, 5
PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Neighborhoods:
    """Counts in balls around rows, as shares of rows, 0 to 1; the density may exceed 1.

    Attributes:
        precision: share of samples within the ball of a real row, which reaches its 3rd neighbor.
        recall: share of real rows within the ball of a sample.
        density: mean number of real balls (to the 5th neighbor) around a sample, divided by 5;
            about 1 if the two are alike, more if samples are concentrated in dense regions.
        coverage: share of real rows whose ball contains a sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighborhoods(real: Tensor, samples: Tensor) -> Neighborhoods:
    """Precision, recall, density and coverage of features, (rows, width) each.

    Raises:
        DataError: fewer rows than neighbors; the message gives the required number.
    """
    precision, recall = precision_recall(real, samples)
    density, coverage = density_coverage(real, samples)
    return Neighborhoods(precision, recall, density, coverage)


def precision_recall(
    real: Tensor, samples: Tensor, *, neighbors: int = PRECISION_NEIGHBORS
) -> tuple[float, float]:
    """Share of samples near real rows, and of real rows near samples (Kynkäänniemi et al. 2019).

    Raises:
        DataError: no more rows than ``neighbors``.
    """
    require_rows("precision and recall", neighbors + 1, real, samples)
    real, samples = real.double(), samples.double()
    inside_real = _balls(real, samples, _radii(real, neighbors))[1]
    inside_samples = _balls(samples, real, _radii(samples, neighbors))[1]
    return _share(inside_real > 0), _share(inside_samples > 0)


def density_coverage(
    real: Tensor, samples: Tensor, *, neighbors: int = COVERAGE_NEIGHBORS
) -> tuple[float, float]:
    """Balls of real rows per sample, and share of balls with a sample (Naeem et al. 2020).

    Raises:
        DataError: no more rows than ``neighbors``.
    """
    require_rows("density and coverage", neighbors + 1, real, samples)
    real, samples = real.double(), samples.double()
    held, balls = _balls(real, samples, _radii(real, neighbors))
    return float(balls.double().mean()) / neighbors, _share(held > 0)


def _radii(rows: Tensor, neighbors: int) -> Tensor:
    """Distance of each row to its k-th neighbor, without the row itself, (rows,)."""
    found = []
    for start, part in _parts(rows, len(rows)):
        distance = _distances(part, rows)
        own = torch.arange(len(part))
        distance[own, start + own] = math.inf
        found.append(distance.kthvalue(neighbors, dim=1).values)
    return torch.cat(found)


def _balls(centers: Tensor, points: Tensor, radii: Tensor) -> tuple[Tensor, Tensor]:
    """(points within each center's ball, (centers,); balls that hold each point, (points,))."""
    held, balls = [], torch.zeros(len(points), dtype=torch.long)
    for start, part in _parts(centers, len(points)):
        inside = _distances(part, points) <= radii[start : start + len(part), None]
        held.append(inside.sum(1))
        balls += inside.sum(0)
    return torch.cat(held), balls


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Exact differences, because faster inner products make equal rows unequal."""
    distances: Tensor = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return distances


def _parts(rows: Tensor, others: int) -> list[tuple[int, Tensor]]:
    size = max(1, PAIRS_AT_ONCE // max(others, 1))
    return [(start, rows[start : start + size]) for start in range(0, len(rows), size)]


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())
