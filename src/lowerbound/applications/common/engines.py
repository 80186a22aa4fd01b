"""Where the parts of long work are computed: in this process, or by workers of Ray."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from lowerbound.applications.common.form import LOCAL, RAY, EngineRequest
from lowerbound.applications.common.parts import Arrays, FinishedParts, Part
from lowerbound.errors import LowerboundError, MissingExtraError, OptionError
from lowerbound.processes import signals

ItemT = TypeVar("ItemT")
PartT = TypeVar("PartT", bound=Part)
GivenT = TypeVar("GivenT", bound=Part, contravariant=True)

Progress = Callable[[int, int], None]
Compute = Callable[[PartT, Progress], Arrays]
"""The arrays of a part; the second argument is called with (rows done, rows)."""

AHEAD = 2  # parts that each worker has, the one it computes and the next


class PartEngine(Protocol[GivenT]):
    """Computes parts.

    Attributes:
        ahead: how many parts are begun before the first is needed.
    """

    ahead: int

    def begin(self, part: GivenT, progress: Progress) -> Callable[[], Arrays]:
        """Begin to compute a part; the answer waits for its arrays."""


class Local(Generic[PartT]):
    """Computes each part when its arrays are needed."""

    ahead = 1

    def __init__(self, compute: Compute[PartT]) -> None:
        self._compute = compute

    def begin(self, part: PartT, progress: Progress) -> Callable[[], Arrays]:
        return partial(self._compute, part, progress)


class RayWorkers(Generic[PartT]):
    """Parts are computed by actors of Ray; one that ends is started again and repeats its parts.

    Args:
        ray: the library, connected.
        compute: sent to each worker once.
        workers: their number; 0: one for each core of the cluster.

    Raises:
        OptionError: the cluster has fewer cores, on which some would wait for ever.
    """

    def __init__(self, ray: Any, compute: Compute[PartT], workers: int) -> None:
        self._ray = ray
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        if workers > cores:
            raise OptionError(f"workers={workers} need a core each, and the cluster has {cores}")
        count = workers or cores
        kind = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Worker)
        self._compute = ray.put(compute)  # held, so that it is still there for a restart
        self._actors = deque(kind.remote(self._compute) for _ in range(count))
        self.ahead = AHEAD * count

    def begin(self, part: PartT, progress: Progress) -> Callable[[], Arrays]:
        self._actors.rotate(-1)
        held = self._actors[0].compute.remote(part.sent())
        return partial(self._finished, held, progress)

    def _finished(self, held: Any, progress: Progress) -> Arrays:
        try:
            found: Arrays = self._ray.get(held)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LowerboundError | OSError):
                raise error.cause from None  # its message, without the worker's traceback
            raise
        progress(1, 1)
        # those in Ray's store are read-only, which torch warns of
        return {name: np.require(values, requirements="W") for name, values in found.items()}


class _Worker:
    """An actor: one thread, because Ray counts one core for it."""

    def __init__(self, compute: Compute[Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self._compute = compute

    def compute(self, part: Part) -> Arrays:
        found = self._compute(part, lambda done, rows: None)
        return dict(found)


@contextmanager
def engine_of(
    request: EngineRequest, compute: Compute[PartT], *, in_parts: bool = True
) -> Iterator[PartEngine[PartT]]:
    """Context with the engine that a request asks for.

    Raises:
        OptionError: the data is not read in parts, or there is no such cluster.
        MissingExtraError: Ray is not installed.
    """
    if request.engine == LOCAL:
        yield Local(compute)
        return
    if not in_parts:
        raise OptionError(
            "engine=ray is for work that is done part by part, such as a table; this data is read "
            "as a whole: leave it out"
        )
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", RAY) from error
    _connect(ray, request)
    try:
        yield RayWorkers(ray, compute, request.workers)
    finally:
        ray.shutdown()


def _connect(ray: Any, request: EngineRequest) -> None:
    """Join the cluster, or start Ray on this machine.

    Raises:
        OptionError: there is no cluster at the address.
    """
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if request.address is None:
        count = {"num_cpus": request.workers} if request.workers else {}
        with signals.kept():
            ray.init(include_dashboard=False, **count, **quiet)
        return
    try:
        with signals.kept():
            ray.init(address=request.address, **quiet)
    except (ConnectionError, ValueError) as error:
        raise OptionError(
            f"there is no Ray cluster at address={request.address} ({error}): start one with ray "
            "start --head, or leave the address out"
        ) from error


def computed(
    items: Iterable[ItemT],
    part_of: Callable[[ItemT], PartT],
    engine: PartEngine[PartT],
    finished: FinishedParts,
    progress_of: Callable[[PartT], Progress],
) -> Iterator[tuple[ItemT, Arrays]]:
    """Each item with the arrays of its part, in order: of an interrupted run, or computed now.

    Args:
        items: parts in any form.
        part_of: the part of an item.
        engine: computes.
        finished: keeps the arrays.
        progress_of: what shows the progress of a part.
    """
    waiting: deque[tuple[ItemT, PartT, Callable[[], Arrays]]] = deque()

    def next_one() -> tuple[ItemT, Arrays]:
        item, part, arrays = waiting.popleft()
        return item, finished.kept(part, arrays)

    for item in items:
        part = part_of(item)
        begin = partial(engine.begin, part, progress_of(part))
        waiting.append((item, part, partial(_now, begin) if finished.has(part) else begin()))
        if len(waiting) >= engine.ahead:
            yield next_one()
    while waiting:
        yield next_one()


def _now(begin: Callable[[], Callable[[], Arrays]]) -> Arrays:
    """Arrays that had been kept and cannot be read."""
    return begin()()
