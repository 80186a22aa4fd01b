"""Estimators of chains, ladders and codes: one code per row, of all latents that decode it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowerbound import VAE, VQVAE, HierarchicalVAE, LadderVAE
from lowerbound.errors import ModelFolderError

X = np.random.default_rng(0).normal(size=(80, 2)) @ np.ones((2, 5))
KINDS = (HierarchicalVAE, LadderVAE, VQVAE)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__, scope="module")
def fitted(request: pytest.FixtureRequest) -> Any:
    return request.param(latent_dim=2, epochs=10, random_state=0).fit(X)


def test_a_code_decodes_to_the_reconstruction(fitted: Any) -> None:
    codes = fitted.transform(X)
    assert codes.shape == (len(X), fitted.latent_dim_)
    assert len(fitted.get_feature_names_out()) == fitted.latent_dim_
    np.testing.assert_allclose(fitted.inverse_transform(codes), fitted.reconstruct(X), atol=1e-8)


def test_a_saved_model_is_the_same(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m.lb")
    back = type(fitted).load(tmp_path / "m.lb")
    np.testing.assert_array_equal(back.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(back.score_samples(X), fitted.score_samples(X))
    with pytest.raises(ModelFolderError, match=type(fitted).__name__):
        VAE.load(tmp_path / "m.lb")


def test_the_bound_rises_with_training(fitted: Any) -> None:
    start = type(fitted)(latent_dim=2, epochs=1, learning_rate=1e-12, random_state=0).fit(X)
    assert fitted.score(X) > start.score(X)


def test_a_map_of_latents_has_all_its_numbers() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (30, 16, 16), dtype=np.uint8)
    options = {"network": "convolutional", "model_options": {"stride": 4}}
    vae = VAE(latent_dim=3, epochs=1, **options).fit(pictures)
    assert vae.transform(pictures).shape == (30, 3 * 4 * 4)
    assert vae.latent_dim_ == 48
    assert vae.inverse_transform(vae.transform(pictures)).shape == pictures.shape
