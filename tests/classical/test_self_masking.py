"""The curve by which cells go missing, against quadrature and its own definition."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from torch import Tensor

from lowerbound.classical.self_masking import SelfMasking

CASES = [  # slope, threshold, loc, scale
    (0.0, 0.3, 0.5, 1.2),
    (1.5, 0.2, -0.4, 0.7),
    (-2.0, 1.0, 2.5, 0.4),
    (30.0, 0.0, -1.5, 0.3),
    (8.0, -1.0, 3.0, 0.5),
]


def number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def curve(slope: float, threshold: float) -> SelfMasking:
    return SelfMasking(number(slope), number(threshold), torch.tensor([True]))


def integral(case: tuple[float, ...], power: Callable[[float], float]) -> float:
    """Of power(x) N(x; loc, scale^2) Phi(slope (x - threshold)), over where that is not nothing."""
    slope, threshold, loc, scale = case

    def density(x: float) -> float:
        missing = stats.norm.cdf(slope * (x - threshold))
        return float(power(x) * stats.norm.pdf(x, loc, scale) * missing)

    ends = [loc - 12 * scale, loc + 12 * scale]
    kinks = [threshold + k / (abs(slope) + 1) for k in (-4, -1, 0, 1, 4)]
    kinks = sorted({*ends, loc, *(k for k in kinks if ends[0] < k < ends[1])})
    pieces = pairwise(kinks)
    return sum(quad(density, a, b, epsabs=0, epsrel=1e-12, limit=200)[0] for a, b in pieces)


@pytest.mark.parametrize("case", CASES)
def test_the_missing_value_is_integrated_out(case: tuple[float, ...]) -> None:
    slope, threshold, loc, scale = case
    found = curve(slope, threshold).log_missing(number(loc), number(scale))
    assert float(found) == pytest.approx(np.log(integral(case, lambda x: 1.0)), abs=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_mean_and_variance_of_a_missing_value(case: tuple[float, ...]) -> None:
    slope, threshold, loc, scale = case
    mean, variance = curve(slope, threshold).moments(number(loc), number(scale))
    mass = integral(case, lambda x: 1.0)
    expected = integral(case, lambda x: x) / mass
    assert float(mean) == pytest.approx(expected, abs=1e-8)
    spread = integral(case, lambda x: (x - expected) ** 2) / mass
    assert float(variance) == pytest.approx(spread, abs=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_utilities_at_all_quantiles_have_the_moments_of_the_missing_value(
    case: tuple[float, ...],
) -> None:
    slope, threshold, loc, scale = case
    curves, count = curve(slope, threshold), 100_000
    share = (torch.arange(count, dtype=torch.float64).unsqueeze(1) + 0.5) / count
    middle = curves.at_utility(number(loc), number(scale), share)
    mean, variance = curves.moments(number(loc), number(scale))
    rest = curves.spread_at_utility(number(scale)).square()
    torch.testing.assert_close(middle.mean(0), mean, rtol=0, atol=3e-5)
    spread = middle.var(0, correction=0) + rest
    torch.testing.assert_close(spread, variance, rtol=0, atol=1e-4)


def test_far_from_the_threshold_everything_stays_finite() -> None:
    for dtype in (torch.float32, torch.float64):
        loc = torch.tensor([-1e3, -30.0, 30.0, 1e3], dtype=dtype, requires_grad=True)
        numbers = torch.full((4,), 30.0, dtype=dtype), torch.zeros(4, dtype=dtype)
        curves = SelfMasking(*numbers, torch.ones(4, dtype=torch.bool))
        scale = torch.full((4,), 0.1, dtype=dtype)
        mean, variance = curves.moments(loc, scale)
        total = curves.log_missing(loc, scale) + curves.log_observed(loc) + mean + variance
        total.sum().backward()  # type: ignore[no-untyped-call]
        assert torch.isfinite(total).all()
        assert loc.grad is not None
        assert torch.isfinite(loc.grad).all()
        assert torch.isfinite(curves.at_utility(loc, scale, torch.tensor(1e-7))).all()


def test_a_column_without_a_curve_is_never_explained() -> None:
    curves = SelfMasking(number(0.0), number(0.0), torch.tensor([False]))
    assert float(curves.log_observed(number(1.0))) == 0
    assert float(curves.log_missing(number(1.0), number(1.0))) == 0
