"""The linear predictor of pixels against least squares of another library, and its start."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.likelihoods import Autoregressive
from lowerbound.networks.pictures.causal import HIDDEN_EVERY, CausalPredictor

LEVELS = 256


def smooth(rows: int, channels: int, side: int = 12) -> Tensor:
    """Autoregressive pictures of 256 levels: each pixel is near those to its left and above."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(rows, channels, side, side, generator=generator).double()
    x = torch.zeros_like(noise)
    for top, left in itertools.product(range(side), range(side)):
        above = x[:, :, top - 1, left] if top else 0.0
        before = x[:, :, top, left - 1] if left else 0.0
        corner = x[:, :, top - 1, left - 1] if top and left else 0.0
        x[:, :, top, left] = 0.9 * (above + before) - 0.81 * corner + noise[:, :, top, left]
    x[:, 1:] += 0.8 * x[:, :1]
    return ((x / 60 + 0.5).clamp(0, 1) * (LEVELS - 1)).round() / (LEVELS - 1)


def seen(x: Tensor) -> Tensor:
    return torch.cat([2 * x - 1, torch.ones_like(x)], 1)


def test_locations_are_least_squares() -> None:
    """Of gray pictures, as numpy solves the same problem pixel by pixel."""
    x = smooth(40, 1)
    predictor = CausalPredictor(1, 2).double()
    predictor.fit(x, LEVELS)
    hidden = np.arange(len(x)) % HIDDEN_EVERY == 0
    design, target = [], []
    padded = np.pad(x[:, 0].numpy(), ((0, 0), (2, 0), (2, 2)), constant_values=np.nan)
    for row, (top, left) in itertools.product(range(len(x)), np.ndindex(12, 12)):
        window = padded[row, top : top + 3, left : left + 5].flatten()[:12]
        known = np.isfinite(window) & ~hidden[row]
        values = np.where(known, 2 * np.nan_to_num(window) - 1, 0)
        design.append([*values, *known, 1])
        target.append(x[row, 0, top, left])
    weights = np.linalg.lstsq(np.array(design, float), np.array(target), rcond=1e-6)[0]
    expected = (np.array(design, float) @ weights).reshape(40, 12, 12)[~hidden]
    found = predictor(seen(x))[0].loc[:, 0].numpy()[~hidden]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_a_new_likelihood_of_smooth_pictures_is_near_their_entropy(channels: int) -> None:
    """The noise of the pictures is N(0, (255 / 60)^2) in levels."""
    x = smooth(400, channels, 16).float()
    likelihood = Autoregressive((channels, 16, 16), levels=LEVELS, width=8, context=3)
    likelihood.initialize(x[:300])
    bias = likelihood.initial_bias(x)
    emission = likelihood(bias.expand(1, 100, *bias.shape))
    bits = -emission.log_prob(x[300:]).mean() / (channels * 256) / np.log(2)
    entropy = np.log2(255 / 60 * np.sqrt(2 * np.pi * np.e))
    assert entropy - 0.02 < bits < entropy + 0.35
    blind = likelihood(bias.expand(1, 100, *bias.shape)).variance.mean().sqrt()
    assert blind.item() == pytest.approx(float(x.std(0).mean()), rel=0.5)


def test_residuals_of_cells_whose_earlier_channel_is_hidden_are_not_seen() -> None:
    x = smooth(20, 3)
    predictor = CausalPredictor(3, 2).double()
    predictor.fit(x, LEVELS)
    pictures = seen(x)
    pictures[:, 1] = pictures[:, 4] = 0  # green is hidden
    residual = predictor(pictures)[1]
    assert bool((residual[:, 0] != 0).any())
    assert not residual[:, 1:].any()


def test_constant_pictures_can_be_fitted() -> None:
    predictor = CausalPredictor(1, 2)
    predictor.fit(torch.full((3, 1, 4, 4), 0.2), LEVELS)
    predicted, residual = predictor(seen(torch.full((3, 1, 4, 4), 0.2)))
    assert bool(predicted.loc.isfinite().all() and predicted.log_scale.isfinite().all())
    assert residual.abs().max() < 1.0
    torch.testing.assert_close(predicted.loc, torch.full((3, 1, 4, 4), 0.2), atol=1e-3, rtol=0)
