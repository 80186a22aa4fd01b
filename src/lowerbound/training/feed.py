"""The rows of each update: in which order, with which cells hidden, where the model is and in the
precision of its parameters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.trace import Batch
from lowerbound.training.checkpoints.randomness import stream_seed
from lowerbound.training.settings.options import TrainingOptions


class Feed:
    """Gathers batches for a model.

    The compact data is moved to the model's device once, so that batches are gathered there.

    Args:
        dataset: the rows.
        device: where the model is.
        dtype: of the model's parameters; real columns are converted once, codes as they are
            gathered.
        masking: share of the visits at which some cells of a row are hidden.
    """

    def __init__(
        self,
        dataset: Dataset,
        device: torch.device,
        dtype: torch.dtype,
        masking: float = 0.0,
    ) -> None:
        dataset = dataset if dataset.x.device == device else dataset.to(device)
        if dataset.x.is_floating_point() and dataset.x.dtype != dtype:
            dataset = replace(dataset, x=dataset.x.to(dtype))
        self.dataset = dataset
        self.device = device
        self.dtype = dtype
        self.masking = masking

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: Tensor, visit: torch.Generator | None = None) -> Batch:
        """The rows at ``indices``.

        Args:
            indices: row numbers.
            visit: draws what is new at each visit, the bits of dynamic binarization and the cells
                to hide; None: the fixed bits, and nothing is hidden.
        """
        if indices.device != self.device:
            indices = indices.to(self.device, non_blocking=True)
        batch = self.dataset.batch(indices, visit)
        if self.masking and visit is not None:
            batch = hide(batch, self.masking, visit)
        right = batch.x is None or batch.x.dtype == self.dtype
        return batch if right else batch.to(self.dtype)


SHARE = 0.5
"""Of the visits to a row: at these, some of its cells are hidden."""


def hide(batch: Batch, share: float, noise: torch.Generator) -> Batch:
    """The batch with cells hidden: at a share of the rows, each loses a uniformly drawn part.

    A model that has seen complete rows only has an encoder that knows complete rows only. Hidden
    cells count as missing: neither encoder nor bound sees them, so the bound is one on the rest.

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
    """The share of visits by the options, or by the data."""
    if options.masking is not None:
        return options.masking
    return SHARE if dataset.schema.missing else 0.0


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
