"""Rows where the model is and in the precision of its parameters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.trace import Batch


class Feed:
    """Gathers batches for a model.

    The compact data is moved to the model's device once, so that batches are gathered there.

    Args:
        dataset: the rows.
        device: where the model is.
        dtype: of the model's parameters; real columns are converted once, codes as they are
            gathered.
    """

    def __init__(self, dataset: Dataset, device: torch.device, dtype: torch.dtype) -> None:
        dataset = dataset if dataset.x.device == device else dataset.to(device)
        if dataset.x.is_floating_point() and dataset.x.dtype != dtype:
            dataset = replace(dataset, x=dataset.x.to(dtype))
        self.dataset = dataset
        self.device = device
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: Tensor, bits: torch.Generator | None = None) -> Batch:
        """The rows at ``indices``; ``bits`` draws dynamic binarization anew, None fixes it."""
        if indices.device != self.device:
            indices = indices.to(self.device, non_blocking=True)
        batch = self.dataset.batch(indices, bits)
        right = batch.x is None or batch.x.dtype == self.dtype
        return batch if right else batch.to(self.dtype)
