"""Distances against closed forms, other libraries and a plain double sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.evaluation.samples.distances import (
    frechet_distance,
    gaussian_frechet,
    kernel_distance,
    rows_for_frechet,
)


def normal(rows: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64)


def covariance(width: int, seed: int) -> Tensor:
    factor = normal(width, width, seed)
    return factor @ factor.T


def test_of_diagonal_gaussians_it_is_known_on_paper() -> None:
    mean, other = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 0.0])
    deviations, others = torch.tensor([2.0, 3.0]), torch.tensor([1.0, 5.0])
    found = gaussian_frechet(mean, torch.diag(deviations**2), other, torch.diag(others**2))
    assert found == pytest.approx(1 + 4 + (2 - 1) ** 2 + (3 - 5) ** 2, abs=1e-10)


def test_it_is_that_of_the_matrix_root() -> None:
    a, b = covariance(6, 1), covariance(6, 2)
    mean, other = normal(2, 6)
    root = sqrtm((a @ b).numpy())
    expected = float((mean - other).square().sum() + torch.trace(a + b)) - 2 * np.trace(root).real
    assert gaussian_frechet(mean, a, other, b) == pytest.approx(expected, rel=1e-9)
    assert gaussian_frechet(other, b, mean, a) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_are_no_trouble() -> None:
    thin = covariance(5, 1)
    thin[:, 3:] = thin[3:] = 0
    zero = torch.zeros(5)
    assert gaussian_frechet(zero, thin, zero, thin) == pytest.approx(0, abs=1e-6)
    flat = torch.zeros(5, 5)
    expected = float(torch.trace(thin))
    assert gaussian_frechet(zero, thin, zero, flat) == pytest.approx(expected)


def test_of_rows_it_approaches_that_of_their_gaussians() -> None:
    shift = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    found = frechet_distance(normal(40_000, 3), 2 * normal(40_000, 3, 1) + shift)
    assert found.standard_error is not None
    assert 0 < found.standard_error < 0.1
    assert found.mean == pytest.approx(1 + 3 * (2 - 1) ** 2, abs=4 * found.standard_error)


def test_the_standard_error_is_the_spread_over_fresh_rows() -> None:
    fresh = [frechet_distance(normal(300, 2, s), 1.5 * normal(300, 2, 900 + s)) for s in range(40)]
    spread = torch.tensor([one.mean for one in fresh]).std()
    errors = torch.tensor([one.standard_error or 0.0 for one in fresh])
    assert float(errors.mean()) == pytest.approx(float(spread), rel=0.35)


def test_one_feature_is_enough() -> None:
    found = frechet_distance(normal(5_000, 1), normal(5_000, 1, 1) + 3, resamples=0)
    assert found.mean == pytest.approx(9, rel=0.03)
    assert found.standard_error is None


def test_too_few_rows_say_how_many_are_needed() -> None:
    assert rows_for_frechet(32) == 64
    with pytest.raises(DataError, match="at least 64 real rows and 64 samples are needed"):
        frechet_distance(normal(64, 32), normal(63, 32))
    with pytest.raises(DataError, match=r"at least 20 real rows .* for a kernel distance"):
        kernel_distance(normal(19, 2), normal(30, 2))


def double_sum(a: Tensor, b: Tensor) -> float:
    """The unbiased squared discrepancy, term by term."""

    def kernel(x: Tensor, y: Tensor) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    n, m = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j)
    within_b = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(x, y) for x in a for y in b)
    return within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * between / (n * m)


def test_the_kernel_distance_is_the_double_sum() -> None:
    a, b = normal(12, 4), normal(9, 4, 1) + 0.5
    found = kernel_distance(a, b, blocks=1)
    assert found.mean == pytest.approx(double_sum(a, b), rel=1e-10)
    assert found.standard_error is None


def test_the_kernel_distance_has_no_bias() -> None:
    found = [kernel_distance(normal(60, 4, s), normal(60, 4, 500 + s)) for s in range(200)]
    means = torch.tensor([one.mean for one in found])
    assert abs(float(means.mean())) < 4 * float(means.std()) / 200**0.5
    assert 0.3 < float((means < 0).double().mean()) < 0.7
    errors = torch.tensor([one.standard_error or 0.0 for one in found])
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(means.std()), rel=0.25)


def test_rows_that_stand_together_are_spread_over_the_blocks() -> None:
    sorted_rows = normal(400, 2)
    sorted_rows[200:] += 6
    mixed = sorted_rows[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    found = kernel_distance(sorted_rows, mixed)
    assert found.standard_error is not None
    assert abs(found.mean) < 4 * found.standard_error


@pytest.mark.usefixtures("untouched_random_state")
def test_seeds_decide_and_the_random_state_is_left_alone() -> None:
    a, b = normal(100, 3), normal(100, 3, 1)
    for distance in (frechet_distance, kernel_distance):
        assert distance(a, b, seed=1) == distance(a, b, seed=1)
        assert distance(a, b, seed=1) != distance(a, b, seed=2)
