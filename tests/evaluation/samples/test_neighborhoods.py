"""Precision, recall, density and coverage, against what the papers say of simple cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.evaluation.samples import distances as module
from lowerbound.evaluation.samples.distances import (
    density_coverage,
    neighborhoods,
    precision_recall,
)


def normal(rows: int, width: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64)


def test_a_set_covers_itself() -> None:
    rows = normal(200)
    found = neighborhoods(rows, rows.clone())
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    # each ball of 5 neighbors holds them and its own center, which ties with its copy
    assert found.density == pytest.approx(6 / 5)


def test_halves_of_one_set_nearly_do() -> None:
    found = neighborhoods(normal(1_000), normal(1_000, seed=1))
    assert min(found.precision, found.recall) > 0.94
    assert found.density == pytest.approx(1, abs=0.1)
    # of two sets of one kind: 1 - (N - 1)...(N - k) / (2N - 1)...(2N - k), Naeem et al. 2020
    expected = 1 - math.prod((1_000 - i) / (2_000 - i) for i in range(1, 6))
    assert found.coverage == pytest.approx(expected, abs=0.03)


def test_sets_that_are_apart_do_not() -> None:
    found = neighborhoods(normal(200), normal(200) + 1_000)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_one_of_two_modes_is_precise_and_forgets_half() -> None:
    real = normal(400)
    real[::2] += 100
    precision, recall = precision_recall(real, normal(400, seed=1))
    assert precision > 0.93
    assert recall == pytest.approx(0.5, abs=0.05)
    density, coverage = density_coverage(real, normal(400, seed=1))
    assert density == pytest.approx(1.0, abs=0.15)  # a sample still lies in some k balls
    assert coverage == pytest.approx(0.5, abs=0.03)


def by_hand(real: Tensor, samples: Tensor, k: int) -> tuple[float, float, float, float]:
    """Straight from the definitions, one pair at a time."""

    def radius(rows: Tensor, i: int) -> float:
        return float(sorted((rows - rows[i]).norm(dim=1).tolist())[k])  # itself comes first

    def holds(rows: Tensor, i: int, point: Tensor) -> bool:
        return float((rows[i] - point).norm()) <= radius(rows, i)

    n, m = len(real), len(samples)
    precision = sum(any(holds(real, i, y) for i in range(n)) for y in samples) / m
    recall = sum(any(holds(samples, j, x) for j in range(m)) for x in real) / n
    density = sum(holds(real, i, y) for i in range(n) for y in samples) / (k * m)
    coverage = sum(any(holds(real, i, y) for y in samples) for i in range(n)) / n
    return precision, recall, density, coverage


@pytest.mark.parametrize("pairs", [1 << 22, 7])
def test_they_are_those_of_the_definitions(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", pairs)
    real, samples = normal(23, 3), normal(17, 3, seed=1) + 0.7
    found = (
        *precision_recall(real, samples, neighbors=2),
        *density_coverage(real, samples, neighbors=2),
    )
    assert found == pytest.approx(by_hand(real, samples, 2), abs=1e-12)
    assert 0 < found[0] < 1


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(DataError, match=r"at least 4 real rows .* for precision and recall"):
        precision_recall(normal(3), normal(50))
    with pytest.raises(DataError, match=r"at least 6 real rows .* for density and coverage"):
        density_coverage(normal(50), normal(5))
