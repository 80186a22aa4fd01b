"""A limit of the memory that building a model takes, so that a small folder cannot ask for much.

A configuration of a hundred bytes may describe layers of many gigabytes, and the weights that prove
it wrong are compared only when the model is built. So building may take memory, and make tensors,
only in proportion to the weights that are there. (torch's device "meta" would take no memory at
all, but its first use costs seconds.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from lowerbound.errors import LowerboundError, ModelFolderError

TIMES = 8  # the bytes of the weights, for buffers that are not saved, and initial values
FREE = 256 * 2**20  # bytes beside them
MOST_TENSORS = 10_000  # a tenth of a millisecond each
SIZED = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
INITIAL = {nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, nn.init.constant_}
RANGES = {torch.arange, torch.linspace, torch.logspace}
WATCHED = SIZED | INITIAL | RANGES | {torch.eye}


class AllocationLimit(TorchFunctionMode):
    """Context in which making tensors of more than some bytes in all is refused.

    Initial weights are zero and not drawn, because those that are there replace them.

    Args:
        weights: bytes of the weights that the model is to hold.
        said: what asks for the memory, as the message names it.
        error: that is raised.

    Raises:
        error: the limit is passed; nothing of the tensor has been allocated.
    """

    def __init__(
        self, weights: int, said: str, error: type[LowerboundError] = ModelFolderError
    ) -> None:
        super().__init__()
        self.left: float = TIMES * weights + FREE
        self.tensors, self.weights, self.said, self.error = MOST_TENSORS, weights, said, error

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func not in WATCHED:
            return func(*args, **named)
        if func in INITIAL:
            return args[0] if args else named["tensor"]
        if func in SIZED:
            self._take(sized(args, named))
            if func is torch.empty:  # zeros cost no more, and are never what memory held before
                func = torch.zeros
        elif func is torch.eye:
            self._take(float(args[0]) * float(args[-1]))
        elif func in RANGES:
            self._take(ranged(func, args))
        return func(*args, **named)

    def _take(self, numbers: float) -> None:
        self.tensors -= 1
        self.left -= 4 * numbers
        if self.left < 0 or self.tensors < 0:
            raise self.error(
                f"{self.said} describes a model that needs far more memory than its weights have "
                f"({self.weights:,} bytes): it is damaged, or made to do harm"
            )


def sized(args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Numbers of a tensor whose sizes are given: (2, 3), ((2, 3),) or size=(2, 3)."""
    given = named.get("size", args[0] if args and isinstance(args[0], Sequence) else args)
    return math.prod(given)


def ranged(func: Callable[..., Any], args: Sequence[Any]) -> float:
    """Numbers of a range."""
    if func is not torch.arange:
        return float(args[2]) if len(args) > 2 else 0.0
    start, end = (0, args[0]) if len(args) == 1 else args[:2]
    return abs(float(end) - float(start)) / (abs(float(args[2])) if len(args) > 2 else 1.0)
