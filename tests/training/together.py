"""Several processes on this machine that run one function together."""

from __future__ import annotations

import io
import multiprocessing
import os
import socket
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from lowerbound import processes

SECONDS = 240


def together(
    count: int, function: Callable[..., Any], *arguments: Any, joined: bool = True
) -> list[Any]:
    """What ``function`` returns in each of ``count`` processes, by their number.

    Args:
        joined: the processes are a group while they run it; else it makes the group.
    """
    spawn = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = spawn.Queue()
    started = [
        spawn.Process(target=_run, args=(number, count, port, answers, function, arguments, joined))
        for number in range(count)
    ]
    for process in started:
        process.start()
    try:
        held = dict(answers.get(timeout=SECONDS) for _ in started)
    finally:
        for process in started:
            process.join(10)
            process.kill()
    return [torch.load(io.BytesIO(held[number])) for number in range(count)]


def _run(
    number: int,
    count: int,
    port: int,
    answers: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    joined: bool,
) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with processes.joined() if joined else nullcontext():
        answer = function(*arguments)
    held = io.BytesIO()  # a tensor in the queue would need its process
    torch.save(answer, held)
    answers.put((number, held.getvalue()))
