"""Pixels among the pixels around them: least squares, contrast, pairs, surfaces, defects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from lowerbound import VAEDetector
from lowerbound.applications.anomaly import surfaces
from lowerbound.applications.anomaly.surfaces import (
    LEAST_SIDE,
    RADIUS,
    Surface,
    excess,
    fitted,
    is_surface,
)
from lowerbound.errors import UnsupportedError

Array = np.ndarray[Any, Any]
SIDE = 24


def cloth(count: int, seed: int = 0, side: int = SIDE) -> Array:
    """Pictures of a surface in which no place is special, (count, 1, side, side) uint8."""
    noise = np.random.default_rng(seed).normal(size=(count, side + 20, side + 20))
    smooth = np.stack([gaussian_filter(each, 1.5) for each in noise])[:, 10:-10, 10:-10]
    return np.clip(128 + 200 * smooth, 0, 255).astype(np.uint8)[:, None]


def scratched(pictures: Array) -> Array:
    found = pictures.copy()
    found[:, :, 12, 5:19] = np.minimum(found[:, :, 12, 5:19].astype(int) + 25, 255)
    return found


def polished(pictures: Array) -> Array:
    found = pictures.copy()
    found[:, :, 6:18, 6:18] = 128
    return found


def as_rows(pictures: Array) -> Array:
    return pictures.reshape(len(pictures), -1) / 255


def as_tensor(pictures: Array) -> torch.Tensor:
    return torch.from_numpy(pictures / 255).float()


def test_one_kind_is_the_least_squares_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surfaces, "KINDS", 1)
    monkeypatch.setattr(surfaces, "RIDGE", 1e-12)
    monkeypatch.setattr(surfaces, "PIXELS", 10**9)
    pictures = as_tensor(cloth(40, side=12)) + 0.05 * torch.randn(40, 1, 12, 12)
    (fit,) = fitted(pictures)
    inputs, around, difference = surfaces._parts(
        torch.cat([each.flatten(0, 1) for each in surfaces._windows(pictures)]), 0
    )
    found = difference - inputs @ fit.location[0]
    # the draws are with replacement, so compare the errors that both leave
    expected, *_ = np.linalg.lstsq(inputs.double().numpy(), difference.double().numpy())
    best = difference.double().numpy() - inputs.double().numpy() @ expected
    assert np.square(best).mean() <= float(found.square().mean()) <= 1.05 * np.square(best).mean()
    assert torch.equal(inputs, around)


@pytest.mark.slow
def test_flat_and_busy_parts_have_the_same_excess() -> None:
    """The error is ten times as large in the busy half, and u is not."""
    rng = np.random.default_rng(0)
    contrast = np.where(np.arange(32) < 16, 1.0, 10.0)
    pictures = torch.from_numpy(rng.normal(size=(200, 1, 32, 32)) * contrast).float()
    log_u = excess(fitted(pictures), pictures)
    calm, busy = log_u[:, :, : 16 - 2 * RADIUS].mean(), log_u[:, :, 16:].mean()
    assert abs(float(calm - busy)) < 0.15


@pytest.mark.slow
def test_the_second_of_two_channels_is_judged_by_the_first() -> None:
    template = cloth(300).astype(int)
    noise = np.random.default_rng(1).integers(-2, 3, template.shape)
    pairs = np.concatenate([template, template + noise], 1).clip(0, 255).astype(np.uint8)
    fits = fitted(as_tensor(pairs[:250]))
    new = pairs[250:].copy()
    usual = excess(fits, as_tensor(new))[:, 9, 9]
    both, one = new.astype(int), new.astype(int)
    both[:, :, 12, 12] += 12
    one[:, 1, 12, 12] += 12
    of_both, of_one = (
        float((excess(fits, as_tensor(each))[:, 9, 9] - usual).median()) for each in (both, one)
    )
    assert of_one > 1
    assert of_both < of_one / 2


@pytest.mark.parametrize(
    ("pictures", "surface"),
    [
        (as_tensor(cloth(100)), True),
        (as_tensor(cloth(10)), True),
        (torch.zeros(20, 1, 16, 16), False),
        (as_tensor(cloth(100, side=LEAST_SIDE - 1)), False),
        (as_tensor(cloth(1)), False),
        (torch.from_numpy(load_digits().images[:200] / 16).repeat(1, 2, 2).unsqueeze(1), False),
    ],
    ids=["cloth", "few", "constant", "small", "one", "digits"],
)
def test_a_surface_has_no_special_places(pictures: torch.Tensor, surface: bool) -> None:
    assert is_surface(pictures) is surface


@pytest.fixture(scope="module")
def known() -> Surface:
    return Surface.of(as_rows(cloth(300)), (1, SIDE, SIDE), as_rows(cloth(100, seed=1)))


@pytest.mark.parametrize("spoil", [scratched, polished])
def test_defects_are_found_and_shown_where_they_are(known: Surface, spoil: Any) -> None:
    sound, spoiled = cloth(100, seed=2), spoil(cloth(100, seed=3))
    scores = known.scores(as_rows(np.concatenate([sound, spoiled])))
    assert roc_auc_score(np.repeat([0, 1], 100), scores) > 0.95
    heat = known.heat(as_rows(spoiled)).mean(0)
    assert heat.shape == (SIDE, SIDE)
    assert heat[12, 8:16].mean() > 2 * known.heat(as_rows(sound)).mean()
    assert not heat[[0, -1]].any()


def test_pictures_are_judged_for_themselves(known: Surface) -> None:
    rows = as_rows(cloth(20, seed=4))
    whole = known.scores(rows)
    np.testing.assert_allclose(known.scores(rows[::-1])[::-1], whole, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(known.scores(rows[:1]), whole[:1], rtol=1e-2, atol=1e-2)


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    return VAEDetector(epochs=1, latent_dim=2, random_state=0).fit(cloth(300))


@pytest.mark.slow
def test_the_detector_of_a_surface_judges_by_the_surroundings(
    detector: VAEDetector, tmp_path: Path
) -> None:
    assert dict(detector.reference_.votes.weights) == {"surroundings": 1}
    sound, spoiled = cloth(60, seed=2), scratched(cloth(60, seed=3))
    assert (detector.predict(spoiled) == -1).mean() > 0.8
    assert (detector.predict(sound) == -1).mean() < 0.2
    assert detector.explain(spoiled)[:, 12, 8:16].mean() > 2 * detector.explain(sound).mean()
    shares = detector.explain(spoiled, excess=False)
    assert shares.shape == (60, SIDE, SIDE)
    assert shares[:, 0].any()  # the model's shares, which have no border
    detector.save(tmp_path / "d.lb")
    loaded = VAEDetector.load(tmp_path / "d.lb")
    before, after = detector.components(spoiled), loaded.components(spoiled)
    np.testing.assert_allclose(before, after, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(detector.explain(spoiled), loaded.explain(spoiled))


@pytest.mark.slow
def test_pictures_of_objects_keep_the_score_of_the_model() -> None:
    places = np.linspace(0, 200, SIDE)[:, None] + np.zeros(SIDE)
    objects = (places + cloth(200)[:, 0] / 8).clip(0, 255).astype(np.uint8)[:, None]
    found = VAEDetector(epochs=1, latent_dim=2, random_state=0).fit(objects)
    assert dict(found.reference_.votes.weights) == {"nats": 1}
    assert "surroundings" in found.components(objects[:3])


def test_small_pictures_have_no_surroundings() -> None:
    digits = (load_digits().images[:200] * 15).astype(np.uint8)[:, None]
    found = VAEDetector(epochs=1, latent_dim=2, criterion="surroundings", random_state=0)
    with pytest.raises(UnsupportedError, match="pictures of at least 12 x 12 pixels"):
        found.fit(digits)
