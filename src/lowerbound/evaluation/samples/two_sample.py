"""The classifier two-sample test: can a classifier distinguish real rows from samples?

A small classifier learns from half of both which is which and is tested on the other half.
Where the two are alike it is right half of the time. The p-value is exact: the labels of the rows
of the test are exchangeable if the two are alike, so the number of real rows among
those that it calls real is hypergeometric. Source: Lopez-Paz & Oquab 2017.
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
    """A classifier's answer to "real or not?".

    Attributes:
        accuracy: on rows it has not learned from, with its binomial standard error; ideal 0.5.
        p_value: chance of so many right answers or more where the two are alike.
        rows: rows of the test, half of them real.
    """

    accuracy: Estimate
    p_value: float
    rows: int


def two_sample_test(real: Tensor, samples: Tensor, *, seed: int = 0) -> TwoSample:
    """Test with a network of one layer of 32 units.

    Args:
        real: (rows, width).
        samples: (rows, width); where one set has more rows, some of them are left out.
        seed: of the rows used, the halves and the fit.

    Raises:
        DataError: fewer than 20 rows of either; says how many are needed.
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
        found: real rows among those called real.
        called_real: rows called real.
        rows: rows in all, half of them real.
    """
    from scipy.stats import hypergeom

    return float(min(hypergeom.sf(found - 1, rows, rows // 2, called_real), 1.0))


def _halves(
    real: Tensor, samples: Tensor, seed: int
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(rows, 1 where real) for training, and for testing; as many of either kind."""
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
