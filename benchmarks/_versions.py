"""Two versions of the package in two processes that take turns, so that other work meets both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from _record import ROOT

Worker = subprocess.Popen[str]


def checked_out(commit: str, folder: Path) -> Path | None:
    """The package's sources as of a commit; None where git does not know it."""
    archive = subprocess.run(
        ["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        return None
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder / "src"


def worker(source: Path, code: str) -> Worker:
    """A process that runs ``code`` with the package in ``source``, and answers by JSON lines."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=source,
    )


def ask(process: Worker, question: Any) -> Any:
    """The answer of a worker to a question."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def in_turns(
    workers: Mapping[str, Worker], rounds: int, measure: Callable[[Worker], float]
) -> dict[str, list[float]]:
    """What is measured of each worker in each round; the order changes from round to round."""
    took: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(rounds):
        for name in list(workers) if number % 2 else list(workers)[::-1]:
            took[name].append(measure(workers[name]))
    return took
