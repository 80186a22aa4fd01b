"""Codes as features: a linear probe, clusters and neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lowerbound.classical.small_fits import small_fit
from lowerbound.data.arrays import Array
from lowerbound.inference.estimate import Estimate, Skipped

MOST_ROWS = 5_000
FOLDS = 5
NEIGHBORS = 10


@dataclass(frozen=True)
class FeatureQuality:
    """Agreement of the codes with labels that the model has not seen.

    Attributes:
        rows: labeled rows used.
        probe: accuracy of logistic regression on standardized codes; mean over folds.
        chance: share of the most frequent class, the accuracy of a guess.
        adjusted_mutual_information, adjusted_rand: agreement of k-means clusters, one per class,
            with the labels; 0 by chance, 1 for perfect agreement.
        purity: share of a row's 10 nearest neighbors that have its label.
    """

    rows: int
    probe: Estimate
    chance: float
    adjusted_mutual_information: float
    adjusted_rand: float
    purity: float


def feature_quality(codes: Tensor, label: Tensor | None, seed: int = 0) -> FeatureQuality | Skipped:
    """Measure the codes, (rows, latent_dim), against labels, (rows,), -1 if unknown.

    At most 5,000 labeled rows are used, drawn by ``seed``, of the classes with enough rows for
    every fold.
    """
    if label is None:
        return Skipped("the data has no labels")
    x, y = labelled(codes.double().cpu().numpy(), label.cpu().numpy(), seed)
    found, counts = np.unique(y, return_counts=True)
    often = np.isin(y, found[counts >= FOLDS])
    x, y, counts = x[often], y[often], counts[counts >= FOLDS]
    if len(counts) < 2:
        return Skipped(f"needs two classes of at least {FOLDS} rows each")
    with small_fit():
        mutual, rand = _clusters(x, y, len(counts), seed)
        return FeatureQuality(
            rows=len(y),
            probe=_probe(x, y, seed),
            chance=float(counts.max() / counts.sum()),
            adjusted_mutual_information=mutual,
            adjusted_rand=rand,
            purity=_purity(x, y),
        )


def labelled(x: Array, y: Array, seed: int, most: int = MOST_ROWS) -> tuple[Array, Array]:
    """Rows with a known label, at most ``most`` of them, drawn by ``seed``."""
    known = np.flatnonzero(y >= 0)
    if len(known) > most:
        known = np.sort(np.random.default_rng(seed).choice(known, most, replace=False))
    return x[known], y[known]


def _probe(x: Array, y: Array, seed: int) -> Estimate:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    accuracy = cross_val_score(model, x, y, cv=folds)
    return Estimate(float(accuracy.mean()), float(accuracy.std(ddof=1) / np.sqrt(FOLDS)))


def _clusters(x: Array, y: Array, classes: int, seed: int) -> tuple[float, float]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    found = KMeans(classes, n_init=4, random_state=seed).fit_predict(x)
    return float(adjusted_mutual_info_score(y, found)), float(adjusted_rand_score(y, found))


def _purity(x: Array, y: Array) -> float:
    from sklearn.neighbors import NearestNeighbors

    neighbors = min(NEIGHBORS, len(x) - 1)
    nearest = NearestNeighbors(n_neighbors=neighbors + 1).fit(x).kneighbors(x)[1]
    # a row is its own nearest neighbor, or ties with a duplicate of itself
    own = nearest == np.arange(len(x))[:, None]
    own[~own.any(1), -1] = True
    return float((y[nearest] == y[:, None])[~own].mean())
