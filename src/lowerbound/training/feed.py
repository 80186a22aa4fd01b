"""The batches of training: order of the rows, hidden cells, speeds, device and precision."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.data.audio.clips import at_speeds, drawn_speeds
from lowerbound.data.dataset import Dataset, shuffled
from lowerbound.errors import OptionError
from lowerbound.trace import Batch
from lowerbound.training.options import TrainingOptions
from lowerbound.training.randomness import stream_seed


class Feed:
    """Gathers batches for a model.

    The compact data is copied once to the model's device, so that batches are gathered there. Rows
    in files stay there, and each batch is copied.

    Args:
        dataset: the rows.
        device: of the model.
        dtype: of the model's parameters; real columns in memory are converted once, codes and rows
            in files in each batch.
        masking: fraction of the visits at which some cells of a row are hidden.
        speed_change: largest change of the speed of a row of sound at a visit.
    """

    def __init__(
        self,
        dataset: Dataset,
        device: torch.device,
        dtype: torch.dtype,
        masking: float = 0.0,
        speed_change: float = 0.0,
    ) -> None:
        if dataset.folder is None:
            dataset = dataset if dataset.x.device == device else dataset.to(device)
            if dataset.x.is_floating_point() and dataset.x.dtype != dtype:
                dataset = replace(dataset, x=dataset.x.to(dtype))
        self.dataset = dataset
        self.device = device
        self.dtype = dtype
        self.masking = masking
        self.speed_change = speed_change

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: Tensor, visit: torch.Generator | None = None) -> Batch:
        """The rows at ``indices``.

        Args:
            indices: row numbers.
            visit: generator of the bits of dynamic binarization, of the speeds and of the cells to
                hide; None: the fixed bits, and rows as they are.
        """
        place = self.dataset.x.device
        if indices.device != place:
            indices = indices.to(place, non_blocking=True)
        batch = self.dataset.batch(indices, visit)
        if place != self.device:
            batch = batch.on(self.device)
        if self.speed_change and visit is not None:
            factors = drawn_speeds(self.speed_change, len(indices), visit)
            batch = replace(batch, x=at_speeds(batch.filled, factors))
        if self.masking and visit is not None:
            batch = hide(batch, self.masking, visit)
        right = batch.x is None or batch.x.dtype == self.dtype
        return batch if right else batch.to(self.dtype)


SHARE = 0.5
"""Default fraction of the visits to a row at which some of its cells are hidden."""


def hide(batch: Batch, share: float, noise: torch.Generator) -> Batch:
    """Hide a random part of the cells, of uniform size, in a random fraction of the rows.

    If an encoder sees only complete rows in training, it cannot encode incomplete rows. Hidden
    cells count as missing, so the bound is on the remaining cells.

    Args:
        batch: with data.
        share: fraction of the rows with hidden cells, 0 to 1.
        noise: generator of the choice, on the processor.
    """
    x = batch.filled
    rows = (len(x),) + (1,) * (x.dim() - 1)
    chosen = torch.rand(rows, generator=noise) < share
    part = torch.rand(rows, generator=noise)
    # whole pixels of a picture are hidden, because one color would reveal the others
    cells = (len(x), 1, *x.shape[2:]) if x.dim() == 4 else x.shape
    hidden = (torch.rand(cells, generator=noise) < part) & chosen
    hidden = hidden.to(x.device).expand(x.shape)
    known = torch.ones_like(hidden) if batch.observed is None else batch.observed
    return replace(batch, observed=known & ~hidden, withheld=known & hidden)


def masking(options: TrainingOptions, dataset: Dataset) -> float:
    """The fraction of visits with hidden cells, from the options or the data."""
    if options.masking is not None:
        return options.masking
    return SHARE if dataset.schema.missing else 0.0


def speed_change(options: TrainingOptions, dataset: Dataset, usual: float) -> float:
    """The largest change of the speed of a row.

    Args:
        options: of the training.
        dataset: the rows.
        usual: the default of the objective, for rows of sound.

    Raises:
        OptionError: the rows are not sound, or some samples are missing.
    """
    changeable = dataset.schema.data_kind.amplitudes and not dataset.schema.missing
    if options.speed_change and not changeable:
        raise OptionError(
            "speed_change is for rows of sound without missing samples, and these rows are not: "
            "leave it out"
        )
    if options.speed_change is not None:
        return options.speed_change
    return usual if changeable else 0.0


class DataOrder:
    """An endless stream of row numbers, a new shuffle for each pass over the data.

    ::

        | shuffle 0          | shuffle 1          | ...
        | batch 0 | batch 1 | batch 2 | batch 3 | ...

    A batch may end one pass and begin the next. Therefore all batches have the same size (so that
    compilation happens once), and every row is seen equally often. A batch is a function of the
    seed and its number, so a run can be resumed anywhere.

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
        """Row numbers of batch ``number``, counted from 0, (batch_size,)."""
        epoch, start = divmod(number * self.batch_size, self.rows)
        end = start + self.batch_size
        here = self._permutation(epoch)[start:end].long()
        if end <= self.rows:
            return here
        return torch.cat((here, self._permutation(epoch + 1)[: end - self.rows].long()))

    def epoch(self, batches: int) -> float:
        """Passes over the data after ``batches`` batches."""
        return batches * self.batch_size / self.rows

    def _permutation(self, epoch: int) -> Tensor:
        if self._shuffle is None or self._shuffle[0] != epoch:
            self._shuffle = None  # of many rows, two shuffles would take much memory
            seeded = torch.Generator().manual_seed(stream_seed(self.seed, f"order {epoch}"))
            self._shuffle = epoch, shuffled(self.rows, seeded)
        return self._shuffle[1]
