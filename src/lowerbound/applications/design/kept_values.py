"""Values of quantities, on disk as soon as a function has given them, so that a search goes on.

A search follows from its options, its data and these values. One that runs again with the values
that it had makes the same proposals, bit for bit, and calls the functions for what is left. Each
line of ``values.jsonl`` is a call: the quantity, a hash of the rows, and their values (null: none)
or the failure.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, TypeVar

import numpy as np

from lowerbound import untrusted
from lowerbound.applications.common.parts import VALUES, FinishedParts
from lowerbound.applications.design.goals import DesignTask, Function, Goal, Limit
from lowerbound.errors import DataError, MissingLibraryError

BETWEEN_SYNCS = 1.0  # seconds; a process that is killed loses nothing meanwhile, only a computer
LARGEST = 2**30  # bytes of the file

Key = tuple[str, str]
QuantityT = TypeVar("QuantityT", Goal, Limit)


class KeptValues:
    """The calls of a search and of the interrupted one that it continues.

    Args:
        file: where they are kept.
        finished: counts them.
    """

    def __init__(self, file: BinaryIO, finished: FinishedParts) -> None:
        self.file, self.finished = file, finished
        self.before: defaultdict[Key, deque[dict[str, Any]]] = defaultdict(deque)
        self._synced = time.monotonic()
        calls = _whole_calls(file)
        for call in calls:
            self.before[call["quantity"], call["rows"]].append(call)
        finished.rows = len(calls)

    def called(self, name: str, function: Function, rows: Any) -> Any:
        """The values of rows, or the failure, of the interrupted run or now."""
        key = name, _hash(rows)
        if self.before[key]:
            return _answer(self.before[key].popleft())
        try:
            found = function(rows)
        except MissingLibraryError:
            raise
        except Exception as error:  # of a function that the caller wrote
            self._keep(key, {"failure": [type(error).__name__, str(error)]})
            raise
        values = _numbers(found)
        if values is not None:  # else the search ends, and says why
            self._keep(key, {"values": values})
        return found

    def _keep(self, key: Key, outcome: dict[str, Any]) -> None:
        line = json.dumps({"quantity": key[0], "rows": key[1], **outcome}, allow_nan=False)
        self.file.write(line.encode() + b"\n")
        self.file.flush()
        self.finished.rows += 1
        if time.monotonic() - self._synced > BETWEEN_SYNCS:
            os.fsync(self.file.fileno())
            self._synced = time.monotonic()


@contextmanager
def kept_values(task: DesignTask, finished: FinishedParts) -> Iterator[DesignTask]:
    """Context with the task whose values are kept.

    Raises:
        OSError: they cannot be written.
    """
    if finished.folder is None:
        yield task
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(finished.folder / VALUES, flags, 0o666), "r+b") as file:
        values = KeptValues(file, finished)
        try:
            yield replace(
                task,
                goals=tuple(_kept(goal, values) for goal in task.goals),
                limits=tuple(_kept(limit, values) for limit in task.limits),
            )
        finally:
            os.fsync(file.fileno())


def _kept(quantity: QuantityT, values: KeptValues) -> QuantityT:
    function = partial(values.called, quantity.name, quantity.function)
    return replace(quantity, function=function)


def _whole_calls(file: BinaryIO) -> list[dict[str, Any]]:
    """The calls in a file, up to the first damaged line; what follows is removed.

    The failures at the end are removed too: whatever failed last may have been mended.
    """
    file.seek(0)
    calls, ends = list[dict[str, Any]](), [0]
    for line in file.read(LARGEST).splitlines(keepends=True):
        try:
            call = untrusted.parsed_mapping(line, VALUES, DataError)
        except DataError:
            break
        if not (line.endswith(b"\n") and _is_call(call)):
            break
        calls.append(call)
        ends.append(ends[-1] + len(line))
    while calls and _failed(calls[-1]):
        calls.pop()
    file.truncate(ends[len(calls)])
    return calls


def _is_call(call: dict[str, Any]) -> bool:
    """Whether a mapping has what a call has."""
    if not all(isinstance(call.get(name), str) for name in ("quantity", "rows")):
        return False
    if "values" in call:
        values = call["values"]
        return isinstance(values, list) and all(isinstance(v, float | None) for v in values)
    failure = call.get("failure")
    return isinstance(failure, list) and len(failure) == 2 and {*map(type, failure)} == {str}


def _failed(call: dict[str, Any]) -> bool:
    return "failure" in call or all(value is None for value in call["values"])


def _answer(call: dict[str, Any]) -> Any:
    """What the function gave."""
    if "failure" in call:
        name, words = call["failure"]
        raise type(name, (Exception,), {})(words)  # of the same name in the message
    return np.array([math.nan if v is None else v for v in call["values"]])


def _numbers(found: Any) -> list[float | None] | None:
    """What a function returned, as the values of rows; None: it is nothing of the kind."""
    try:
        values = np.atleast_1d(np.asarray(found, dtype=np.float64))
    except (TypeError, ValueError):
        return None
    if values.ndim != 1:
        return None
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _hash(rows: Any) -> str:
    """Of rows as functions take them: texts, or a frame."""
    cells: Sequence[Any] = rows if isinstance(rows, list) else rows.to_numpy(object).tolist()
    return hashlib.sha256(json.dumps(cells, default=repr).encode()).hexdigest()[:32]
