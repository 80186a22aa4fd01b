"""Imputed means stay inside the observed range of their column.

Every average of observed values lies inside it. A mean outside comes from the tail of a column that
a few draws of the model stretch far beyond the data.
"""

from __future__ import annotations

import warnings

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.schema import Schema


def within_observed(mean: Array, hidden: Array, schema: Schema) -> Array:
    """Imputed means with those outside the fitted range of their column at its end.

    Args:
        mean: in the data's units, (rows, columns); other shapes are returned unchanged.
        hidden: mask of the imputed cells, like ``mean``.
        schema: of the fit.

    Warns:
        UserWarning: a mean was outside; the message names the columns.
    """
    ranges = [column.observed for column in schema.columns]
    if mean.shape[1:] != (len(ranges),):
        return mean
    low = np.array([-np.inf if each is None else each[0] for each in ranges])
    high = np.array([np.inf if each is None else each[1] for each in ranges])
    inside = mean.clip(low, high)
    slack = 1e-6 * np.where(np.isfinite(high - low), high - low, 0.0)
    outside = hidden & ((mean < low - slack) | (mean > high + slack))
    if outside.any():
        names = [repr(schema.columns[place].name) for place in np.flatnonzero(outside.any(0))]
        warnings.warn(
            f"{int(outside.sum()):,} imputed means were outside the observed range of their column "
            f"({listed(names)}) and are at its end now: for columns with long tails the strategy "
            "'median' is safer",
            UserWarning,
            stacklevel=3,
        )
    return np.asarray(np.where(hidden, inside, mean))
