r"""Distances of samples from real rows, on features of both, (rows, width), and tests of likeness.

- Fréchet distance between the Gaussians with their means and covariances (Dowson & Landau 1982),

  .. math:: \lVert m_a - m_b \rVert^2
            + \mathrm{tr}\bigl(S_a + S_b - 2 (S_a^{1/2} S_b S_a^{1/2})^{1/2}\bigr)

- kernel distance, the squared maximum mean discrepancy of the kernel
  :math:`(x^\top y / \text{width} + 1)^3`, without bias (Binkowski et al. 2018).

Neither means much alone: few rows, or features of another network, change every figure.

Precision, recall, density and coverage say whether samples and real rows lie in the same regions: a
ball around each row reaches its k-th neighbor. Precision and recall (Kynkäänniemi et al. 2019),
density and coverage (Naeem et al. 2020) count points in these balls.

The classifier two-sample test: a small classifier learns from half of both sets and is tested on
the other half. If both sets are alike, it is right half of the time. The p-value is exact: the
labels of the test rows are then exchangeable, so the number of real rows among those that it
predicts as real is hypergeometric. Source: Lopez-Paz & Oquab 2017.

Distances of samples from real rows, with two reference points: other real rows instead of
samples, and shuffled rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.classical.linear_regression import small_fit
from lowerbound.config import to_mapping
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.evaluation.intervals import Interval
from lowerbound.inference.estimate import Estimate, Skipped

RESAMPLES = 20  # of the Fréchet distance
BLOCKS = 10  # of the kernel distance
PRECISION_NEIGHBORS, COVERAGE_NEIGHBORS = 3, 5
PAIRS_AT_ONCE = 1 << 22
FEWEST = 20  # rows of each set in a two-sample test
HIDDEN_UNITS = 32  # of its classifier


def gaussian_frechet(
    mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor
) -> float:
    """Squared Fréchet distance between two Gaussians.

    The trace of the root is the sum of the roots of a symmetric matrix's eigenvalues. It stays
    real if a covariance is singular.

    Args:
        mean_a: (width,).
        covariance_a: (width, width), symmetric and positive semi-definite.
        mean_b: (width,).
        covariance_b: (width, width).
    """
    mean_a, mean_b = mean_a.double(), mean_b.double()
    covariance_a, covariance_b = covariance_a.double(), covariance_b.double()
    root = _root(covariance_a)
    eigenvalues = torch.linalg.eigvalsh(root @ covariance_b @ root).clamp_min(0)
    traces = torch.trace(covariance_a) + torch.trace(covariance_b)
    distance = (mean_a - mean_b).square().sum() + traces - 2 * eigenvalues.sqrt().sum()
    return max(float(distance), 0.0)


def rows_for_frechet(width: int) -> int:
    """Smallest number of rows for a covariance of this many features: two per feature."""
    return 2 * width


def frechet_distance(
    real: Tensor, samples: Tensor, *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Fréchet distance between Gaussians fitted to two sets of features.

    The distance is too large for few rows, so it compares only with distances from the same number.

    Args:
        real: (rows, width).
        samples: (rows, width).
        seed: seed of the resampling with replacement, for the standard error.
        resamples: number of resamples; 0: no standard error.

    Raises:
        DataError: fewer than two rows per feature; the message gives the required number.
    """
    need = rows_for_frechet(real.shape[1])
    require_rows(f"a Fréchet distance on {real.shape[1]} features", need, real, samples)
    value = _fitted_frechet(real, samples)
    if resamples < 2:
        return Estimate(value, None)
    generator = torch.Generator().manual_seed(seed)
    again = torch.tensor(
        [
            _fitted_frechet(_resample(real, generator), _resample(samples, generator))
            for _ in range(resamples)
        ]
    )
    return Estimate(value, float(again.std()))


def kernel_distance(
    real: Tensor, samples: Tensor, *, seed: int = 0, blocks: int = BLOCKS
) -> Estimate:
    """Unbiased kernel distance: the mean over disjoint blocks of rows, with its standard error.

    If the two are alike, it is around zero, and below zero half of the time.

    Args:
        real: (rows, width).
        samples: (rows, width).
        seed: assigns rows to blocks.
        blocks: number of blocks; 1: all rows at once, without a standard error.

    Raises:
        DataError: fewer than two rows per block; the message gives the required number.
    """
    require_rows("a kernel distance", 2 * blocks, real, samples)
    generator = torch.Generator().manual_seed(seed)
    parts = zip(_blocks(real, blocks, generator), _blocks(samples, blocks, generator), strict=True)
    return Estimate.of(torch.stack([_discrepancy(a, b) for a, b in parts]))


def require_rows(what: str, need: int, real: Tensor, samples: Tensor) -> None:
    """Raise DataError if a set is too small for a measure.

    Raises:
        DataError: the message gives the required and the available numbers of rows.
    """
    if min(len(real), len(samples)) < need:
        raise DataError(
            f"at least {need:,} real rows and {need:,} samples are needed for {what}, and there "
            f"are {len(real):,} and {len(samples):,}"
        )


def _fitted_frechet(real: Tensor, samples: Tensor) -> float:
    return gaussian_frechet(*_moments(real), *_moments(samples))


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    rows, width = rows.double(), rows.shape[1]
    return rows.mean(0), torch.cov(rows.T).view(width, width)


def _root(covariance: Tensor) -> Tensor:
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * eigenvalues.clamp_min(0).sqrt()) @ vectors.T
    return root


def _resample(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randint(len(rows), (len(rows),), generator=generator)]


