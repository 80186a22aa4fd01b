from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowerbound import VAE, Autoencoder
from lowerbound.errors import UnsupportedError

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def autoencoder(X: Array) -> Autoencoder:
    return Autoencoder(latent_dim=2, epochs=200, random_state=0).fit(X)


def test_it_gives_back_what_went_in(autoencoder: Autoencoder, X: Array) -> None:
    error = ((autoencoder.reconstruct(X) - X) / X.std(0)) ** 2
    assert error.mean() < 0.5


def test_it_has_no_prior_and_says_who_has(autoencoder: Autoencoder) -> None:
    with pytest.raises(UnsupportedError, match=r"autoencoder cannot be sampled.*vae"):
        autoencoder.sample(3)


def test_it_says_nothing_about_the_density(autoencoder: Autoencoder) -> None:
    assert not hasattr(autoencoder, "score_samples")


def test_its_score_ranks_reconstructions(autoencoder: Autoencoder, X: Array) -> None:
    narrow = Autoencoder(latent_dim=1, epochs=200, random_state=0).fit(X)
    assert autoencoder.score(X) > narrow.score(X)


@pytest.mark.slow
def test_its_score_is_in_the_units_of_the_data(autoencoder: Autoencoder, X: Array) -> None:
    other = Autoencoder(latent_dim=2, epochs=200, random_state=0).fit(X * 10)
    assert autoencoder.score(X) - other.score(X * 10) == pytest.approx(5 * np.log(10), rel=1e-6)


def test_absolute_error_is_the_laplace_likelihood(X: Array) -> None:
    model = Autoencoder(latent_dim=2, likelihood="laplace", epochs=20, random_state=0).fit(X)
    assert np.isfinite(model.score(X))


def test_saved_and_loaded(tmp_path: Path, autoencoder: Autoencoder, X: Array) -> None:
    autoencoder.save(tmp_path / "model")
    again = Autoencoder.load(tmp_path / "model")
    np.testing.assert_array_equal(again.transform(X), autoencoder.transform(X))
    with pytest.raises(ValueError, match=r"use Autoencoder\.load"):
        VAE.load(tmp_path / "model")
