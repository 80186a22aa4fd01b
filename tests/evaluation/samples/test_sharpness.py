"""Sharpness: known on paper for noise, falling under blur, the same at any brightness."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter, laplace

from lowerbound.data import load
from lowerbound.errors import DataError
from lowerbound.evaluation.samples.reference import laplacian_variance, sharpness_ratio


def digits() -> torch.Tensor:
    x = load("digits").all().filled
    return x[:200]


def blurred(pictures: torch.Tensor, deviation: float) -> torch.Tensor:
    sigmas = (0, 0, deviation, deviation)
    return torch.from_numpy(gaussian_filter(pictures.numpy(), sigmas, mode="nearest"))


def test_of_white_noise_it_is_twenty_times_its_variance() -> None:
    noise = 0.1 * torch.randn(20, 2, 60, 60)
    assert float(laplacian_variance(noise).mean()) == pytest.approx(20 * 0.01, rel=0.03)


def test_it_is_that_of_scipy() -> None:
    pictures = digits().double()
    expected = [laplace(p[0].numpy())[1:-1, 1:-1].var() for p in pictures]
    found = laplacian_variance(pictures)
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64))


def test_slopes_and_brightness_do_not_matter() -> None:
    slope = torch.linspace(0, 1, 12).expand(3, 1, 12, 12)
    assert float(laplacian_variance(slope).abs().max()) < 1e-12
    assert torch.allclose(laplacian_variance(digits() + 1), laplacian_variance(digits()), atol=1e-5)


def test_it_falls_under_blur() -> None:
    pictures = digits()
    ratios = [sharpness_ratio(pictures, blurred(pictures, d)).mean for d in (0, 0.4, 0.7, 1.2)]
    assert ratios[0] == 1.0
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 0.3


def test_the_standard_error_is_the_spread() -> None:
    found = [sharpness_ratio(torch.randn(40, 1, 5, 5), torch.randn(60, 1, 5, 5)) for _ in range(80)]
    means = torch.tensor([one.mean for one in found])
    error = torch.tensor([one.standard_error or 0.0 for one in found]).mean()
    assert float(error) == pytest.approx(float(means.std()), rel=0.25)


def test_what_has_no_sharpness_is_refused() -> None:
    with pytest.raises(DataError, match="at least 3 pixels a side"):
        laplacian_variance(torch.zeros(4, 1, 2, 9))
    with pytest.raises(DataError, match="for pictures"):
        laplacian_variance(torch.zeros(4, 9))
    with pytest.raises(DataError, match="are flat"):
        sharpness_ratio(torch.ones(4, 1, 9, 9), torch.rand(4, 1, 9, 9))
