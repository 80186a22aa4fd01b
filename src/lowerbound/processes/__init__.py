"""Processes that train one model together: each computes the gradient of a part of every batch.

They are started by torch (``torchrun``, ``lowerbound fit --devices``) or by another launcher, and
they communicate by ``torch.distributed``. A single process takes the same path: every function here
then returns what it is given.

==================  ===============================================================
one process         several
==================  ===============================================================
rows of a batch     ``part``: each has about as many, in the order of the batch
gradient            ``add_up``: the sum over processes
state from rows     ``gathered``: the rows of all processes, in the order of the batch
clock, signals      ``highest``: the same in all processes
==================  ===============================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # a command that only describes a file need not import torch
    from torch import Tensor, nn
    from torch.distributed import Store  # type: ignore[attr-defined]

ValueT = TypeVar("ValueT")

LAUNCHED = "LOWERBOUND_LAUNCHED"


def count() -> int:
    """The number of processes that train together; 1 outside a group."""
    from torch import distributed

    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def rank() -> int:
    """The number of this process, from 0."""
    from torch import distributed

    return distributed.get_rank() if count() > 1 else 0


def leads() -> bool:
    """Whether this process writes files and prints, which only the first does."""
    return rank() == 0


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return several and {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


def speaks(machine: bool = False) -> bool:
    """Whether a process prints and writes files, by its number from the launcher.

    Args:
        machine: by its number on its machine.
    """
    return not launched() or os.environ.get("LOCAL_RANK" if machine else "RANK", "0") == "0"


def restarts() -> int:
    """How many times the launcher has started the processes again, because one had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) if launched() else 0


def launch_time() -> float:
    """When ``lowerbound`` launched the processes, in seconds since the epoch; 0: another did."""
    return float(os.environ.get(LAUNCHED, "0"))


@contextmanager
def joined() -> Iterator[None]:
    """Context in which the processes that a launcher started are a group; alone, nothing changes.

    Each process computes on the card whose number is its number on the machine.
    """
    if not launched() or count() > 1:
        yield
        return
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(
        backend, store=_store(), rank=int(os.environ["RANK"]), world_size=_size()
    )
    try:
        highest([0.0])  # a process that leaves before all are connected breaks the others' start
        yield
    finally:
        distributed.destroy_process_group()


def _size() -> int:
    return int(os.environ["WORLD_SIZE"])


def _store() -> Store:
    """Where the processes find each other; after a restart, addresses of ended ones are left."""
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    first = os.environ["RANK"] == "0" and not hosted
    store = TCPStore(*place, _size(), first, multi_tenant=True)
    found: Store = PrefixStore(f"start {restarts()}", store)
    return found


def part(rows: Tensor) -> Tensor:
    """This process's part of the rows of a batch, (about rows / processes, ...)."""
    return rows.tensor_split(count())[rank()] if count() > 1 else rows


def add_up(values: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over processes; all are of one device and type."""
    if count() == 1 or not values:
        return
    import torch
    from torch import distributed

    flat = torch.cat([value.reshape(-1) for value in values])
    distributed.all_reduce(flat)
    for value, total in zip(values, flat.split([value.numel() for value in values]), strict=True):
        value.copy_(total.view_as(value))


def gathered(values: Tensor) -> Tensor:
    """The rows of all processes along the first axis, in the order of the batch."""
    if count() == 1:
        return values
    import torch
    from torch import distributed

    sizes = [torch.zeros(1, dtype=torch.long, device=values.device) for _ in range(count())]
    distributed.all_gather(sizes, torch.full_like(sizes[0], len(values)))
    rows = [int(size) for size in sizes]
    padded = values.new_zeros(max(rows), *values.shape[1:])
    padded[: len(values)] = values
    found = [torch.empty_like(padded) for _ in rows]
    distributed.all_gather(found, padded)
    return torch.cat([each[:size] for each, size in zip(found, rows, strict=True)])


def highest(values: Iterable[float]) -> list[float]:
    """The largest of each number over processes."""
    values = list(values)
    if count() == 1:
        return values
    import torch
    from torch import distributed

    numbers = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
    return [float(number) for number in numbers]


def of_first(value: ValueT) -> ValueT:
    """The value that the first process has."""
    if count() == 1:
        return value
    from torch import distributed

    held = [value]
    distributed.broadcast_object_list(held)
    return held[0]


def align(*modules: nn.Module) -> None:
    """Give parameters and buffers the values that the first process has."""
    if count() == 1:
        return
    from torch import distributed

    for module in modules:
        for value in (*module.parameters(), *module.buffers()):
            if value.numel():
                distributed.broadcast(value.data, 0)


@contextmanager
def first_alone(needed: bool) -> Iterator[None]:
    """Context that the first process leaves before the others enter it, if ``needed``."""
    if needed and not leads():
        highest([0.0])
    try:
        yield
    finally:
        if needed and leads():
            highest([0.0])