def _blocks(rows: Tensor, blocks: int, generator: torch.Generator) -> list[Tensor]:
    """Disjoint blocks of one size, in random order, because rows of a class are often adjacent."""
    size = len(rows) // blocks
    order = torch.randperm(len(rows), generator=generator)[: blocks * size]
    return list(rows.double()[order].split(size))


def _discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """Mean kernel of pairs; pairs of a row with itself are left out, so it is unbiased."""
    within = _pairs(a, a).fill_diagonal_(0).sum() / (len(a) * (len(a) - 1))
    within = within + _pairs(b, b).fill_diagonal_(0).sum() / (len(b) * (len(b) - 1))
    return within - 2 * _pairs(a, b).mean()


def _pairs(a: Tensor, b: Tensor) -> Tensor:
    kernel: Tensor = (a @ b.T / a.shape[1] + 1) ** 3
    return kernel


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


@dataclass(frozen=True)
class TwoSample:
    """Result of the two-sample test.

    Attributes:
        accuracy: accuracy on unseen rows, with its binomial standard error; ideal 0.5.
        p_value: probability of at least this many right predictions if both sets are alike.
        rows: number of test rows, half of them real.
    """

    accuracy: Estimate
    p_value: float
    rows: int


def two_sample_test(real: Tensor, samples: Tensor, *, seed: int = 0) -> TwoSample:
    """Test with a network of one layer of 32 units.

    Args:
        real: (rows, width).
        samples: (rows, width); surplus rows of the larger set are left out.
        seed: seed of the rows used, the halves and the fit.

    Raises:
        DataError: fewer than 20 rows of either; the message gives the required number.
    """
    require_rows("a two-sample test", FEWEST, real, samples)
    training, testing = _halves(real, samples, seed)
    called_real = _classifier(seed, *training).predict(testing[0]) == 1
    right = int((called_real == (testing[1] == 1)).sum())
    rows = len(called_real)
    accuracy = right / rows
    error = math.sqrt(accuracy * (1 - accuracy) / rows)
    found = int((called_real & (testing[1] == 1)).sum())
    return TwoSample(Estimate(accuracy, error), p_value(found, int(called_real.sum()), rows), rows)


def p_value(found: int, called_real: int, rows: int) -> float:
    """P(at least ``found`` real rows among the ``called_real``), labels permuted over the rows.

    Args:
        found: real rows among those predicted as real.
        called_real: rows predicted as real.
        rows: all rows, half of them real.
    """
    from scipy.stats import hypergeom

    return float(min(hypergeom.sf(found - 1, rows, rows // 2, called_real), 1.0))


def _halves(
    real: Tensor, samples: Tensor, seed: int
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(rows, 1 if real) for training, and for testing; as many real rows as samples."""
    half = min(len(real), len(samples)) // 2
    generator = torch.Generator().manual_seed(seed)
    chosen = [
        rows[torch.randperm(len(rows), generator=generator)[: 2 * half]].double().cpu()
        for rows in (real, samples)
    ]
    label = np.repeat([1, 0], half)
    first, second = (
        torch.cat([rows[part] for rows in chosen]).numpy()
        for part in (slice(0, half), slice(half, None))
    )
    return (first, label), (second, label)


def _classifier(seed: int, x: Array, y: Array) -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier(
        (HIDDEN_UNITS,), alpha=0.1, learning_rate_init=5e-3, max_iter=60, random_state=seed
    )
    with small_fit():
        return make_pipeline(StandardScaler(), network).fit(x, y)


MEAN, DRAWN = "mean of p(x | z)", "drawn from p(x | z)"


@dataclass(frozen=True)
class Quality:
    """One set of samples against real rows.

    Attributes:
        frechet: Fréchet distance of the features.
        kernel: unbiased kernel distance of the features.
        near: precision, recall, density and coverage.
        two_sample: accuracy of a classifier of real rows and samples; skipped for tables.
        boosting: AUROC of boosting that distinguishes rows of a table from real ones.
        sharpness: variance of the Laplacian, samples over data; 1 is ideal.
    """

    frechet: Estimate
    kernel: Estimate
    near: Neighborhoods
    two_sample: TwoSample | Skipped
    boosting: Interval | Skipped
    sharpness: Estimate | Skipped


@dataclass(frozen=True)
class SampleQuality:
    """Distances of samples from unseen rows.

    Attributes:
        space: name of the features, such as lenet-1a2b3c4d; figures compare only within one.
        accuracy: accuracy of the feature network on those rows; None if features are the columns.
        rows: number of rows on each side of every comparison.
        found: measures by sampling method and form, MEAN or DRAWN.
        floor: measures of other real rows instead of samples.
        ceiling: measures of shuffled real rows instead of samples.
        shuffled: what was shuffled, as text.
    """

    space: str
    accuracy: float | None
    rows: int
    found: Mapping[str, Mapping[str, Quality]]
    floor: Mapping[str, Quality]
    ceiling: Mapping[str, Quality]
    shuffled: str

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values; each distance under the name of its features."""
        return {
            "space": self.space,
            "accuracy": self.accuracy,
            "rows": self.rows,
            "samples": {way: self._named(forms) for way, forms in self.found.items()},
            "floor": self._named(self.floor),
            "ceiling": self._named(self.ceiling),
            "shuffled": self.shuffled,
        }

    def _named(self, forms: Mapping[str, Quality]) -> dict[str, Any]:
        return {
            form: {
                f"FD[{self.space}]": to_mapping(quality.frechet),
                f"KD[{self.space}]": to_mapping(quality.kernel),
                **to_mapping(quality.near),
                "two_sample": to_mapping(quality.two_sample),
                "boosting": to_mapping(quality.boosting),
                "sharpness": to_mapping(quality.sharpness),
            }
            for form, quality in forms.items()
        }
