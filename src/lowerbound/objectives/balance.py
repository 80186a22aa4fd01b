r"""Weights that balance the columns of a table in the loss.

.. math:: w_j \propto H_j^{-b}, \qquad \frac{1}{D} \sum_j w_j = 1

H_j is the mean cost of a cell of column j under its marginal, in nats and model units: log K for K
equally frequent levels, about 1.4 for a standardized number. With b = 1, weight times cost is equal
for all columns at the start of training; with b = 0, all weights are 1.
"""

from __future__ import annotations

from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.marginal import marginal_nats
from lowerbound.models import Model

LEAST_NATS = 0.1  # smallest H, which bounds the weight of a column that hardly varies
MOST_ROWS = 20_000  # most rows that the marginals are estimated from


def column_weights(model: Model, dataset: Dataset, balance: float) -> Tensor:
    """w_j of each column, (columns,), mean 1.

    Args:
        model: the model; its likelihood gives the marginals.
        dataset: the rows to train on.
        balance: b.

    Raises:
        UnsupportedError: the rows have no columns, or the likelihood has no marginals.
    """
    likelihood = model.declared_likelihood
    if not dataset.schema.modeled or likelihood is None:
        raise UnsupportedError("only rows of columns can be balanced: leave balance out")
    cost = -marginal_nats(likelihood, dataset.thinned(MOST_ROWS))
    weights = cost.clamp_min(LEAST_NATS).pow(-balance)
    return (weights / weights.mean()).float()
