r"""Logistic regression of a yes-or-no answer on numbers: p(yes | f) = sigmoid(w f + b)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowerbound.classical.small_fits import small_fit

Array = np.ndarray[Any, Any]


def fit_logistic(features: Array, yes: Array) -> tuple[Array, float]:
    """Weights w, (features,), and intercept b.

    The penalty is |w|^2 / 2 on standardized features. The weights are
    zero if all answers are the same, and where a feature does not vary.

    Args:
        features: (rows, features).
        yes: (rows,), booleans.
    """
    from sklearn.linear_model import LogisticRegression

    weights = np.zeros(features.shape[1])
    shift, scale = features.mean(0), features.std(0)
    varies = scale > 0
    if yes.all() or not yes.any() or not varies.any():
        return weights, 0.0
    with small_fit():
        found = LogisticRegression(max_iter=300)
        found.fit((features[:, varies] - shift[varies]) / scale[varies], yes)
    weights[varies] = found.coef_[0] / scale[varies]
    return weights, float(found.intercept_[0] - weights @ shift)
