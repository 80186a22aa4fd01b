"""Processor threads: how many are useful.

Threads wait for each other after every operation. Where operations are short, more threads are
hardly faster, and if another program uses one of the cores, each operation waits until that program
gives it up: tables were imputed four times as slowly then (``benchmarks/busy_core.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lowerbound.networks.attention import Attention
from lowerbound.networks.recurrence import GatedRecurrentUnit

SMALL = 300_000  # weights, below which one thread passes rows of numbers about as fast as several
MANY_PLACES = (  # which use a weight at many places
    *(nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention),
    *(Attention, GatedRecurrentUnit),
)


class _Outermost:
    """The contexts that are open in any thread of Python, and the number before the first."""

    lock = threading.Lock()
    open = 0
    threads = 1


@contextmanager
def processor_threads(count: int) -> Iterator[None]:
    """Context with ``count`` processor threads; the last of several that overlap restores the
    number that was before the first."""
    before = torch.get_num_threads()
    with _Outermost.lock:
        if not _Outermost.open:
            _Outermost.threads = before
        _Outermost.open += 1
    torch.set_num_threads(count)
    try:
        yield
    finally:
        with _Outermost.lock:
            _Outermost.open -= 1
            before = before if _Outermost.open else _Outermost.threads
        torch.set_num_threads(before)


def useful_threads(*modules: nn.Module) -> int:
    """The threads for passes through modules: one if they are small, else torch's number."""
    parts = [part for module in modules for part in module.modules()]
    if any(isinstance(part, MANY_PLACES) for part in parts):
        return torch.get_num_threads()
    weights = sum(weight.numel() for part in parts for weight in part.parameters(recurse=False))
    return 1 if weights < SMALL else torch.get_num_threads()
