"""Attribute vectors against Gaussians whose difference is known; effects that can be counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.applications.generation.attribute_vectors import (
    METHODS,
    Attribute,
    attribute,
    class_attribute,
    combined,
    measure_effects,
)
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.samples.acceptance import RealismClassifier
from tests.evaluation.small_models import coder

SHIFT = torch.tensor([2.0, -1.0, 0.5, 0.0]).double()
NAMES = ("none", "smile", "glasses")


def two_clouds(rows: int, covariance: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """N(0, S) and N(SHIFT, S), as many rows of each."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2 * rows, 4, generator=generator, dtype=torch.float64)
    if covariance is not None:
        noise = noise @ torch.linalg.cholesky(covariance).T
    has = torch.arange(2 * rows) < rows
    return noise + has[:, None] * SHIFT, has


def test_the_mean_difference_is_that_of_the_gaussians() -> None:
    found = attribute("smile", *two_clouds(100_000))
    torch.testing.assert_close(found.vector, SHIFT, atol=0.02, rtol=0)
    assert (found.having, found.lacking) == (100_000, 100_000)


def test_the_regressions_normal_is_that_of_the_gaussians() -> None:
    """Between N(m0, S) and N(m1, S) the best plane has the normal S^{-1} (m1 - m0)."""
    covariance = torch.diag(torch.tensor([1.0, 4.0, 1.0, 1.0])).double()
    covariance[0, 2] = covariance[2, 0] = 0.6
    normal = torch.linalg.solve(covariance, SHIFT)
    normal = normal / normal.norm()
    found = attribute("smile", *two_clouds(100_000, covariance), method="logistic")
    torch.testing.assert_close(found.vector, (normal @ SHIFT) * normal, atol=0.03, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_strength_one_takes_one_mean_as_far_as_the_other_along_the_vector(method: str) -> None:
    codes, has = two_clouds(200)
    found = attribute("smile", codes, has, method)
    having, lacking = codes[has].mean(0), codes[~has].mean(0)
    moved = found.added(lacking[None], 1.0)[0]
    assert float((moved - having) @ found.vector) == pytest.approx(0.0, abs=1e-9)
    torch.testing.assert_close(found.added(moved[None], -1.0)[0], lacking)


def test_a_unit_that_never_varies_is_left_alone() -> None:
    codes, has = two_clouds(100)
    codes[:, 3] = 7.0
    found = attribute("smile", codes, has, "logistic")
    assert found.vector[3] == 0
    assert found.vector.isfinite().all()


def labels() -> tuple[Tensor, Tensor]:
    """Codes at 0, at e1 and at e2 by class, and one row of no class far away."""
    label = torch.tensor([0, 1, 2] * 4 + [-1])
    codes = torch.zeros(13, 4).double()
    codes[label == 1, 0] = codes[label == 2, 1] = 1.0
    codes[12] = 100.0
    return codes, label


def test_one_class_is_set_against_the_rest_and_unlabeled_rows_are_left_out() -> None:
    found = {name: class_attribute(name, *labels(), NAMES) for name in NAMES}
    assert found["smile"].vector.tolist() == [1.0, -0.5, 0.0, 0.0]
    assert (found["smile"].having, found["smile"].lacking) == (4, 8)


def test_smile_without_glasses() -> None:
    parts = {name: class_attribute(name, *labels(), NAMES) for name in NAMES}
    both = combined({"smile": 1.0, "glasses": -1.0}, parts)
    assert both.name == "more smile, less glasses"
    assert both.vector.tolist() == [1.5, -1.5, 0.0, 0.0]


def test_what_cannot_be_learned() -> None:
    codes, label = labels()
    with pytest.raises(DataError, match="has no labels"):
        class_attribute("smile", codes, None, NAMES)
    with pytest.raises(DataError, match="has no labels"):
        class_attribute("smile", codes, torch.full((13,), -1), NAMES)
    with pytest.raises(DataError, match="one class 'smile'"):
        class_attribute("smile", codes, torch.ones(13).long(), NAMES)
    with pytest.raises(OptionError, match=r"unknown attribute 'smil'; did you mean 'smile'"):
        class_attribute("smil", codes, label, NAMES)
    with pytest.raises(DataError, match="no row has the attribute 'hat'"):
        attribute("hat", codes, torch.zeros(13))
    with pytest.raises(DataError, match="every row has the attribute 'hat'"):
        attribute("hat", codes, torch.ones(13))
    with pytest.raises(OptionError, match="did you mean 'mean'"):
        attribute("hat", codes, label == 1, "maen")


class Thermometer:
    """A classifier of three classes whose probabilities are the row's values."""

    classes_ = np.array([0, 2, 1])  # columns need not be in the order of the classes

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0], x[:, 2], x[:, 1]], 1)


def test_effects_are_counted_on_target_and_off() -> None:
    vector = torch.tensor([-0.4, 0.3, 0.1]).double()
    change = Attribute("smile", vector, 1, 1)
    z = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).double()
    judge = RealismClassifier(Thermometer(), 0.5, 1.0)
    (half, full) = measure_effects(coder(3, 0.1), z, change, [0.5, 1.0], judge, {1: 1.0})
    assert (half.strength, full.strength, full.rows) == (0.5, 1.0, 20)
    assert half.target is not None
    assert half.target.mean == pytest.approx(0.15, abs=1e-6)
    assert full.target is not None
    assert full.target.mean == pytest.approx(0.3, abs=1e-6)
    assert full.off_target is not None
    assert full.off_target.mean == pytest.approx((0.4 + 0.1) / 2, abs=1e-6)
    (both,) = measure_effects(coder(3, 0.1), z, change, [1.0], judge, {1: 1.0, 0: -1.0})
    assert both.target is not None
    assert both.target.mean == pytest.approx((0.3 + 0.4) / 2, abs=1e-6)
    assert both.off_target is not None
    assert both.off_target.mean == pytest.approx(0.1, abs=1e-6)
    (only_off,) = measure_effects(coder(3, 0.1), z, change, [1.0], judge, {})
    assert only_off.target is None
    assert only_off.off_target is not None
    assert only_off.off_target.mean == pytest.approx((0.4 + 0.3 + 0.1) / 3, abs=1e-6)
