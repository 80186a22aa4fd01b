"""The processor's share in networks: useful threads, memory kept and limited, and precision.

Threads wait for each other after every operation. Where operations are short, more threads are
hardly faster, and if another program uses one of the cores, each operation waits until that program
gives it up: tables were imputed four times as slowly then (``benchmarks/busy_core.py``).

glibc returns large freed blocks to the system at once. Every update allocates blocks of the same
sizes again, which the system must clear page by page. Training therefore raises the thresholds
above which glibc returns blocks. A process that works on parts of different sizes leaves pieces
between them, which glibc returns only on request.

Building a model takes limited memory, so that a small folder cannot ask for much. A configuration
of a hundred bytes may describe layers of many gigabytes, and the weights that prove it wrong are
compared only when the model is built. So building may take memory, and make tensors, only in
proportion to the weights that are there. (torch's device "meta" would take no memory at all, but
its first use costs seconds.)

The precision in which a model computes outside of training is that of the rows.
"""

from __future__ import annotations

import copy
import ctypes
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lowerbound.errors import LowerboundError, ModelFolderError
from lowerbound.networks.frame_maps import GatedRecurrentUnit
from lowerbound.networks.transformer import Attention

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MOST = 2**31 - 1  # bytes that glibc keeps
# the values that glibc's dynamic thresholds reach in a process that frees large blocks
GROWN_TRIM, GROWN_MMAP = 2**26, 2**25
TIMES = 8  # the bytes of the weights, for buffers that are not saved, and initial values
FREE = 256 * 2**20  # bytes beside them
MOST_TENSORS = 10_000  # a tenth of a millisecond each
SIZED = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
INITIAL = {nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, nn.init.constant_}
RANGES = {torch.arange, torch.linspace, torch.logspace}
WATCHED = SIZED | INITIAL | RANGES | {torch.eye}
ModuleT = TypeVar("ModuleT", bound=nn.Module)
SMALL = 300_000  # weights, below which one thread passes rows of numbers about as fast as several
MANY_PLACES = (  # which use a weight at many places
    *(nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention),
    *(Attention, GatedRecurrentUnit),
)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Context that keeps freed memory, and returns it afterwards; no effect without glibc."""
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(M_TRIM_THRESHOLD, MOST)
    library.mallopt(M_MMAP_THRESHOLD, 2**30)
    try:
        yield
    finally:
        library.mallopt(M_TRIM_THRESHOLD, GROWN_TRIM)
        library.mallopt(M_MMAP_THRESHOLD, GROWN_MMAP)
        library.malloc_trim(0)


def return_memory() -> None:
    """Return freed memory to the operating system; no effect without glibc."""
    if library := _glibc():
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


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
