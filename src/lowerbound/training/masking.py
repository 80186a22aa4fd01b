"""Hiding cells at random in training, so that one model conditions on any part of a row.

A model that has seen complete rows only has an encoder that knows complete rows only. Hidden cells
count as missing: neither encoder nor bound sees them, so the bound is one on what is left.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from lowerbound.data.dataset import Dataset
from lowerbound.trace import Batch
from lowerbound.training.settings.options import TrainingOptions

SHARE = 0.5
"""Of the visits to a row: at these, some of its cells are hidden."""


def hide(batch: Batch, share: float, noise: torch.Generator) -> Batch:
    """The batch with cells hidden: at a share of the rows, each loses a uniformly drawn part.

    Args:
        batch: with data.
        share: of the rows that lose cells, 0 to 1.
        noise: where the choice comes from; moved on.
    """
    x = batch.filled
    rows = (len(x),) + (1,) * (x.dim() - 1)
    chosen = torch.rand(rows, generator=noise, device=x.device) < share
    part = torch.rand(rows, generator=noise, device=x.device)
    # a picture loses whole pixels: with one color seen, the others would be guessed from it
    cells = (len(x), 1, *x.shape[2:]) if x.dim() == 4 else x.shape
    hidden = (torch.rand(cells, generator=noise, device=x.device) < part) & chosen
    hidden = hidden.expand(x.shape)
    known = torch.ones_like(hidden) if batch.observed is None else batch.observed
    return replace(batch, observed=known & ~hidden, withheld=known & hidden)


def masking(options: TrainingOptions, dataset: Dataset) -> float:
    """The share of visits that the options, or the data, ask for."""
    if options.masking is not None:
        return options.masking
    return SHARE if dataset.schema.missing else 0.0
