"""Rows where the model is and in the precision of its parameters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.trace import Batch
from lowerbound.training.masking import hide


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
