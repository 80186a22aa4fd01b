"""Codes as features: a linear probe, clusters, neighbors, and a grid over two latent units.

The prior gives each cell of the grid the same probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.classical.linear_regression import small_fit
from lowerbound.data.arrays import Array
from lowerbound.distributions.keyed_noise import seeded_draw
from lowerbound.distributions.reparameterization import base_normal
from lowerbound.evaluation.aggregate import Units
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.models.powers import HasPrior

PRIOR_DRAWS = 10_000  # for the quantiles of the grid
TAIL = 0.02  # of the prior on each side that the grid leaves out
MOST_ROWS = 5_000  # of the probe
FOLDS = 5  # of its cross-validation
NEIGHBORS = 10  # of a code


@dataclass(frozen=True)
class LatentGrid:
    """Codes on a plane.

    Attributes:
        z: (up, right, latent_dim); the first unit runs to the right, the second upwards.
        ticks: the units' values along the two axes, (2, right).
        names: names of the two units.
    """

    z: Tensor
    ticks: np.ndarray[Any, Any]
    names: tuple[str, str]


def latent_grid(model: HasPrior, units: Units, size: int) -> LatentGrid:
    """The grid over the two units with the highest rates (units 1 and 2 if there are only two).

    The other units have the prior's mean. Quantiles run from 2 % to 98 %.
    """
    with torch.no_grad():
        prior = model.prior_distribution()
    center, quantiles = _quantiles(prior, torch.linspace(TAIL, 1 - TAIL, size).double())
    dims = len(center)
    first, second = (0, 1) if dims == 2 else units.order[:2].tolist()
    z = center.repeat(size, size, 1)
    z[..., first] = quantiles[:, first].unsqueeze(0)
    z[..., second] = quantiles[:, second].unsqueeze(1)
    ticks = torch.stack([quantiles[:, first], quantiles[:, second]]).numpy()
    return LatentGrid(z, ticks, (f"z{first + 1}", f"z{second + 1}"))


def _quantiles(prior: Distribution, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The prior's mean, (latent_dim,), and each unit's quantiles, (levels, latent_dim)."""
    base = base_normal(prior)
    if base is not None:
        loc, scale = base.loc[0, 0].double().cpu(), base.scale[0, 0].double().cpu()
        return loc, loc + scale * torch.special.ndtri(levels).unsqueeze(1)
    draws = seeded_draw(prior, PRIOR_DRAWS, 0)[:, 0].double().cpu()
    return draws.mean(0), torch.quantile(draws, levels, dim=0)


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
