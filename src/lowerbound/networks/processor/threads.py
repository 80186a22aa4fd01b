"""Processor threads: how many are useful.

Threads wait for each other after every operation. Where operations are short, more threads are
hardly faster, and if another program uses one of the cores, each operation waits until that program
gives it up: tables were imputed four times as slowly then (``benchmarks/busy_core.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 300_000  # weights, below which one thread passes rows of numbers about as fast as several
MANY_PLACES = (nn.modules.conv._ConvNd, nn.MultiheadAttention)  # which use a weight at many places


@contextmanager
def processor_threads(count: int) -> Iterator[None]:
    """Context with ``count`` processor threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def useful_threads(*modules: nn.Module) -> int:
    """The threads for passes through modules: one if they are small, else torch's number."""
    parts = [part for module in modules for part in module.modules()]
    if any(isinstance(part, MANY_PLACES) for part in parts):
        return torch.get_num_threads()
    weights = sum(weight.numel() for part in parts for weight in part.parameters(recurse=False))
    return 1 if weights < SMALL else torch.get_num_threads()
