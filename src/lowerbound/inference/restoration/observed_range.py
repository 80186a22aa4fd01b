"""Imputed means stay near the observed range of their column.

A mean may lie a little outside, where the observed cells of its row do. A mean far outside comes
from a column with a long tail, which a few draws of the model stretch far beyond the data.
"""

from __future__ import annotations

import warnings

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.dataset import Dataset

MARGIN = 0.5  # on each side, of the range


def within_observed(mean: Array, rows: Dataset) -> Array:
    """Imputed means with those far outside the fitted range of their column at its end.

    Args:
        mean: in the data's units, (rows, columns); other shapes are returned unchanged.
        rows: of these means, with the mask of the observed cells.

    Warns:
        UserWarning: a mean was far outside; the message names the columns.
    """
    schema = rows.schema
    ranges = [column.observed for column in schema.columns]
    if mean.shape[1:] != (len(ranges),):
        return mean
    low = np.array([-np.inf if each is None else each[0] for each in ranges])
    high = np.array([np.inf if each is None else each[1] for each in ranges])
    hidden = schema.data_kind.laid_out(schema, ~rows.mask.cpu().numpy())
    room = MARGIN * np.where(np.isfinite(high - low), high - low, 0.0)
    outside = hidden & ((mean < low - room) | (mean > high + room))
    if outside.any():
        names = [repr(schema.columns[place].name) for place in np.flatnonzero(outside.any(0))]
        warnings.warn(
            f"{int(outside.sum()):,} imputed means were far outside the observed range of a column "
            f"({listed(names)}) and are at its end now: for long tails the strategy "
            "'median' is safer",
            UserWarning,
            stacklevel=3,
        )
    return np.asarray(np.where(outside, mean.clip(low, high), mean))
