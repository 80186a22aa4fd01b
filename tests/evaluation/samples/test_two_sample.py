"""The two-sample test: half right where there is nothing to see, and an exact p-value."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.evaluation.samples.distances import p_value, two_sample_test


def normal(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed))


def test_alike_is_half_right() -> None:
    found = two_sample_test(normal(1_000, 0), normal(1_000, 1))
    assert found.rows == 1_000
    assert found.accuracy.standard_error == pytest.approx(0.0158, abs=1e-3)
    assert found.accuracy.mean == pytest.approx(0.5, abs=0.05)
    assert found.p_value > 0.01


@pytest.mark.slow
def test_p_values_of_alike_sets_are_spread_evenly() -> None:
    found = [two_sample_test(normal(80, s), normal(80, 500 + s)).p_value for s in range(30)]
    below = sum(p < 0.5 for p in found)
    assert 6 <= below <= 24
    assert sum(p < 0.05 for p in found) <= 5


def test_apart_is_seen() -> None:
    found = two_sample_test(normal(400, 0), normal(400, 1) + 3)
    assert found.accuracy.mean > 0.97
    assert found.p_value < 1e-6


def test_a_difference_beyond_means_is_seen() -> None:
    assert two_sample_test(normal(600, 0), 3 * normal(600, 1)).accuracy.mean > 0.7


def test_the_answer_by_heart_is_no_answer() -> None:
    """Rows asked about are none that were learned from: noise in many dimensions stays at half."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 200, 100, generator=generator)
    assert abs(two_sample_test(a, b).accuracy.mean - 0.5) < 0.12


def test_the_p_value_counts_all_labelings() -> None:
    rows, called_real, found = 8, 3, 3
    labelings = list(itertools.combinations(range(rows), rows // 2))
    as_good = sum(len(set(real) & set(range(called_real))) >= found for real in labelings)
    assert p_value(found, called_real, rows) == pytest.approx(as_good / len(labelings))
    assert p_value(0, 0, 8) == 1.0


def test_one_set_may_be_larger() -> None:
    found = two_sample_test(normal(900, 0), normal(60, 1))
    assert found.rows == 60
    assert found.p_value > 0.01


@pytest.mark.usefixtures("untouched_random_state")
def test_the_seed_decides() -> None:
    a, b = normal(100, 0), normal(100, 1)
    assert two_sample_test(a, b, seed=3) == two_sample_test(a, b, seed=3)


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(
        DataError, match=r"at least 20 real rows and 20 samples .* for a two-sample"
    ):
        two_sample_test(normal(19, 0), normal(50, 1))
