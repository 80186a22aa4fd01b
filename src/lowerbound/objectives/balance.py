r"""Columns weighed against each other, so that none drowns the others.

.. math:: w_j \propto H_j^{-b}, \qquad \frac{1}{D} \sum_j w_j = 1

H_j is what a cell of column j costs by its own marginal, in nats and model units: log K for K
equally common levels, some 1.4 for a standardized number. With b = 1 weight times cost is the same
for all columns to begin with; with b = 0 all weights are 1, and the loss is the bound's.
"""

from __future__ import annotations

from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.marginal import marginal_nats
from lowerbound.models import Model

LEAST_NATS = 0.1  # of H: a column that hardly varies gets no more weight than that gives it
MOST_ROWS = 20_000  # that the marginals are taken from


def column_weights(model: Model, dataset: Dataset, balance: float) -> Tensor:
    """w_j of each column, (columns,), mean 1.

    Args:
        model: whose likelihood is weighed.
        dataset: the rows to train on.
        balance: b.

    Raises:
        UnsupportedError: the rows have no columns, or the likelihood no marginal of each.
    """
    likelihood = model.declared_likelihood
    if not dataset.schema.modeled or likelihood is None:
        raise UnsupportedError("only rows of columns can be balanced: leave balance out")
    cost = -marginal_nats(likelihood, dataset.thinned(MOST_ROWS))
    weights = cost.clamp_min(LEAST_NATS).pow(-balance)
    return (weights / weights.mean()).float()
