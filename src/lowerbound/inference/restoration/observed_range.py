"""Imputed means stay near the observed range of their column.

A mean may lie a little outside, where the observed cells of its row do. A mean far outside comes
from a column with a long tail, which a few draws of the model stretch far beyond the data.
"""

from __future__ import annotations

import warnings

import numpy as np

from lowerbound.data.arrays import Array, listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.determined import determined

MARGIN = 0.5  # on each side, of the range


def within_observed(mean: Array, rows: Dataset) -> Array:
    """Imputed means with those far outside the fitted range of their column at its end.

    Args:
        mean: in the data's units, (rows, columns); other shapes are returned unchanged.
        rows: of these means, with the mask of the observed cells.

    Warns:
        UserWarning: a mean was far outside; the message names the columns.
    """
    moved = MovedMeans()
    inside = moved.within(mean, rows)
    moved.warn()
    return inside


class MovedMeans:
    """Imputed means far outside the fitted range of their column, counted over parts of a table."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def within(self, mean: Array, rows: Dataset) -> Array:
        """The means of some rows, as ``within_observed`` returns them."""
        schema = rows.schema
        ranges = [column.observed for column in schema.columns]
        if mean.shape[1:] != (len(ranges),):
            return mean
        low = np.array([-np.inf if each is None else each[0] for each in ranges])
        high = np.array([np.inf if each is None else each[1] for each in ranges])
        hidden = schema.data_kind.laid_out(schema, ~rows.mask.cpu().numpy())
        room = MARGIN * np.where(np.isfinite(high - low), high - low, 0.0)
        outside = hidden & ((mean < low - room) | (mean > high + room))
        certain = determined(rows) if outside.any() else None
        if certain is not None:
            outside &= np.isnan(certain)
        for place in np.flatnonzero(outside.any(0)):
            name = schema.columns[place].name
            self._counts[name] = self._counts.get(name, 0) + int(outside[:, place].sum())
        return np.asarray(np.where(outside, mean.clip(low, high), mean))

    def warn(self) -> None:
        """Warn of the means that were moved; the message names their columns."""
        if self._counts:
            warnings.warn(
                f"{sum(self._counts.values()):,} imputed means were far outside the observed range "
                f"of a column ({listed([repr(name) for name in self._counts])}) and are at its end "
                "now: for long tails the strategy 'median' is safer",
                UserWarning,
                stacklevel=4,
            )
