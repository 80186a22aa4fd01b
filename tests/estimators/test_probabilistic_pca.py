from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from lowerbound import ProbabilisticPCA

Array = np.ndarray[Any, Any]


@pytest.fixture
def X(X: Array) -> Array:
    """Columns of similar units: one noise for all means little where they differ by magnitudes."""
    return (X - X.mean(0)) / X.std(0) * [1.0, 2.0, 0.5, 1.0, 3.0] + np.arange(5)


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_agrees_with_scikit_learn(X: Array, latent_dim: int) -> None:
    """Its covariance has the divisor N - 1 and ours N: it is given the data that undoes that."""
    ours = ProbabilisticPCA(latent_dim=latent_dim).fit(X)
    theirs = PCA(latent_dim).fit(_shrunk(X))
    np.testing.assert_allclose(
        ours.get_covariance(), theirs.get_covariance(), rtol=1e-8, atol=1e-10
    )
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-8)


def test_no_gaussian_of_that_kind_is_likelier(X: Array) -> None:
    """Maximum likelihood: scikit-learn's estimate, with the other divisor, is a little worse."""
    ours = ProbabilisticPCA(latent_dim=2).fit(X)
    assert ours.score(X) >= PCA(2).fit(X).score(X)


def test_samples_have_the_moments(X: Array) -> None:
    pca = ProbabilisticPCA(latent_dim=2, random_state=0).fit(X)
    drawn = pca.sample(40_000)
    scale = X.std(0)
    np.testing.assert_allclose((drawn.mean(0) - X.mean(0)) / scale, 0, atol=0.03)
    np.testing.assert_allclose(
        np.cov(drawn.T) / np.outer(scale, scale),
        pca.get_covariance() / np.outer(scale, scale),
        atol=0.03,
    )


def test_transform_is_the_posterior_mean(X: Array) -> None:
    pca = ProbabilisticPCA(latent_dim=2).fit(X)
    theirs = PCA(2).fit(_shrunk(X))
    noise = theirs.noise_variance_
    gain = np.sqrt(theirs.explained_variance_ - noise) / theirs.explained_variance_
    expected = theirs.transform(X) * gain
    np.testing.assert_allclose(np.abs(pca.transform(X)), np.abs(expected), rtol=1e-6, atol=1e-8)


def test_far_from_the_origin_nothing_is_lost(X: Array) -> None:
    """Centered in double precision, or the scores of times and years would be noise."""
    near, far = (ProbabilisticPCA(latent_dim=2).fit(X + shift) for shift in (0.0, 1e7))
    np.testing.assert_allclose(far.score_samples(X + 1e7), near.score_samples(X), rtol=1e-4)
    np.testing.assert_allclose(
        far.sample(9, random_state=0) - 1e7, near.sample(9, random_state=0), atol=1e-3
    )


def test_a_constant_column_is_put_back(X: Array) -> None:
    with_constant = np.insert(X, 2, 7.0, axis=1)
    with pytest.warns(UserWarning, match="no variation"):
        pca = ProbabilisticPCA(latent_dim=2).fit(with_constant)
    covariance = pca.get_covariance()
    assert covariance.shape == (6, 6)
    assert (covariance[2] == 0).all()
    assert (pca.sample(3)[:, 2] == 7.0).all()
    np.testing.assert_allclose(
        pca.score_samples(with_constant), ProbabilisticPCA(latent_dim=2).fit(X).score_samples(X)
    )


def test_covariance_of_pictures_is_in_their_values(
    digits: tuple[Array, Array],
) -> None:
    pictures = digits[0].astype(np.uint8) * 15
    pca = ProbabilisticPCA(latent_dim=40).fit(pictures)
    flat = pictures.reshape(len(pictures), -1).astype(float)
    expected = np.cov(flat.T, bias=True)
    np.testing.assert_allclose(np.trace(pca.get_covariance()), np.trace(expected), rtol=1e-3)
    assert np.corrcoef(pca.get_covariance().ravel(), expected.ravel())[0, 1] > 0.99


def test_saved_and_loaded(tmp_path: Path, X: Array) -> None:
    pca = ProbabilisticPCA(latent_dim=2).fit(X)
    pca.save(tmp_path / "model")
    again = ProbabilisticPCA.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(X), pca.score_samples(X))
    np.testing.assert_array_equal(again.get_covariance(), pca.get_covariance())


def test_a_reconstruction_is_nearer_than_the_mean(X: Array) -> None:
    pca = ProbabilisticPCA(latent_dim=2).fit(X)
    rows, deviation = pca.reconstruct(X, return_std=True)
    assert ((rows - X) ** 2).sum() < ((X.mean(0) - X) ** 2).sum()
    assert (deviation > 0).all()


def _shrunk(X: Array) -> Array:
    return (X - X.mean(0)) * np.sqrt((len(X) - 1) / len(X)) + X.mean(0)
