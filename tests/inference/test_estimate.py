"""Means with their standard errors, in words and in other units."""

from __future__ import annotations

import math

import pytest
import torch

from lowerbound.inference.estimate import Estimate


def test_the_standard_error_is_that_of_the_mean() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    found = Estimate.of(values)
    assert found.mean == 4.0
    assert found.standard_error == pytest.approx(float(values.std()) / 2)
    assert Estimate.of(values[:1]) == Estimate(1.0, None)


@pytest.mark.parametrize("factor", [-1 / math.log(2), -1.0, 0.5])
def test_an_error_has_no_sign_in_any_unit(factor: float) -> None:
    assert Estimate(3.0, 2.0).scaled(factor) == Estimate(factor * 3.0, abs(factor) * 2.0)
    assert Estimate(3.0, None).scaled(factor) == Estimate(factor * 3.0, None)


def test_two_decimals_in_words() -> None:
    assert str(Estimate(1.234, 0.1)) == "1.23 ± 0.10"
    assert str(Estimate(1.234, None)) == "1.23"
