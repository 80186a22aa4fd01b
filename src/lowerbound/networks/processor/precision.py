"""The precision in which a model computes outside of training: that of the rows."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def in_precision(model: ModuleT, dtype: torch.dtype) -> ModuleT:
    """The model, or a float64 copy if the data is float64; the model itself is unchanged."""
    if dtype != torch.float64 or _dtype(model) in (None, dtype):
        return model
    return copy.deepcopy(model).double()


def _dtype(model: nn.Module) -> torch.dtype | None:
    """The type of the model's numbers; None if it has none."""
    tensor = next(real_tensors(model), None)
    return None if tensor is None else tensor.dtype


def real_tensors(model: nn.Module) -> Iterator[Tensor]:
    """The parameters and buffers of floating-point types."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return (tensor for tensor in tensors if tensor.is_floating_point())
