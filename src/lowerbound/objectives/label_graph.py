r"""Label spreading: predict a row's class from the labels of its neighbors in a graph.

.. math:: F \leftarrow \alpha S F + (1 - \alpha) Y, \quad S = D^{-1/2} W D^{-1/2}

(Zhou et al. 2004). The probabilities are then scaled until the classes have their expected shares
(Sinkhorn 1967), and sharpened. Cross-validation on the known labels chooses the number of neighbors
and the sharpness. It also decides whether the graph is used: the graph must predict hidden labels
significantly better than a linear classifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.labels import FOLDS, fewest_labels, label_folds

ALPHA = 0.99  # weight of the neighbors; the row's own label has the rest
ROUNDS = 100
BALANCING = 50
NEIGHBORS = (5, 10, 15)
SHARPNESS = (1.0, 2.0, 4.0, 8.0)
ROWS = 1_000  # rows whose distances are in memory at once
LEAST = 1e-3  # smallest probability of a hidden label, so that no single label decides


@dataclass(frozen=True)
class Spread:
    """The result of label spreading.

    Attributes:
        probability: of each class, (rows, classes), float32.
        gain: nats per hidden label by which the graph is better than the class shares and than a
            linear classifier, less one standard error; NaN if a class has too few labels for one
            in each fold, because cross-validation is then unreliable.
        neighbors, sharpness: the chosen values.
    """

    probability: Tensor
    gain: float
    neighbors: int
    sharpness: float


def spread_labels(features: Tensor, label: Tensor, prior: Tensor, seed: int = 0) -> Spread:
    """Spread labels over the rows.

    Args:
        features: (rows, F), in which distances are meaningful.
        label: class indices, (rows,), -1 where unknown.
        prior: expected shares of the classes, (classes,).
        seed: seed of the folds.
    """
    count = max(n for n in NEIGHBORS)
    distance, index = nearest(features, min(count, len(features) - 1))
    codes, shares = label.cpu().numpy(), prior.double().cpu().numpy()
    known = np.flatnonzero(codes >= 0)
    folds = [fold.cpu().numpy() for fold in label_folds(label, seed=seed)]
    best = np.full(len(known), np.log(LEAST))
    chosen = (min(NEIGHBORS[0], index.shape[1]), 2.0)
    for neighbors in NEIGHBORS:
        if neighbors > index.shape[1] or not folds:
            continue
        graph = _graph(distance, index, neighbors)
        held_out = [_held_out(graph, codes, fold, shares) for fold in folds]
        for sharpness in SHARPNESS:
            found = np.concatenate([_log_probability(p, y, sharpness) for p, y in held_out])
            if found.mean() > best.mean():
                best, chosen = found, (neighbors, sharpness)
    gain = float("nan")
    if fewest_labels(label) >= FOLDS:
        share = np.log(shares[codes[np.concatenate(folds)]])
        line = _linearly(features, codes, folds)
        above = best - max(share, line, key=lambda said: float(said.mean()))
        gain = float(above.mean() - above.std(ddof=1) / len(above) ** 0.5)
    neighbors, sharpness = chosen
    probability = sharpened(_spread(_graph(distance, index, neighbors), codes, shares), sharpness)
    return Spread(torch.from_numpy(probability.astype(np.float32)), gain, neighbors, sharpness)


@torch.no_grad()
def nearest(features: Tensor, count: int) -> tuple[Array, Array]:
    """Distances to the nearest other rows and their indices, (rows, count) each, nearest first."""
    features = features.float()
    squares = features.square().sum(1)
    distances, indices = [], []
    for start in range(0, len(features), ROWS):
        part = features[start : start + ROWS]
        apart = squares - 2 * part @ features.T + squares[start : start + ROWS].unsqueeze(1)
        own = torch.arange(len(part))
        apart[own, own + start] = torch.inf
        found = apart.topk(count, 1, largest=False)
        distances.append(found.values.clamp_min(0).sqrt())
        indices.append(found.indices)
    return torch.cat(distances).cpu().numpy(), torch.cat(indices).cpu().numpy()


def balanced(votes: Array, shares: Array) -> Array:
    """Scale votes to probabilities of each row whose means over the rows are the class shares.

    Classes without a vote have probability 0.
    """
    floor = np.finfo(votes.dtype).tiny
    rows = votes / np.maximum(votes.sum(1, keepdims=True), floor)
    unheard = votes.sum(1) <= floor
    rows[unheard] = shares
    weight = np.ones_like(shares)
    for _ in range(BALANCING):
        scaled = rows * weight
        scaled /= np.maximum(scaled.sum(1, keepdims=True), floor)
        weight *= shares / np.maximum(scaled.mean(0), 1e-9)
    answer: Array = scaled
    return answer


def sharpened(probability: Array, power: float) -> Array:
    """p^power, normalized again."""
    raised = probability**power
    answer: Array = raised / raised.sum(1, keepdims=True)
    return answer


def _graph(distance: Array, index: Array, neighbors: int) -> Any:
    """S, sparse: weights fall with the distance relative to that of the last neighbor."""
    from scipy import sparse

    near, rows = distance[:, :neighbors], len(distance)
    scale = np.maximum(near[:, -1:], 1e-12)
    weight = np.exp(-4 * np.square(near / scale)).astype(np.float32)
    source = np.repeat(np.arange(rows), neighbors)
    one_way = sparse.csr_matrix(
        (weight.ravel(), (source, index[:, :neighbors].ravel())), shape=(rows, rows)
    )
    both = one_way.maximum(one_way.T)
    root = sparse.diags(np.asarray(both.sum(1)).ravel() ** -0.5)
    return (root @ both @ root).astype(np.float32)


def _spread(graph: Any, codes: Array, shares: Array) -> Array:
    """Balanced probabilities of every row, (rows, classes)."""
    given = np.zeros((len(codes), len(shares)), np.float32)
    known = np.flatnonzero(codes >= 0)
    given[known, codes[known]] = 1.0
    votes = given
    for _ in range(ROUNDS):
        votes = ALPHA * (graph @ votes) + (1 - ALPHA) * given
    answer: Array = balanced(votes.astype(np.float64), shares)
    return answer


def _held_out(graph: Any, codes: Array, fold: Array, shares: Array) -> tuple[Array, Array]:
    """Probabilities of the fold's rows with their labels hidden, and these labels."""
    hidden = codes.copy()
    hidden[fold] = -1
    return _spread(graph, hidden, shares)[fold], codes[fold]


def _linearly(features: Tensor, codes: Array, folds: list[Array]) -> Array:
    """Log-probability of each hidden label by logistic regression on the other labels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.flatnonzero(codes >= 0)
    x = features[torch.from_numpy(known)].double().cpu().numpy()
    found = []
    for fold in folds:
        hidden = np.searchsorted(known, fold)
        seen = np.setdiff1d(np.arange(len(known)), hidden)
        learner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
        learner.fit(x[seen], codes[known[seen]])
        probability = np.zeros((len(fold), int(codes.max()) + 1))
        probability[:, learner.classes_] = learner.predict_proba(x[hidden])
        found.append(_log_probability(probability, codes[fold], 1.0))
    answer: Array = np.concatenate(found)
    return answer


def _log_probability(probability: Array, codes: Array, power: float) -> Array:
    found: Array = np.log(sharpened(probability, power)[np.arange(len(codes)), codes] + LEAST)
    return found
