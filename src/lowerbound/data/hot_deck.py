"""Hot-deck imputation: hidden cells take the values of other rows."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.trace import Batch


def hot_deck(batch: Batch) -> Tensor:
    """Fill each hidden cell of x from the nearest row above (else below) that observes it.

    Every column keeps its marginal. A column without observed cells contains zeros.
    """
    if batch.observed is None:
        return batch.filled
    x, seen = batch.filled.flatten(1), batch.observed.flatten(1)
    row = torch.arange(len(x)).unsqueeze(1)
    above = torch.where(seen, row, -1).cummax(0).values
    first = torch.where(seen, row, len(x)).amin(0).clamp_max(len(x) - 1)
    source = torch.where(above < 0, first, above)
    return x.gather(0, source).reshape(batch.filled.shape)
