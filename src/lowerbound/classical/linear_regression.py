r"""Small linear fits: a pool of predictors, logistic regression, and scikit-learn's on one thread.

The pool has the weights that make answers for hidden labels likeliest (Stone 1961; Wolpert 1992):

.. math:: p(y \mid x) = \sum_k w_k\, p_k(y \mid x), \quad w \ge 0, \quad \sum_k w_k = 1

A Dirichlet prior keeps the weights near their prior values while labels are few. Logistic
regression of a yes-or-no answer on numbers is p(yes | f) = sigmoid(w f + b).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]
ROUNDS = 500  # of expectation and maximization


@contextmanager
def small_fit() -> Iterator[None]:
    """Context of a fit by scikit-learn on few rows: one thread, no convergence warnings.

    More threads are hardly faster on small matrices and on boosted trees of a few thousand rows.
    They wait for each other after every step, so if another program uses one of the cores, a fit
    takes many times as long (``benchmarks/busy_core.py``).
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


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


def pool_weights(right: Tensor, prior: Tensor, strength: float) -> Tensor:
    r"""The weights of the highest posterior density.

    .. math:: \arg\max_w\; \sum_n \log \sum_k w_k\, p_{kn} + s \sum_k \pi_k \log w_k

    The objective is concave, and each round of expectation and maximization increases it.

    Args:
        right: p_kn, what member k says of the true answer n, (members, answers).
        prior: pi, positive, with the sum 1, (members,).
        strength: s, the number of answers that the prior counts as.
    """
    weights = prior.clone()
    for _ in range(ROUNDS):
        share = weights.unsqueeze(1) * right
        share = share / share.sum(0).clamp_min(torch.finfo(share.dtype).tiny)
        weights = (share.sum(1) + strength * prior) / (right.shape[1] + strength)
    return weights / weights.sum()


def averaged_weights(
    right: Tensor, prior: Tensor, strength: float, alone: float, least: float = 0.0
) -> Tensor:
    r"""The weights of the average of the pool and of each member alone, by their probability.

    .. math:: p(M \mid \text{answers}) \propto p(M) \prod_n p_{Mn}

    A strong prior keeps some weight at members that are clearly worse than another. Here the pool
    and the members alone are models of their own, and the average of their answers is a linear pool
    again (Hoeting et al. 1999). p_Mn is the probability that model M gives to the true answer n.

    Args:
        right, prior, strength: as for ``pool_weights``.
        alone: prior probability of all members alone together, shared among them as ``prior``.
        least: added to the probability of an answer, so that no single one decides.
    """
    weights = pool_weights(right, prior, strength)
    models = torch.cat([weights.unsqueeze(0), torch.eye(len(prior), dtype=prior.dtype)])
    fit = (models @ right + least).log().sum(1)
    belief = torch.cat([torch.full((1,), 1 - alone, dtype=prior.dtype), alone * prior])
    return (fit + belief.log()).softmax(0) @ models
