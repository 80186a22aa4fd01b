"""Classical detectors beside ours: each takes rows to fit on and rows to score, higher is odder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

from lowerbound import VAEDetector

Array = np.ndarray[Any, Any]
Detector = Callable[[Array, Array, int], Array]
NEIGHBORS = 5
EXPLAINED = 0.9  # share of the variance that PCA keeps
RIDGE = 1e-2


def forest(training: Array, test: Array, seed: int) -> Array:
    return np.asarray(-IsolationForest(random_state=seed).fit(training).score_samples(test))


def neighbors(training: Array, test: Array, seed: int) -> Array:
    """Distance to the fifth nearest row, columns standardized."""
    a, b = standardized(training, test)
    fitted = NearestNeighbors(n_neighbors=min(NEIGHBORS, len(a))).fit(a)
    return np.asarray(fitted.kneighbors(b)[0][:, -1])


def mahalanobis(training: Array, test: Array, seed: int) -> Array:
    a, b = standardized(training, test)
    covariance = np.cov(a, rowvar=False).reshape(a.shape[1], -1) + RIDGE * np.eye(a.shape[1])
    return np.asarray((b * np.linalg.solve(covariance, b.T).T).sum(1))


def reconstruction(training: Array, test: Array, seed: int) -> Array:
    """Squared error of PCA that keeps 90 % of the variance, columns standardized."""
    a, b = standardized(training, test)
    fitted = PCA(EXPLAINED, random_state=seed).fit(a)
    return np.asarray(np.square(b - fitted.inverse_transform(fitted.transform(b))).sum(1))


def pixel_neighbors(training: Array, test: Array, seed: int) -> Array:
    """``neighbors``, of pixels as they are: one that hardly varies is no more telling for it."""
    fitted = NearestNeighbors(n_neighbors=min(NEIGHBORS, len(training))).fit(training)
    return np.asarray(fitted.kneighbors(test)[0][:, -1])


def pixel_reconstruction(training: Array, test: Array, seed: int) -> Array:
    """``reconstruction``, of pixels as they are."""
    fitted = PCA(EXPLAINED, random_state=seed).fit(training)
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


CLASSICAL: dict[str, Detector] = {
    "IForest": forest,
    "k-NN": neighbors,
    "Mahalanobis": mahalanobis,
    "PCA": reconstruction,
}


OF_PIXELS: dict[str, Detector] = {
    "k-NN, pixels": pixel_neighbors,
    "PCA, pixels": pixel_reconstruction,
}


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
