"""Classical detectors beside ours: each takes rows to fit on and rows to score, higher is odder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from lowerbound import VAEDetector

Array = np.ndarray[Any, Any]
Settings = Mapping[str, Any]
EXPLAINED = 0.99  # share of the variance that a Gaussian mixture is fitted to
SKEWED = 1.0  # skewness from which a column of positive numbers is taken by its logarithm


@dataclass(frozen=True)
class Rival:
    """A detector, and the settings among which the tables for choosing decide.

    Attributes:
        detect: (training, test, seed, **settings) -> scores of the test rows.
        settings: what is tried.
    """

    detect: Callable[..., Array]
    settings: tuple[Settings, ...]


def grid(**options: tuple[Any, ...]) -> tuple[Settings, ...]:
    """Every combination of the options."""
    return tuple(dict(zip(options, values, strict=True)) for values in product(*options.values()))


def forest(training: Array, test: Array, seed: int, trees: int, share: float | None) -> Array:
    """Isolation forest; each tree sees a share of the rows, or 256 of them (None)."""
    rows = min(256, len(training)) if share is None else share
    fitted = IsolationForest(n_estimators=trees, max_samples=rows, random_state=seed).fit(training)
    return np.asarray(-fitted.score_samples(test))


def neighbors(training: Array, test: Array, seed: int, k: int) -> Array:
    """Distance to the k-th nearest row, columns standardized."""
    return pixel_neighbors(*standardized(training, test), seed, k)


def outlier_factor(training: Array, test: Array, seed: int, k: int) -> Array:
    """Local outlier factor (Breunig et al. 2000), columns standardized."""
    a, b = standardized(training, test)
    fitted = LocalOutlierFactor(min(k, len(a) - 1), novelty=True).fit(a)
    return np.asarray(-fitted.score_samples(b))


def mixture(training: Array, test: Array, seed: int, components: int, covariance: str) -> Array:
    """-log p(x) of a Gaussian mixture on principal components of standardized columns."""
    a, b = standardized(training, test)
    reduced = PCA(EXPLAINED, random_state=seed).fit(a)
    fitted = GaussianMixture(
        min(components, len(a)), covariance_type=covariance, reg_covar=1e-2, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(reduced.transform(a))
    return np.asarray(-fitted.score_samples(reduced.transform(b)))


def mahalanobis(training: Array, test: Array, seed: int, ridge: float) -> Array:
    """Squared Mahalanobis distance to the mean; ``ridge`` is added to each standardized variance"""
    a, b = standardized(training, test)
    covariance = np.cov(a, rowvar=False).reshape(a.shape[1], -1) + ridge * np.eye(a.shape[1])
    return np.asarray((b * np.linalg.solve(covariance, b.T).T).sum(1))


def log_mahalanobis(training: Array, test: Array, seed: int, ridge: float) -> Array:
    """``mahalanobis``, after logarithms of skewed columns."""
    return mahalanobis(*unskewed(training, test), seed, ridge)


def reconstruction(training: Array, test: Array, seed: int, explained: float) -> Array:
    """Squared error of PCA that keeps a share of the variance, columns standardized."""
    return pixel_reconstruction(*standardized(training, test), seed, explained)


def pixel_neighbors(training: Array, test: Array, seed: int, k: int) -> Array:
    """``neighbors``, of pixels as they are: one that hardly varies is no more telling for it."""
    fitted = NearestNeighbors(n_neighbors=min(k, len(training))).fit(training)
    return np.asarray(fitted.kneighbors(test)[0][:, -1])


def pixel_reconstruction(training: Array, test: Array, seed: int, explained: float) -> Array:
    """``reconstruction``, of pixels as they are."""
    fitted = PCA(explained, random_state=seed).fit(training)
    rebuilt = fitted.inverse_transform(fitted.transform(test))
    return np.asarray(np.square(test - rebuilt).sum(1))


def pyod_vae(training: Array, test: Array, seed: int) -> Array:
    """PyOD's VAE with its defaults, columns standardized.

    Raises:
        ImportError: PyOD is not installed: pip install pyod
    """
    import torch
    from pyod.models.vae import VAE

    torch.manual_seed(seed)
    a, b = standardized(training, test)
    fitted = VAE(random_state=seed, verbose=0, batch_size=min(32, len(a)))
    return np.asarray(fitted.fit(a).decision_function(b))


def clean_vae(training: Array, test: Array, seed: int) -> Array:
    return np.asarray(fitted_vae(training, seed).anomaly_score(test))


RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
CLASSICAL: dict[str, Rival] = {
    "IForest": Rival(forest, grid(trees=(100, 300), share=(None, 1.0))),
    "k-NN": Rival(neighbors, grid(k=(1, 2, 5, 10, 20, 50))),
    "LOF": Rival(outlier_factor, grid(k=(5, 10, 20, 50))),
    "Gaussian mixture": Rival(
        mixture, grid(components=(1, 2, 4, 8, 16, 32), covariance=("full", "diag"))
    ),
    "Mahalanobis": Rival(mahalanobis, grid(ridge=RIDGES)),
    "Mahalanobis, logarithms": Rival(log_mahalanobis, grid(ridge=RIDGES)),
    "PCA": Rival(reconstruction, grid(explained=(0.5, 0.8, 0.9, 0.95, 0.99))),
}


# with the settings of the detector of the same kind
OF_PIXELS: dict[str, tuple[str, Callable[..., Array]]] = {
    "k-NN, pixels": ("k-NN", pixel_neighbors),
    "PCA, pixels": ("PCA", pixel_reconstruction),
}


def unskewed(training: Array, test: Array) -> tuple[Array, Array]:
    """Both with log(1 + x) for x in columns of skewed positive numbers.

    The training rows decide. Columns of two values, such as indicators of levels, stay as they are.
    Negative test values, which the training rows lack, are mirrored: -log(1 - x).
    """
    skewed = (training.min(0) >= 0) & (training.std(0) > 0)
    skewed &= np.array([len(np.unique(column)) > 2 for column in training.T])
    skewed[skewed] = stats.skew(training[:, skewed]) > SKEWED
    logs = (np.where(skewed, np.sign(x) * np.log1p(np.abs(x)), x) for x in (training, test))
    first, second = logs
    return first, second


def standardized(training: Array, test: Array) -> tuple[Array, Array]:
    """Both by the training rows' means and deviations; columns that never vary are left out."""
    scale = training.std(0)
    kept = scale > 0
    mean = training[:, kept].mean(0)
    return (training[:, kept] - mean) / scale[kept], (test[:, kept] - mean) / scale[kept]


def fitted_vae(training: Array, seed: int, contamination: str = "clean") -> VAEDetector:
    """Ours with every other default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return VAEDetector(contamination=contamination, random_state=seed).fit(training)
