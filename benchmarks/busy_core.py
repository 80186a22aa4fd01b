"""How much longer work on a small table takes while another program uses half of the cores.

Threads wait for each other after every operation. A thread whose core is taken makes all others
wait, so passes through small networks and small fits of scikit-learn use one thread here. Each job
runs with that and with one thread for every core ("all threads"), on a free machine and beside
programs that do nothing but count. The four ways take turns.

    python benchmarks/busy_core.py
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from unittest import mock

import numpy as np
import torch
from _record import Metric, arguments, write

from lowerbound.applications.restoration.filling import impute
from lowerbound.data import Dataset, load
from lowerbound.evaluation.samples import column_judge
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference import passes
from lowerbound.inference.likelihood import score
from lowerbound.training import TrainingOptions

ROWS, JUDGED = 2_000, 40
COLUMNS = 6
GAPS = 0.1
ROUNDS = 3
MOST = 2.0  # times as long beside the other programs


def table(rows: int) -> Dataset:
    """Correlated numbers, a tenth of which is missing."""
    import pandas as pd

    random = np.random.default_rng(0)
    cells = random.normal(size=(rows, 2)) @ random.normal(size=(2, COLUMNS))
    cells += 0.3 * random.normal(size=cells.shape)
    cells[random.random(cells.shape) < GAPS] = np.nan
    return load(pd.DataFrame(cells).add_prefix("x"), missing="model")


def counting() -> None:
    """Use a core until stopped."""
    while True:
        pass


@contextlib.contextmanager
def busy(programs: int) -> Iterator[None]:
    """Context in which so many other programs use a core each."""
    others = [multiprocessing.Process(target=counting, daemon=True) for _ in range(programs)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.join()


@contextlib.contextmanager
def all_threads() -> Iterator[None]:
    """Context with one thread for every core in all work."""
    with (
        mock.patch.object(passes, "useful_threads", return_value=torch.get_num_threads()),
        mock.patch.object(column_judge, "small_fit", contextlib.nullcontext),
    ):
        yield


def jobs(fitted: Fitted, data: Dataset, judged: int) -> dict[str, Callable[[], object]]:
    """The work, by name."""
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, judged, COLUMNS))
    ordered = np.zeros(COLUMNS, dtype=bool)
    return {
        f"impute {len(data):,} rows": lambda: impute(fitted.model, data, seed=0),
        f"score {len(data):,} rows": lambda: score(fitted.model, data, samples=100, seed=0),
        f"judge {judged} drawn rows by boosting": lambda: column_judge.boosted_area(
            first, second, ordered, folds=2
        ),
    }


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def measured(job: Callable[[], object], programs: int, rounds: int) -> Mapping[str, float]:
    """The median seconds of each way."""
    ways: dict[str, tuple[Callable[[], contextlib.AbstractContextManager[None]], int]] = {
        "here, free": (contextlib.nullcontext, 0),
        "here, busy": (contextlib.nullcontext, programs),
        "all threads, free": (all_threads, 0),
        "all threads, busy": (all_threads, programs),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (threads, others) in ways.items():
            with threads(), busy(others):
                found[name].append(seconds(job))
    return {name: statistics.median(times) for name, times in found.items()}


def metric(name: str, times: Mapping[str, float]) -> Metric:
    """How much longer it takes beside other programs."""
    ratio = times["here, busy"] / times["here, free"]
    beside = {
        "the same with all threads": times["all threads, busy"] / times["all threads, free"],
        "all threads over here, free": times["all threads, free"] / times["here, free"],
        "all threads over here, busy": times["all threads, busy"] / times["here, busy"],
        **{f"seconds, {way}": value for way, value in times.items()},
    }
    title = f"{name}, busy over free"
    return Metric(title, ratio, "x", "lower", target=MOST, beside=beside)


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    start = time.perf_counter()
    rows, judged, rounds = (200, 20, 1) if chosen.quick else (ROWS, JUDGED, ROUNDS)
    data = table(rows)
    options = TrainingOptions(updates=20 if chosen.quick else 300, threads=1)
    fitted = fit(data, FitOptions(training=options))
    programs = 0 if chosen.quick else max(1, (os.cpu_count() or 2) // 2)
    metrics = []
    for name, job in jobs(fitted, data, judged).items():
        job()  # imports and the first allocations are not measured
        metrics.append(metric(name, measured(job, programs, rounds)))
        print(f"{name}: {metrics[-1].value:.2f}", flush=True)
    write(
        "busy_core",
        metrics,
        data=[{"file": "made here", "rows": rows}],
        seeds=[0],
        minutes=(time.perf_counter() - start) / 60,
        notes=f"Median of {rounds} on {os.cpu_count()} cores, of which {programs} are taken.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
