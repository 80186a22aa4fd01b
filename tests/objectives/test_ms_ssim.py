"""Structural likeness against scikit-image's single scale, and known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.assembly import assemble
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, Structural
from lowerbound.objectives.features import WEIGHTS, _compared, likeness, ms_ssim
from tests.applications.compression.small_transform import photograph


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def test_one_scale_is_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    x = photograph()[:80, :100, :1]
    y = noisy(x, 12.0)
    expected = metrics.structural_similarity(
        x[..., 0],
        y[..., 0],
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    rows = [torch.from_numpy(one.astype(np.float64)).movedim(-1, 0)[:, None] for one in (x, y)]
    luminance, contrast = _compared(*rows)
    assert float((luminance * contrast).mean()) == pytest.approx(expected, abs=1e-6)


def test_equal_pictures_are_alike_and_noise_tells() -> None:
    x = photograph()[:200, :200]
    assert ms_ssim(x, x) == pytest.approx(1.0)
    found = [ms_ssim(x, noisy(x, deviation)) for deviation in (3.0, 10.0, 40.0)]
    assert 1 > found[0] > found[1] > found[2] > 0


def test_scales_are_as_many_as_fit() -> None:
    x = photograph()[:16, :16]
    assert 0 < ms_ssim(x, noisy(x, 10.0)) < 1
    assert ms_ssim(x[:8, :3], x[:8, :3]) == pytest.approx(1.0)


def test_brightness_alone_costs_only_at_the_coarsest_scale() -> None:
    """Contrast is 1 at every scale, so the luminance term of the last one is all there is."""
    x = np.full((192, 192, 1), 100, np.uint8)
    y = np.full((192, 192, 1), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ms_ssim(x, y) == pytest.approx(luminance ** (WEIGHTS[-1] / sum(WEIGHTS)), rel=1e-6)


def test_rows_are_compared_apart_and_gradients_are_finite() -> None:
    x = torch.rand(3, 2, 40, 40, dtype=torch.float64) * 255
    y = (255 - x).requires_grad_()  # contrast is reversed: below nought
    found = likeness(x, y, 1e-3)
    for row in range(3):
        alone = likeness(x[row : row + 1], y[row : row + 1], 1e-3)
        torch.testing.assert_close(found[row : row + 1], alone)
    found.sum().backward()
    assert y.grad is not None
    assert bool(y.grad.isfinite().all())


def test_the_objective_adds_what_structure_is_lost() -> None:
    data = load("digits", binarize="threshold")
    with seeded(0):
        model = assemble(data.schema, ModelOptions("vae", 4, network="mlp"))
    batch = data.batch(torch.arange(20)).to(torch.float32)
    with seeded(1):
        plain = ELBO()(model, batch)
    with seeded(1):
        bound = Structural(weight=0.5)(model, batch)
    with seeded(1):
        mean = model(batch, ELBO().choose).likelihood.mean[0]
    lost = 1 - likeness(255 * batch.filled, 255 * mean, 1e-3).mean()
    torch.testing.assert_close(bound.value, plain.value)
    torch.testing.assert_close(bound.loss, plain.loss + 0.5 * 64 * lost)
