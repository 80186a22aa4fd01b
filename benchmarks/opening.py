"""Opening model folders and compressed files by this checkout beside another commit, in turns.

What a stranger may have written is checked when it is opened; this is what the checks cost. Each
version opens the folders and files of ``tests/fixtures`` in a process of its own, and answers with
the seconds of the fastest of several openings. Opening includes building the model. One thread.

    python benchmarks/opening.py --before b30a024
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from _record import ROOT, Metric, arguments, write
from _versions import Worker, ask, checked_out, in_turns, worker

WORKER = """
import json, sys, time
from pathlib import Path
import torch

torch.set_num_threads(1)
try:
    from lowerbound.applications.compression.container import open_container
    from lowerbound.fitting import folder
except ModuleNotFoundError:  # where they were before
    from lowerbound.coding.files.container import open_container
    from lowerbound.model_folder import folder

for line in sys.stdin:
    path, times = json.loads(line)
    read = open_container if path.endswith(".lbz") else folder.read
    took = []
    for _ in range(times):
        began = time.perf_counter()
        read(Path(path))
        took.append(time.perf_counter() - began)
    print(json.dumps(min(took)), flush=True)
"""
FIXTURES = ROOT / "tests" / "fixtures" / "format_1"
CASES = {
    "autoencoder": (FIXTURES / "models" / "autoencoder", 30),
    "table": (FIXTURES / "models" / "table", 30),
    "ladder": (FIXTURES / "models" / "ladder", 30),
    "transform": (FIXTURES / "models" / "transform", 30),
    "header of a .lbz file": (FIXTURES / "files" / "rows.lbz", 300),
}
ROUNDS = 15
MOST = 1.1  # times the seconds before


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--before", default="b30a024", help="the commit to compare with")
    given = parser.parse_args()
    began = time.perf_counter()
    rounds = 2 if given.quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        source = checked_out(given.before, Path(folder))
        if source is None:
            print(f"skipped: this checkout has no commit {given.before} to compare with")
            return
        workers = {"before": worker(source, WORKER), "now": worker(ROOT / "src", WORKER)}
        took = {
            case: in_turns(workers, rounds, partial(fastest, folder=place, times=times))
            for case, (place, times) in CASES.items()
        }
        for process in workers.values():
            process.terminate()
    write(
        "opening",
        [_ratio(case, found["before"], found["now"]) for case, found in took.items()],
        data=[{"file": "tests/fixtures/format_1", "split": "all"}],
        seeds=[],
        minutes=(time.perf_counter() - began) / 60,
        notes=f"Before is commit {given.before}, which checked hashes alone; {rounds} rounds; "
        "seconds of the fastest opening of each round; the median of the ratios is judged, and "
        "the spread is their standard error.",
        quick=given.quick,
        command=f"python benchmarks/opening.py --before {given.before}",
        extra={"seconds": took},
    )


def fastest(process: Worker, folder: Path, times: int) -> float:
    """Seconds of the fastest of some openings of a model folder or file."""
    return float(ask(process, [str(folder), times]))


def _ratio(case: str, before: list[float], now: list[float]) -> Metric:
    ratios = [new / old for old, new in zip(before, now, strict=True)]
    spread = statistics.stdev(ratios) / len(ratios) ** 0.5 * (3.1416 / 2) ** 0.5
    name = f"{case}: seconds to open, over those before"
    seconds = {"ms before": 1e3 * min(before), "ms now": 1e3 * min(now)}
    value = statistics.median(ratios)
    return Metric(name, value, "ratio", "lower", spread, target=MOST, beside=seconds)


if __name__ == "__main__":
    main()
