"""The number of operations of an update, and the arithmetic of this machine."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lowerbound.distributions.reparameterization import seeded
from lowerbound.networks.processor.matrix_products import PRODUCT, product_flops
from lowerbound.trace import Batch

FLOPS_PER_THREAD = 50e9  # sustained float32 rate of a recent server core
SECONDS_PER_UPDATE = 1e-3  # for gathering, launching and Adam, in addition to matrix products
SECONDS_PER_CALL = 22e-6  # of a function of torch on a GPU (H200); most compute for less
FLOPS = {**flop_registry, PRODUCT: product_flops}


class UpdateCost(NamedTuple):
    """What one update computes.

    Attributes:
        flops: operations in matrix products and convolutions of the forward and backward pass.
        calls: functions of torch that the passes call.
    """

    flops: int
    calls: int


def update_cost(update: nn.Module, batch: Batch) -> UpdateCost:
    """The cost of one update, counted on a copy: module and random state do not change."""
    trial = copy.deepcopy(update)
    counter = _Counting()
    with seeded(0), counter:
        trial(batch).loss.backward()
    return UpdateCost(counter.flops, counter.calls)


class _Counting(TorchDispatchMode):
    """Counts the calls, and sums the operations by torch's table.

    torch's ``FlopCounterMode`` imports the compiler, which takes a second and 80 MB.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.calls = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        self.calls += 1
        count = FLOPS.get(func.overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=answer)
        return answer


def update_seconds(cost: UpdateCost, device: torch.device) -> float:
    """A rough estimate of the seconds of one float32 update, not compiled.

    On a processor the threads of torch divide the operations; on a GPU each call takes its time. It
    is computed from constants and not measured, so that decisions are repeatable on the same kind
    of machine.
    """
    if device.type != "cpu":
        return cost.calls * SECONDS_PER_CALL
    return SECONDS_PER_UPDATE + cost.flops / (FLOPS_PER_THREAD * torch.get_num_threads())


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call; None if there is none."""
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", default))
