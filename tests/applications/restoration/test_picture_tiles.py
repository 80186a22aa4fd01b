"""The denoiser in the package: tiles, levels, calibration, in-painting, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from lowerbound import durable
from lowerbound.applications.restoration import picture_tiles
from lowerbound.applications.restoration.inpainting import harmonic, inpainted
from lowerbound.applications.restoration.picture_tiles import (
    DENOISER,
    clean_picture,
    noise_level,
    shipped_denoiser,
)
from lowerbound.errors import ModelFolderError
from lowerbound.models.picture_denoiser import PictureDenoiser

Array = np.ndarray[Any, Any]
LEVELS = (10 / 255, 25 / 255, 50 / 255)


def photograph() -> Array:
    """A grey photograph that is not in the weights, (192, 192, 1) in [0, 1]."""
    return (data.camera()[60:252, 130:322, None] / 255).astype(np.float32)


def noise(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def random_denoiser() -> PictureDenoiser:
    """A denoiser before its training, whose parts all have an influence."""
    torch.manual_seed(0)
    return PictureDenoiser().eval()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(151, 97, 3), (150, 200, 1), (33, 5, 3)])
def test_tiles_equal_the_whole_picture(
    random_denoiser: PictureDenoiser, shape: tuple[int, int, int]
) -> None:
    noisy = 0.5 + 0.2 * noise(shape)
    whole = clean_picture(random_denoiser, noisy, 0.1, tile=512)
    tiles = clean_picture(random_denoiser, noisy, 0.1, tile=32)
    assert whole.mean.shape == whole.deviation.shape == shape
    np.testing.assert_allclose(tiles.mean, whole.mean, atol=1e-5)
    np.testing.assert_allclose(tiles.deviation, whole.deviation, rtol=1e-4)


def test_turned_pictures_have_turned_posteriors(random_denoiser: PictureDenoiser) -> None:
    noisy = 0.5 + 0.2 * noise((32, 48, 3))
    found = clean_picture(random_denoiser, noisy, 0.1)
    turned = clean_picture(random_denoiser, np.rot90(noisy)[:, ::-1], 0.1)
    for part, other in zip(found, turned, strict=True):
        np.testing.assert_allclose(np.rot90(part)[:, ::-1], other, rtol=1e-4, atol=1e-6)


def test_no_pixel_beyond_the_reach_has_an_influence(random_denoiser: PictureDenoiser) -> None:
    x = torch.full((1, 3, 160, 160), 0.5, requires_grad=True)
    found = random_denoiser(x, torch.tensor([0.1]))
    at = (0, 0, 80, 80)
    (found.mean[at] + found.stddev[at]).backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    reach = random_denoiser.network.reach
    assert 80 - reach <= rows.min() <= 80 - reach + 8  # no far larger than needed
    assert 80 + reach - 8 <= rows.max() <= 80 + reach


def test_without_noise_the_mean_is_the_picture() -> None:
    picture = noise((40, 50, 3))
    found = clean_picture(shipped_denoiser(), picture, 0.0)
    np.testing.assert_allclose(found.mean, picture, rtol=1e-6)


@pytest.mark.parametrize("colors", [1, 3])
def test_noise_on_a_constant_is_removed(colors: int) -> None:
    noisy = 0.4 + 25 / 255 * noise((96, 96, colors))
    found = clean_picture(shipped_denoiser(), noisy, 25 / 255)
    assert np.sqrt(np.square(found.mean - 0.4).mean()) < 0.15 * 25 / 255


@pytest.mark.parametrize("level", LEVELS)
def test_deviations_are_those_of_the_errors(level: float) -> None:
    clean = photograph()
    found = clean_picture(shipped_denoiser(), clean + level * noise(clean.shape), level)
    standardized = (found.mean - clean) / found.deviation
    assert 0.5 < np.square(standardized).mean() < 1.5
    error = np.abs(found.mean - clean)
    unsure = found.deviation > np.median(found.deviation)
    assert error[unsure].mean() > 1.5 * error[~unsure].mean()


@pytest.mark.parametrize("level", LEVELS)
def test_the_posterior_is_far_closer_than_the_noise(level: float) -> None:
    clean = photograph()
    found = clean_picture(shipped_denoiser(), clean + level * noise(clean.shape), level)
    gained = 20 * np.log10(level / np.sqrt(np.square(found.mean - clean).mean()))
    assert gained > {10: 3.5, 25: 7.5, 50: 10.5}[round(level * 255)]


@pytest.mark.parametrize(
    ("level", "stored"),
    [*((level, False) for level in LEVELS), *((level, True) for level in LEVELS[:2])],
)
def test_the_level_is_estimated_within_a_tenth(level: float, stored: bool) -> None:
    clean = data.chelsea() / 255
    noisy = clean + level * noise(clean.shape)
    noisy = np.rint(noisy * 255).clip(0, 255) / 255 if stored else noisy
    assert noise_level(noisy) == pytest.approx(level, rel=0.1)


def test_pure_noise_has_its_own_level() -> None:
    assert noise_level(0.2 * noise((200, 200, 3))) == pytest.approx(0.2, rel=0.02)


@pytest.mark.slow
def test_hidden_pixels_are_filled_and_others_stay() -> None:
    clean = photograph()
    hidden = np.random.default_rng(0).random(clean.shape[:2]) < 0.3
    given = np.where(hidden[..., None], 0, clean)
    found = inpainted(shipped_denoiser(), given, hidden)
    np.testing.assert_array_equal(found[~hidden], clean[~hidden])

    def error(filled: Array) -> float:
        return float(np.square(filled - clean)[hidden].mean())

    assert error(found) < error(harmonic(given, hidden))


def test_a_plane_is_harmonic() -> None:
    plane = np.fromfunction(lambda i, j: 0.3 + 0.01 * i + 0.02 * j, (20, 30))[..., None]
    hidden = np.zeros((20, 30), dtype=bool)
    hidden[3:15, 5:20] = True
    found = harmonic(np.where(hidden[..., None], 0, plane), hidden)
    np.testing.assert_allclose(found, plane, atol=1e-12)


def test_the_weights_are_those_of_their_name(tmp_path: Path, monkeypatch: Any) -> None:
    (path,) = DENOISER.glob("*.safetensors")
    assert durable.sha256(path).startswith(path.stem)
    assert path.stat().st_size < 1_500_000
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    (tmp_path / path.name).write_bytes(content)
    monkeypatch.setattr(picture_tiles, "DENOISER", tmp_path)
    with pytest.raises(ModelFolderError, match="install lowerbound again"):
        shipped_denoiser.__wrapped__()
