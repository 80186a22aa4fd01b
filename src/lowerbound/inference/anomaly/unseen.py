r"""Values that the fit did not see: a new level, or another value in a constant column.

The model cannot score such a cell, so it counts as missing there. Its cost is the surprise at any
new value of that column, by the estimate of Good and Turing (Good 1953): if n1 of the n normal
cells have a value that no other cell has,

.. math:: -\log p = \log \frac{n + 1}{n_1 + 1} + \log(1 + d)

An ordered number lies d ranges of the fitted numbers outside of these; for other values d is 0.
"""

from __future__ import annotations

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset


def unseen_costs(dataset: Dataset) -> Array | None:
    """Nats of a new value in each column of the schema, (columns,), by normal rows of a table;
    None for other data."""
    columns = dataset.schema.columns
    if not columns:
        return None
    costs = np.full(len(columns), np.log(len(dataset) + 1.0))
    values, observed = dataset.x.cpu().numpy(), dataset.mask.cpu().numpy()
    modeled = [place for place, column in enumerate(columns) if column.modeled]
    for position, place in enumerate(modeled):
        if columns[place].levels:
            codes = np.rint(values[observed[:, position], position]).astype(np.int64)
            once = (np.unique(codes, return_counts=True)[1] == 1).sum()
            costs[place] = np.log((len(codes) + 1) / (once + 1))
    return costs


def unseen_nats(unseen: Array, costs: Array) -> Array:
    """Nats of the values that the fit did not see, (rows, columns).

    Args:
        unseen: as in ``Dataset``.
        costs: of a new value of each column.
    """
    return np.asarray(np.where(unseen > 0, costs + np.log(np.maximum(unseen, 1.0)), 0.0))
