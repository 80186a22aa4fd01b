r"""Disentanglement: whether each unit stands for one known factor of the rows.

- **MIG**, mutual information gap (Chen et al. 2018): information of the best unit on a factor minus
  that of the second best, as a share of the factor's entropy,

  .. math:: \frac{1}{K} \sum_k \frac{I(z_{j(k)}; v_k) - \max_{j \ne j(k)} I(z_j; v_k)}{H(v_k)}

- **DCI** (Eastwood & Williams 2018): a forest predicts each factor from all units. Disentanglement:
  each unit matters for one factor; completeness: one unit determines each factor; informativeness:
  how often the forest is right.
- **SAP**, separated attribute predictability (Kumar et al. 2018): how much better a linear
  classifier predicts a factor from the best unit alone than from the second best.

All three measure units and not spaces: a rotation of perfect codes loses nothing and scores low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.classical.linear_regression import small_fit
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.inference.estimate import Skipped

BINS = 20
MOST_ROWS = 4_000
FEWEST_ROWS = 100
TREES = 20
LEAST_LEAF = 5  # rows; deeper trees learn noise, and noise units would seem important


@dataclass(frozen=True)
class Disentanglement:
    """Agreement of units and factors; 0 to 1, higher is better.

    Attributes:
        rows: number of rows used.
        names: names of the factors that vary.
        mig: mutual information gap, the mean over factors.
        gaps: gap of each factor.
        disentanglement: first score of DCI, the mean over units weighted by importance; None for
            one factor, of which it says nothing.
        completeness: second score of DCI, the mean over factors; None for one unit.
        informativeness: third score of DCI, held-out accuracy of the forest, the mean over factors.
        chance: accuracy of always predicting a factor's most frequent value.
        sap: separated attribute predictability, the mean over factors; accuracies are rescaled so
            that chance is 0, which leaves 1 for units that are the factors.
        information: I(z_j; v_k) / H(v_k), (latent_dim, factors).
        importance: of each unit for each factor, (latent_dim, factors); columns sum to 1.
    """

    rows: int
    names: tuple[str, ...]
    mig: float
    gaps: tuple[float, ...]
    disentanglement: float | None
    completeness: float | None
    informativeness: float
    chance: float
    sap: float
    information: Array
    importance: Array

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "rows": self.rows,
            "mig": self.mig,
            "mig_by_factor": dict(zip(self.names, self.gaps, strict=True)),
            "dci": {
                "disentanglement": self.disentanglement,
                "completeness": self.completeness,
                "informativeness": self.informativeness,
                "chance": self.chance,
                "predictor": f"random forest of {TREES} trees",
            },
            "sap": self.sap,
            "information": self.information.tolist(),
            "importance": self.importance.tolist(),
        }


def disentanglement_quality(
    codes: Tensor, factors: Tensor | None, names: tuple[str, ...] = (), seed: int = 0
) -> Disentanglement | Skipped:
    """The measures, or the reason why there are none; arguments as below."""
    if factors is None:
        return Skipped(
            "MIG, DCI and SAP need the causes of each row, which are unknown for this data (the "
            "named set sprites has them)"
        )
    if bool((factors < 0).any()):
        return Skipped("MIG, DCI and SAP need the causes of every row, and some are unknown")
    try:
        return disentanglement(codes, factors, names, seed)
    except DataError as error:
        return Skipped(str(error))


def disentanglement(
    codes: Tensor, factors: Tensor, names: tuple[str, ...] = (), seed: int = 0
) -> Disentanglement:
    """All three measures; at most 4,000 rows are used, drawn by ``seed``.

    Args:
        codes: posterior means, (rows, latent_dim).
        factors: whole numbers, (rows, factors).
        names: names of the factors, by default their numbers; constant ones are left out.
        seed: seed of the rows, the halves for training and for testing, and the forests.

    Raises:
        DataError: no factor varies, or fewer than 100 rows.
    """
    z, v, kept = _used(codes, factors, names, seed)
    information = normalized_information(z, v)
    importance, informativeness = forest_importance(z, v, seed)
    gaps = _lead(information)
    return Disentanglement(
        rows=len(z),
        names=kept,
        mig=float(gaps.mean()),
        gaps=tuple(gaps.tolist()),
        disentanglement=_concentration(importance),
        completeness=_concentration(importance.T),
        informativeness=float(informativeness.mean()),
        chance=float(np.mean([_chance(column) for column in v.T])),
        sap=float(_lead(single_unit_scores(z, v, seed)).mean()),
        information=information,
        importance=importance,
    )


def normalized_information(codes: Array, factors: Array, bins: int = BINS) -> Array:
    """I(z_j; v_k) / H(v_k), (latent_dim, factors), of codes in bins of equal width.

    There are at least as many bins as a factor has values, so that a unit equal to the factor can
    separate all of them.
    """
    bins = max(bins, *(len(np.unique(column)) for column in factors.T))
    binned = [_binned(column, bins) for column in codes.T]
    values = [np.unique(column, return_inverse=True)[1] for column in factors.T]
    return np.array(
        [[_information(z, v) / _entropy(np.bincount(v)) for v in values] for z in binned]
    )


def forest_importance(codes: Array, factors: Array, seed: int = 0) -> tuple[Array, Array]:
    """Importance of units for factors, (latent_dim, factors), and held-out accuracy, (factors,).

    A forest considers all units at each split. If it considered only some of them, it would have to
    split by units without information.
    """
    from sklearn.ensemble import RandomForestClassifier

    learn, test = _halves(len(codes), seed)
    columns, accuracies = [], []
    for factor in factors.T:
        forest = RandomForestClassifier(
            TREES, max_features=None, min_samples_leaf=LEAST_LEAF, random_state=seed
        )
        with small_fit():
            forest.fit(codes[learn], factor[learn])
        columns.append(forest.feature_importances_)
        accuracies.append(float((forest.predict(codes[test]) == factor[test]).mean()))
    return np.stack(columns, axis=1), np.array(accuracies)


def single_unit_scores(codes: Array, factors: Array, seed: int = 0) -> Array:
    """How well each unit alone predicts each factor, (latent_dim, factors).

    (accuracy - chance) / (1 - chance) of linear discriminant analysis on held-out rows, at least 0.
    """
    learn, test = _halves(len(codes), seed)
    return np.array(
        [
            [_single(unit[learn], factor[learn], unit[test], factor[test]) for factor in factors.T]
            for unit in codes.T
        ]
    )


def _used(
    codes: Tensor, factors: Tensor, names: tuple[str, ...], seed: int
) -> tuple[Array, Array, tuple[str, ...]]:
    """Rows and factors that are used."""
    z, v = codes.double().cpu().numpy(), factors.cpu().numpy()
    if len(z) < FEWEST_ROWS:
        raise DataError(
            f"at least {FEWEST_ROWS} rows are needed for MIG, DCI and SAP, and there are {len(z)}"
        )
    if len(z) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(z), MOST_ROWS, replace=False))
        z, v = z[rows], v[rows]
    varying = [k for k in range(v.shape[1]) if len(np.unique(v[:, k])) > 1]
    if not varying:
        raise DataError("none of the known factors varies, so there is nothing to disentangle")
    return z, v[:, varying], tuple(names[k] if names else str(k) for k in varying)


def _binned(column: Array, bins: int) -> Array:
    """The bin of each code; bins of equal width from the smallest to the largest code."""
    low, high = column.min(), column.max()
    if not high > low:
        return np.zeros(len(column), dtype=np.int64)
    share = (column - low) / (high - low)
    place: Array = np.minimum((share * bins).astype(np.int64), bins - 1)
    return place


def _information(a: Array, b: Array) -> float:
    """Mutual information of two columns of small whole numbers, nats."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1)
    entropies = _entropy(joint.sum(1)) + _entropy(joint.sum(0)) - _entropy(joint.ravel())
    return max(entropies, 0.0)


