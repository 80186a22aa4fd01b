"""Classical imputers beside ours: a matrix with NaN in, a filled one and the settings out.

Settings of an imputer are chosen on a tenth of the seen cells, hidden from it. Answers are kept
within limits, so that nothing counts as won against an imputer that diverged.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from _forests import HELD, Settings, miss_forest, tuned_forest
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next line work
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

Array = np.ndarray[Any, Any]
Filled = tuple[Array, Settings]
Imputer = Callable[[Array, int], Filled]
ROUNDS = 10  # of chained ridge regressions
FAR = 10.0  # widths of a column's observed range beyond it, where nothing but divergence leads


def mean(X: Array, seed: int) -> Filled:
    return np.asarray(SimpleImputer().fit_transform(X)), {}


def neighbors(X: Array, seed: int) -> Filled:
    """k-NN, k chosen."""
    return best_of({f"k {k}": partial(_neighbors, k=k) for k in (3, 5, 10, 20, 40)}, X, seed)


def chained_ridge(X: Array, seed: int) -> Filled:
    """Chained equations with Bayesian ridge regression, scikit-learn's default."""
    return chained_equations(X, seed, ROUNDS), {"rounds": ROUNDS}


def chained_equations(X: Array, seed: int, rounds: int) -> Array:
    """scikit-learn's IterativeImputer; answers of every round stay within limits."""
    low, high = limits(X, room=FAR)
    chained = IterativeImputer(max_iter=rounds, random_state=seed, min_value=low, max_value=high)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(chained.fit_transform(X))


def soft_impute(X: Array, seed: int) -> Filled:
    """Nuclear-norm completion (Mazumder et al. 2010), its penalty chosen."""
    shares = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
    largest = float(np.linalg.norm(np.nan_to_num(X), 2))
    return best_of({f"penalty {s}": partial(_soft, threshold=s * largest) for s in shares}, X, seed)


def gaussian_em(X: Array, seed: int) -> Filled:
    """Full-covariance Gaussian by expectation maximization, its ridge chosen."""
    return best_of(
        {f"ridge {r}": partial(_gaussian_em, ridge=r) for r in (1e-3, 1e-2, 1e-1, 0.3)}, X, seed
    )


def published_forest(X: Array, seed: int) -> Filled:
    return miss_forest(X, np.ones(X.shape[1], dtype=bool), seed)


def chosen_forest(X: Array, seed: int) -> Filled:
    return tuned_forest(X, np.ones(X.shape[1], dtype=bool), seed)


CLASSICAL: dict[str, Imputer] = {
    "mean": mean,
    "k-NN": neighbors,
    "chained ridge": chained_ridge,
    "missForest": published_forest,
    "chained forest, tuned": chosen_forest,
    "SoftImpute": soft_impute,
    "Gaussian EM": gaussian_em,
}


def best_of(tried: Mapping[str, Callable[[Array], Array]], X: Array, seed: int) -> Filled:
    """The answer of the setting with the least squared error over hidden seen cells."""
    # a stream of its own: the masks may have been drawn by the very seed
    held = ~np.isnan(X) & (np.random.default_rng([seed, 1]).random(X.shape) < HELD)
    left = np.where(held, np.nan, X)
    errors = [np.square(impute(left) - X)[held].mean() for impute in tried.values()]
    name = list(tried)[int(np.argmin(errors))]
    return tried[name](X), {"chosen": name, "tried": len(tried)}


def limits(given: Array, room: float = 0.0) -> tuple[Array, Array]:
    """The observed range of each column, (columns,) each, with room on either side in its width."""
    low, high = np.nanmin(given, 0), np.nanmax(given, 0)
    width = high - low
    # no width is no room, and scikit-learn asks for some
    tiny = np.where(width > 0, 0.0, 1e-9)
    return low - room * width - tiny, high + room * width + tiny


def within(filled: Array, given: Array, room: float = 0.0) -> tuple[Array, float]:
    """The answers brought to the limits, and the share of them that were outside.

    Raises:
        ValueError: an answer is no number.
    """
    if not np.isfinite(filled).all():
        raise ValueError("an imputer diverged: not all of its answers are numbers")
    kept = np.where(np.isnan(given), np.clip(filled, *limits(given, room)), filled)
    return kept, float((kept != filled)[np.isnan(given)].mean())


def _neighbors(X: Array, k: int) -> Array:
    return np.asarray(KNNImputer(n_neighbors=k).fit_transform(X))


def _gaussian_em(X: Array, ridge: float, rounds: int = 60) -> Array:
    """Conditional means at the end."""
    observed = ~np.isnan(X)
    center = np.nanmean(X, axis=0)
    covariance = np.diag(np.nanvar(X, axis=0))
    filled = X
    for _ in range(rounds):
        filled, spread = _expected(X, observed, center, covariance)
        center = filled.mean(0)
        covariance = np.cov(filled.T, bias=True) + spread / len(X) + ridge * np.eye(X.shape[1])
    return filled


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
