"""The order of the rows: one shuffle after another, cut into batches of one size."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.training.checkpoints.randomness import stream_seed


class DataOrder:
    """An endless stream of row numbers, a new shuffle for each pass over the data.

    ::

        | shuffle 0          | shuffle 1          | ...
        | batch 0 | batch 1 | batch 2 | batch 3 | ...

    A batch may end one pass and begin the next, so all have the same size (nothing is compiled
    twice) and every row is seen equally often. A batch is a function of seed and number, so a run
    can go on anywhere.

    Args:
        rows: number of rows.
        batch_size: at most ``rows``.
        seed: of the shuffles.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self._shuffle: tuple[int, Tensor] | None = None

    def batch(self, number: int) -> Tensor:
        """Row numbers of the batch with that number, counted from 0, (batch_size,)."""
        epoch, start = divmod(number * self.batch_size, self.rows)
        end = start + self.batch_size
        here = self._permutation(epoch)[start:end]
        if end <= self.rows:
            return here
        return torch.cat((here, self._permutation(epoch + 1)[: end - self.rows]))

    def epoch(self, batches: int) -> float:
        """Passes over the data after that many batches."""
        return batches * self.batch_size / self.rows

    def _permutation(self, epoch: int) -> Tensor:
        if self._shuffle is None or self._shuffle[0] != epoch:
            seeded = torch.Generator().manual_seed(stream_seed(self.seed, f"order {epoch}"))
            self._shuffle = epoch, torch.randperm(self.rows, generator=seeded)
        return self._shuffle[1]
