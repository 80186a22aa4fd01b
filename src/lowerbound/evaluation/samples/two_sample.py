"""The classifier two-sample test: can a classifier distinguish real rows from samples?

A small classifier learns from half of both sets and is tested on the other half.
If both sets are alike, it is right half of the time. The p-value is exact: the labels of the test
rows are then exchangeable, so the number of real rows among those that it predicts as
real is hypergeometric. Source: Lopez-Paz & Oquab 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.classical.small_fits import small_fit
from lowerbound.data.arrays import Array
from lowerbound.evaluation.samples.distances import require_rows
from lowerbound.inference.estimate import Estimate

FEWEST = 20
HIDDEN_UNITS = 32


@dataclass(frozen=True)
class TwoSample:
    """Result of the two-sample test.

    Attributes:
        accuracy: accuracy on unseen rows, with its binomial standard error; ideal 0.5.
        p_value: probability of at least this many right predictions if both sets are alike.
        rows: number of test rows, half of them real.
    """

    accuracy: Estimate
    p_value: float
    rows: int


def two_sample_test(real: Tensor, samples: Tensor, *, seed: int = 0) -> TwoSample:
    """Test with a network of one layer of 32 units.

    Args:
        real: (rows, width).
        samples: (rows, width); surplus rows of the larger set are left out.
        seed: seed of the rows used, the halves and the fit.

    Raises:
        DataError: fewer than 20 rows of either; the message gives the required number.
    """
    require_rows("a two-sample test", FEWEST, real, samples)
    training, testing = _halves(real, samples, seed)
    called_real = _classifier(seed, *training).predict(testing[0]) == 1
    right = int((called_real == (testing[1] == 1)).sum())
    rows = len(called_real)
    accuracy = right / rows
    error = math.sqrt(accuracy * (1 - accuracy) / rows)
    found = int((called_real & (testing[1] == 1)).sum())
    return TwoSample(Estimate(accuracy, error), p_value(found, int(called_real.sum()), rows), rows)


def p_value(found: int, called_real: int, rows: int) -> float:
    """P(at least ``found`` real rows among the ``called_real``), labels permuted over the rows.

    Args:
        found: real rows among those predicted as real.
        called_real: rows predicted as real.
        rows: all rows, half of them real.
    """
    from scipy.stats import hypergeom

    return float(min(hypergeom.sf(found - 1, rows, rows // 2, called_real), 1.0))


def _halves(
    real: Tensor, samples: Tensor, seed: int
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(rows, 1 if real) for training, and for testing; as many real rows as samples."""
    half = min(len(real), len(samples)) // 2
    generator = torch.Generator().manual_seed(seed)
    chosen = [
        rows[torch.randperm(len(rows), generator=generator)[: 2 * half]].double().cpu()
        for rows in (real, samples)
    ]
    label = np.repeat([1, 0], half)
    first, second = (
        torch.cat([rows[part] for rows in chosen]).numpy()
        for part in (slice(0, half), slice(half, None))
    )
    return (first, label), (second, label)


def _classifier(seed: int, x: Array, y: Array) -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier(
        (HIDDEN_UNITS,), alpha=0.1, learning_rate_init=5e-3, max_iter=60, random_state=seed
    )
    with small_fit():
        return make_pipeline(StandardScaler(), network).fit(x, y)
