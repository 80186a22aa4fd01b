"""A fair comparison: the rivals differ from the VAE in nothing but what it adds."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.applications.common.application import Silent
from lowerbound.applications.fit.measuring import UNSUITABLE, flat, side_by_side
from lowerbound.data import Dataset, load
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


@pytest.fixture
def rows() -> Dataset:
    return load(np.random.default_rng(0).normal(size=(50, 4)))


@pytest.fixture
def vae(rows: Dataset) -> Fitted:
    model = ModelOptions(latent_dim=3, prior="mixture", prior_options={"components": 5})
    training = TrainingOptions(updates=2, batch_size=16)
    options = FitOptions(model, "importance_weighted", {"samples": 2}, training)
    return fit(rows, options)


def test_the_autoencoder_has_the_same_decoder(rows: Dataset, vae: Fitted) -> None:
    found = side_by_side(vae, rows, Silent())
    assert list(found) == ["VAE", "autoencoder", "PCA"]
    assert found["VAE"] is vae
    autoencoder = found["autoencoder"].model
    sizes = [
        [value.shape for value in model.decoder.parameters()]  # type: ignore[union-attr]
        for model in (vae.model, autoencoder)
    ]
    assert sizes[0] == sizes[1]
    assert found["autoencoder"].options.training == vae.options.training
    assert found["PCA"].options.model.latent_dim == 3


def test_the_maps_have_two_units_and_a_plain_prior(rows: Dataset, vae: Fitted) -> None:
    found = flat(vae, rows, Silent())
    assert list(found) == ["autoencoder with 2 units", "VAE with 2 units", "PCA with 2 units"]
    chosen = found["VAE with 2 units"].options.model
    assert (chosen.latent_dim, chosen.prior, chosen.prior_options) == (2, "standard_normal", {})


def test_pca_has_fewer_units_than_columns_and_none_of_a_single_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    single = load(np.random.default_rng(0).normal(size=(50, 1)))
    options = FitOptions(training=TrainingOptions(updates=2))
    said: list[str] = []
    reporter = Silent()
    monkeypatch.setattr(reporter, "say", said.append)
    found = side_by_side(fit(single, options), single, reporter)
    assert list(found) == ["VAE", "autoencoder"]
    assert said[-1] == "PCA is left out: " + UNSUITABLE
    assert flat(fit(single, options), single, Silent()) == {}
    double = load(np.random.default_rng(0).normal(size=(50, 2)))
    wide = fit(double, FitOptions(ModelOptions(latent_dim=2), training=TrainingOptions(updates=2)))
    assert side_by_side(wide, double, Silent())["PCA"].options.model.latent_dim == 1