def _entropy(counts: Array) -> float:
    """Entropy of counts, nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _lead(scores: Array) -> Array:
    """Difference between the best unit and the second best for each factor, (factors,)."""
    ordered = np.sort(scores, axis=0)
    second = ordered[-2] if len(scores) > 1 else np.zeros(scores.shape[1])
    lead: Array = ordered[-1] - second
    return lead


def _concentration(importance: Array) -> float | None:
    """1 minus the normalized entropy of each row, weighted by the rows' shares.

    1: every row has one entry; 0: all entries of a row are equal, or all are 0. None: rows of one
    entry cannot be spread.
    """
    total = importance.sum(1)
    if importance.shape[1] < 2:
        return None
    if not total.sum() > 0:
        return 0.0
    rows = importance[total > 0]
    entropies = np.array([_entropy(row) for row in rows]) / np.log(importance.shape[1])
    return float(((1 - entropies) * rows.sum(1)).sum() / total.sum())


def _single(learn: Array, known: Array, test: Array, true: Array) -> float:
    """The score of one unit for one factor."""
    chance = _chance(true)
    if not learn.std() > 0 or chance == 1:
        return 0.0
    right = float((_discriminant(learn, known, test) == true).mean())
    return max((right - chance) / (1 - chance), 0.0)


def _discriminant(learn: Array, known: Array, test: Array) -> Array:
    """Linear discriminant analysis of one number: one Gaussian per value, of one variance."""
    values, place, counts = np.unique(known, return_inverse=True, return_counts=True)
    mean = np.bincount(place, learn) / counts
    # a unit equal to the factor has no variance within a value
    variance = max(float(np.square(learn - mean[place]).mean()), 1e-6 * float(learn.var()))
    scores = (test[:, None] * mean - 0.5 * mean**2) / variance + np.log(counts / counts.sum())
    found: Array = values[scores.argmax(1)]
    return found


def _chance(factor: Array) -> float:
    """Share of the most frequent value."""
    return float(np.unique(factor, return_counts=True)[1].max() / len(factor))


def _halves(rows: int, seed: int) -> tuple[Array, Array]:
    order = np.random.default_rng(seed).permutation(rows)
    return order[: rows // 2], order[rows // 2 :]
