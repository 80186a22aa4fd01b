"""The number of operations of an update, and the arithmetic of this machine."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lowerbound.distributions.reparameterization import seeded
from lowerbound.trace import Batch

FLOPS_PER_THREAD = 50e9  # sustained float32 rate of a recent server core
SECONDS_PER_UPDATE = 1e-3  # for gathering, launching and Adam, in addition to matrix products


def update_flops(update: nn.Module, batch: Batch) -> int:
    """Operations in matrix products and convolutions of one forward and backward pass.

    They are counted on a copy, so the module and the random state do not change.
    """
    trial = copy.deepcopy(update)
    counter = _Counting()
    with seeded(0), counter:
        trial(batch).loss.backward()
    return counter.flops


class _Counting(TorchDispatchMode):
    """Sums the operations by torch's table.

    torch's ``FlopCounterMode`` imports the compiler, which takes a second and 80 MB.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=answer)
        return answer


def update_seconds(flops: int, threads: int) -> float:
    """A rough estimate of the seconds of one float32 update on ``threads`` processor threads.

    It is computed from constants and not measured, so that decisions are repeatable on the same
    kind of machine.
    """
    return SECONDS_PER_UPDATE + flops / (FLOPS_PER_THREAD * threads)


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call; None if there is none."""
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", default))
