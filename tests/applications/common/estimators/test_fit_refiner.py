"""fit_refiner of an estimator: refined pictures, and all else as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lowerbound import VAE, ConditionalVAE
from lowerbound.errors import OptionError, UnsupportedError

RNG = np.random.default_rng(0)
LABELS = np.arange(80) % 2
PICTURES = (100 * LABELS[:, None, None] + RNG.integers(0, 150, (80, 6, 6))).astype(np.uint8)
QUICK = {"updates": 3, "batch_size": 16, "validation": 0.2}
SMALL = {"width": 8, "steps": 2}


@pytest.fixture
def vae() -> VAE:
    return VAE(latent_dim=2, network="mlp", epochs=5, random_state=0).fit(PICTURES)


@pytest.mark.slow
def test_pictures_are_refined_and_all_else_stays(vae: VAE, tmp_path: Path) -> None:
    means, scores, parameters = vae.reconstruct(PICTURES), vae.score(PICTURES), vae.get_params()
    samples = vae.sample(4, mean=True)
    assert vae.fit_refiner(PICTURES, training_options=QUICK, **SMALL) is vae
    assert vae.get_params() == parameters
    assert vae.score(PICTURES) == scores
    assert np.array_equal(vae.sample(4, mean=True), samples)
    assert np.array_equal(vae.reconstruct(PICTURES, mean=True), means)
    assert np.array_equal(vae.inverse_transform(vae.transform(PICTURES)), means)
    refined = vae.reconstruct(PICTURES)
    assert refined.shape == means.shape
    assert not np.array_equal(refined, means)
    assert not np.array_equal(vae.sample(4), vae.sample(4, steps=7))
    facts = vae.fitted_.options.refiner_fit
    assert facts is not None
    assert facts.held_out == 16
    assert facts.psnr is not None
    vae.save(tmp_path / "model")
    assert np.array_equal(VAE.load(tmp_path / "model").reconstruct(PICTURES), refined)
    assert clone(vae).fit(PICTURES).model_.refiner is None


@pytest.mark.slow
def test_with_a_class(tmp_path: Path) -> None:
    model = ConditionalVAE(latent_dim=2, network="mlp", epochs=2, random_state=0)
    model.fit(PICTURES, LABELS).fit_refiner(PICTURES, LABELS, training_options=QUICK, **SMALL)
    assert model.sample(3, y=1).shape == (3, 6, 6)
    assert model.reconstruct(PICTURES, LABELS).shape == PICTURES.shape


def test_mistakes(vae: VAE) -> None:
    with pytest.raises(NotFittedError):
        VAE().fit_refiner(PICTURES)
    with pytest.raises(OptionError, match="widht"):
        vae.fit_refiner(PICTURES, widht=8)
    table = VAE(latent_dim=1, epochs=1, random_state=0).fit(RNG.normal(size=(50, 3)))
    with pytest.raises(UnsupportedError, match="restores the detail of pictures"):
        table.fit_refiner(RNG.normal(size=(50, 3)))
