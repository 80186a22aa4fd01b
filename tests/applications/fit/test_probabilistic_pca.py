from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from lowerbound import ProbabilisticPCA
from lowerbound.errors import DataError

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


@pytest.mark.parametrize("unit", [1e-30, 1e-6, 1e-4, 1e4, 1e15])
@pytest.mark.parametrize("components", [1, 3])
def test_a_unit_shifts_scores_and_scales_all_else(X: Array, unit: float, components: int) -> None:
    def fitted(rows: Array) -> ProbabilisticPCA:
        return ProbabilisticPCA(latent_dim=2, components=components, random_state=0).fit(rows)

    usual, scaled = fitted(X), fitted(X * unit)
    shift = X.shape[1] * np.log(unit)
    np.testing.assert_allclose(
        scaled.score_samples(X * unit) + shift, usual.score_samples(X), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(scaled.get_covariance() / unit**2, usual.get_covariance(), rtol=1e-6)
    noisy = X + 0.3 * np.random.default_rng(1).normal(size=X.shape)
    np.testing.assert_allclose(
        scaled.denoise(noisy * unit, 0.3 * unit) / unit, usual.denoise(noisy, 0.3), atol=1e-4
    )


@pytest.mark.parametrize("spread", [1e3, 1e6])
def test_small_noise_beside_large_columns_is_found(spread: float) -> None:
    rng = np.random.default_rng(0)
    X = spread * rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(300, 6))
    found = ProbabilisticPCA(latent_dim=2).fit(X)
    assert found.score(X) == pytest.approx(PCA(2).fit(_shrunk(X)).score(X), rel=1e-5)


@pytest.mark.parametrize("rows", [2, 5])
def test_the_level_of_the_noise_of_a_few_rows(rows: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 30)) + 0.3 * rng.normal(size=(300, 30))
    pca = ProbabilisticPCA(latent_dim=2).fit(X)
    noisy = X[:rows] + 5 * rng.normal(size=(rows, 30))
    assert pca.noise_level(noisy) == pytest.approx(5, rel=0.2)
    noisy[0, 3] = noisy[1:, 3] = 1e-6  # a feature that hardly varies
    noisy[0, 3] = 0
    assert pca.noise_level(noisy) == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize("level", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("means", [0.0, np.array([0, 10, 100, 1000, -5.0])], ids=["0", "far"])
def test_the_level_of_the_noise_is_the_likeliest(level: float, means: Any) -> None:
    """Also if the means of the columns lie far from each other."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(300, 5))
    X = X + means
    noisy = X + level * rng.normal(size=X.shape)
    pca = ProbabilisticPCA(latent_dim=2).fit(X)

    def surprise(log_level: float) -> float:
        covariance = pca.get_covariance() + np.exp(2 * log_level) * np.eye(5)
        return -float(multivariate_normal(X.mean(0), covariance).logpdf(noisy).mean())

    exact = np.exp(minimize_scalar(surprise, bounds=(-8, 8), method="bounded").x)
    assert pca.noise_level(noisy) == pytest.approx(exact, rel=0.01)
    better = np.square(pca.denoise(noisy) - X).mean()
    assert better < np.square(noisy - X).mean()


def test_missing_cells_of_later_rows_are_integrated_out_where_the_fit_allows_them(X: Array) -> None:
    pca = ProbabilisticPCA(latent_dim=2, data_options={"missing": "model"}).fit(X)
    row = X[:1].copy()
    row[0, [0, 2]] = np.nan
    seen = [column for column in range(X.shape[1]) if column not in (0, 2)]
    marginal = multivariate_normal(X.mean(0)[seen], pca.get_covariance()[np.ix_(seen, seen)])
    assert pca.score_samples(row)[0] == pytest.approx(marginal.logpdf(row[0, seen]), abs=1e-6)
    with pytest.raises(DataError, match=r"data_options=\{'missing': 'model'\}"):
        ProbabilisticPCA(latent_dim=2).fit(X).score_samples(row)
