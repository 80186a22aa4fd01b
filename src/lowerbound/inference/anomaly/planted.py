"""Planted anomalies: normal rows of a table with cells of other rows.

A fifth of the cells of each row, at least one, comes from other rows. Every cell is then usual, and
the row is not, so a score finds it only if it knows how the columns depend on each other.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from lowerbound.data.dataset import Dataset

SHARE = 0.2  # of the cells of a row


def with_planted_cells(rows: Dataset, seed: int) -> Dataset:
    """The rows of a table with planted cells; equal cells may be exchanged for each other.

    Args:
        rows: at least two normal rows.
        seed: of the draws.
    """
    draws = torch.Generator().manual_seed(seed)
    count, columns = len(rows), rows.x.shape[1]
    at = torch.rand(count, columns, generator=draws) < SHARE
    at[torch.arange(count), torch.randint(columns, (count,), generator=draws)] = True
    other = torch.randint(1, count, (count, columns), generator=draws)
    other = (torch.arange(count)[:, None] + other) % count
    x = torch.where(at, rows.x.gather(0, other), rows.x)
    observed = rows.observed
    if observed is not None:
        observed = torch.where(at, observed.gather(0, other), observed)
    return replace(rows, x=x, observed=observed, unseen=None, beyond=None)
