"""Classical imputers beside ours: each takes a matrix with NaN and answers with a filled one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next line work
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge

Array = np.ndarray[Any, Any]
Imputer = Callable[[Array, int], Array]


def mean(X: Array, seed: int) -> Array:
    return np.asarray(SimpleImputer().fit_transform(X))


def neighbors(X: Array, seed: int) -> Array:
    return np.asarray(KNNImputer(n_neighbors=5).fit_transform(X))


def chained_ridge(X: Array, seed: int) -> Array:
    """Chained equations with Bayesian ridge regression, scikit-learn's default."""
    return _iterative(BayesianRidge(), X, seed, 10)


def chained_forest(X: Array, seed: int) -> Array:
    """missForest in spirit: chained equations with extremely randomized trees."""
    return _iterative(ExtraTreesRegressor(n_estimators=20, random_state=seed), X, seed, 4)


def soft_impute(X: Array, seed: int) -> Array:
    """Nuclear-norm completion (Mazumder et al. 2010), its penalty chosen on held-out seen cells."""
    observed = ~np.isnan(X)
    # a stream of its own: the masks may have been drawn by the very seed
    held = observed & (np.random.default_rng([seed, 1]).random(X.shape) < 0.1)
    start = np.where(observed & ~held, X, np.nan)
    largest = np.linalg.norm(np.nan_to_num(start), 2)
    shares = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
    errors = [np.square(_soft(start, s * largest) - X)[held].mean() for s in shares]
    return _soft(X, shares[int(np.argmin(errors))] * largest)


def gaussian_em(X: Array, seed: int, rounds: int = 60, ridge: float = 1e-2) -> Array:
    """Full-covariance Gaussian by expectation maximization; conditional means at its end."""
    observed = ~np.isnan(X)
    center = np.nanmean(X, axis=0)
    covariance = np.diag(np.nanvar(X, axis=0))
    filled = X
    for _ in range(rounds):
        filled, spread = _expected(X, observed, center, covariance)
        center = filled.mean(0)
        covariance = np.cov(filled.T, bias=True) + spread / len(X) + ridge * np.eye(X.shape[1])
    return filled


CLASSICAL: dict[str, Imputer] = {
    "mean": mean,
    "k-NN": neighbors,
    "chained ridge": chained_ridge,
    "chained forest": chained_forest,
    "SoftImpute": soft_impute,
    "Gaussian EM": gaussian_em,
}


def _iterative(estimator: Any, X: Array, seed: int, rounds: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        chained = IterativeImputer(estimator, max_iter=rounds, random_state=seed)
        return np.asarray(chained.fit_transform(X))


def _soft(X: Array, threshold: float, rounds: int = 100) -> Array:
    observed = ~np.isnan(X)
    filled = np.where(observed, X, 0.0)
    for _ in range(rounds):
        u, s, v = np.linalg.svd(filled, full_matrices=False)
        filled = np.where(observed, X, (u * np.maximum(s - threshold, 0)) @ v)
    return filled


def _expected(X: Array, observed: Array, center: Array, covariance: Array) -> tuple[Array, Array]:
    """Conditional means of the hidden cells, and the sum of their conditional covariances."""
    filled, spread = X.copy(), np.zeros_like(covariance)
    for row, seen in enumerate(observed):
        hidden = ~seen
        if not hidden.any():
            continue
        cross = covariance[np.ix_(hidden, seen)]
        weights = np.linalg.solve(covariance[np.ix_(seen, seen)], cross.T).T
        filled[row, hidden] = center[hidden] + weights @ (X[row, seen] - center[seen])
        spread[np.ix_(hidden, hidden)] += covariance[np.ix_(hidden, hidden)] - weights @ cross.T
    return filled, spread
