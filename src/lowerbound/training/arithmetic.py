"""How many operations one update takes, and what this machine can do with them."""

from __future__ import annotations

import copy
import os
import shutil
import sys

import torch
from torch import nn

from lowerbound.reparameterization import seeded
from lowerbound.trace import Batch

FLOPS_PER_THREAD = 50e9  # sustained in float32 by a recent server core
SECONDS_PER_UPDATE = 1e-3  # besides matrix products: gathering, launching, Adam


def update_flops(update: nn.Module, batch: Batch) -> int:
    """Operations in matrix products and convolutions of one forward and backward pass.

    Counted on a copy, so neither the module nor any random state moves.
    """
    from torch.utils.flop_counter import FlopCounterMode

    trial = copy.deepcopy(update)
    with seeded(0), FlopCounterMode(display=False) as counter:
        trial(batch).loss.backward()
    return int(counter.get_total_flops())


def update_seconds(flops: int, threads: int) -> float:
    """A rough guess of the time of one float32 update on this many processor threads.

    A guess from constants and not a measurement, so that the same run on the same kind of machine
    always decides the same.
    """
    return SECONDS_PER_UPDATE + flops / (FLOPS_PER_THREAD * threads)


def native_bf16() -> bool:
    """Whether the processor multiplies bf16 matrices in hardware."""
    try:
        able = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):  # older torch
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call; None where there is none."""
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", default))
