"""A fit to a table larger than memory: peak memory, speed and bound beside a fit in memory.

Tables of 20 columns, made here, are fitted with the rows on disk and in memory, each fit in a child
process, whose anonymous memory (``RssAnon``, which leaves out what the system keeps of files) is
read every 10 ms. A fit to 5,000 rows with the same options tells what the program and the model
take. Both fits make the same number of updates, and both models are scored on 20,000 further rows.
The fit in memory is to the first rows of the table, as many as ``--in-memory`` says.

For the speed, one process then has both tables, and trains on them in turns of 100 updates each, so
that other programs on the machine slow both down. The ratio of each turn is a value. A turn is
timed from its first update on: before it, the random order of all rows is drawn, once per pass over
them, whose seconds stand beside the ratio.

    python benchmarks/out_of_core.py
    python benchmarks/out_of_core.py --rows 62500000 --in-memory 4000000
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from _record import Metric, arguments, write
from streaming import make

from lowerbound.data import load
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.on_disk import load_on_disk
from lowerbound.fitting import FitOptions, fit as fitted_to
from lowerbound.objectives import OBJECTIVES
from lowerbound.training import Progress, SilentReporter, TrainingOptions, train

ROWS = 4_000_000
SMALL, SCORED = 5_000, 20_000
BATCH = 512
MOST_ABOVE, FAST, SAME = 1_200.0, 0.9, 0.5  # MB above the model's, share of rows/s, percent
DISK, MEMORY, FEW = "disk", "memory", "few rows"
TURN = 100  # updates


class Fit(NamedTuple):
    """What a fit took: its largest anonymous memory in MB, and seconds of the whole command."""

    peak: float
    seconds: float


def command(words: Sequence[str], quick: bool) -> tuple[dict[str, Any], float]:
    """The JSON object that a command prints, and its largest anonymous memory in MB."""
    if quick:
        from lowerbound.cli import main as lowerbound

        with contextlib.redirect_stdout(io.StringIO()) as shown:
            code = lowerbound([*words, "--json"])
        text, peak = shown.getvalue(), anonymous("self")
    else:
        line = [sys.executable, "-m", "lowerbound", *words, "--json"]
        child = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        found: list[float] = [0.0]
        watch = threading.Thread(target=watched, args=(child, found))
        watch.start()
        text, _ = child.communicate()
        watch.join()
        code, peak = child.returncode, max(found)
    if code:
        raise SystemExit(f"{' '.join(words[:3])} ended with {code}")
    answer: dict[str, Any] = json.loads(text)
    return answer, peak


def watched(child: subprocess.Popen[str], found: list[float]) -> None:
    """Add the anonymous memory of a child process to a list until it ends."""
    while child.poll() is None:
        found.append(anonymous(str(child.pid)))
        time.sleep(0.01)


def anonymous(process: str) -> float:
    """The anonymous memory of a process in MB; 0 where the system does not tell it."""
    try:
        text = Path("/proc", process, "status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"RssAnon:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else 0.0


def fit(table: Path, model: Path, rows_in: str, words: Sequence[str], quick: bool) -> Fit:
    """Fit a model to a table."""
    start = time.perf_counter()
    held = ["--rows-in", rows_in, "--memory", "1000", "--overwrite", "--no-report"]
    held += ["--cache", str(model.parent / "cache")] if rows_in == DISK else []
    size = ["--batch-size", str(BATCH), "--patience", "0", "--samples", "5"]
    _, peak = command(["fit", str(table), "-o", str(model), *held, *size, *words], quick)
    return Fit(peak, time.perf_counter() - start)


class Watch(SilentReporter):
    """Times the updates of a run after the first that is shown, and what went before."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.updates: list[int] = []

    def start(self) -> None:
        self._note(0)

    def update(self, progress: Progress) -> None:
        self._note(progress.updates)

    def _note(self, updates: int) -> None:
        self.times.append(time.perf_counter())
        self.updates.append(updates)

    @property
    def before(self) -> float:
        """Seconds before the first update was shown."""
        return self.times[1] - self.times[0]

    @property
    def rate(self) -> float:
        """Updates per second after the first that was shown."""
        return (self.updates[-1] - self.updates[1]) / (self.times[-1] - self.times[1])


def rates(tables: dict[str, Path], cache: Path, turns: int, updates: int) -> list[dict[str, Watch]]:
    """Training on disk and in memory, in turns, the first one in turn."""
    options = TrainingOptions(updates=updates, batch_size=BATCH, validation=0, threads=1)
    rows = {
        DISK: load_on_disk(tables[DISK], cache, dialect=Dialect.asked()),
        MEMORY: load(tables[MEMORY]),
    }
    start = FitOptions(training=replace(options, updates=1))
    fitted = {where: fitted_to(data.thinned(SMALL), start) for where, data in rows.items()}
    found = []
    for turn in range(turns):
        each = {}
        for where in (DISK, MEMORY) if turn % 2 else (MEMORY, DISK):
            one, each[where] = fitted[where], Watch()
            objective = OBJECTIVES[one.options.objective]()
            train(one.model, objective, rows[where], options, reporter=each[where])
        found.append(each)
    return found


def bound(model: Path, table: Path, quick: bool) -> float:
    """The lower bound on log p of the rows of a table, nats per row."""
    words = ["evaluate", str(model), str(table), "--suite", "likelihood", "--samples", "20"]
    answer, _ = command([*words, "--rows", "0"], quick)
    return float(answer["verdict"]["evidence"]["bound"]["mean"])


def measured(
    fits: dict[str, Fit], speeds: Sequence[dict[str, Watch]], bounds: dict[str, float], rows: int
) -> list[Metric]:
    """The metrics of all fits."""
    shares = [each[DISK].rate / each[MEMORY].rate for each in speeds]
    low, middle, high = quantiles(shares, n=4) if len(shares) > 1 else 3 * shares
    off = 100 * abs(bounds[DISK] - bounds[MEMORY]) / abs(bounds[MEMORY])
    return [
        Metric(
            f"{rows:,} rows on disk, peak memory above a fit to {SMALL:,} rows",
            fits[DISK].peak - fits[FEW].peak,
            "MB",
            "lower",
            target=MOST_ABOVE,
            beside={f"{where}, MB": one.peak for where, one in fits.items()},
        ),
        Metric(
            "rows per second of training, on disk over in memory",
            middle,
            "x",
            "higher",
            spread=(high - low) / 2,
            target=FAST,
            beside={
                f"{where}, {what}": value
                for where in (DISK, MEMORY)
                for what, value in (
                    ("rows/s", BATCH * median(each[where].rate for each in speeds)),
                    ("s before", median(each[where].before for each in speeds)),
                )
            },
        ),
        Metric(
            "bound on further rows, difference of the two fits",
            off,
            "%",
            "lower",
            target=SAME,
            beside={f"{where}, nats per row": value for where, value in bounds.items()},
        ),
        Metric(
            "seconds of the whole fit on disk",
            fits[DISK].seconds,
            "s",
            "lower",
            beside={f"{where}, s": one.seconds for where, one in fits.items()},
        ),
    ]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--in-memory", type=int, default=None, help="rows (default: all)")
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=40)
    args = parser.parse_args()
    rows, updates, turns, block = args.rows, args.updates, args.turns, TURN
    if args.quick:
        rows, updates, turns, block = 3_000, 10, 2, 5
    few = min(rows, args.in_memory or rows)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tables = {DISK: folder / "all.parquet", MEMORY: folder / "first.parquet"}
        make(tables[DISK], rows, args.seed)
        make(tables[MEMORY], few, args.seed)
        make(folder / "small.parquet", SMALL, args.seed)
        make(folder / "held.parquet", 500 if args.quick else SCORED, args.seed + 1)
        words = ["--updates", str(updates), "--seed", str(args.seed)]
        fits = {FEW: fit(folder / "small.parquet", folder / "few.lb", MEMORY, words, args.quick)}
        for where, table in tables.items():
            fits[where] = fit(table, folder / f"{where}.lb", where, words, args.quick)
            print(where, fits[where], flush=True)
        held = folder / "held.parquet"
        bounds = {where: bound(folder / f"{where}.lb", held, args.quick) for where in tables}
        speeds = rates(tables, folder / "cache", turns, block)
        size = tables[DISK].stat().st_size
    write(
        "out_of_core",
        measured(fits, speeds, bounds, rows),
        data=[],
        seeds=[args.seed],
        minutes=(time.perf_counter() - start) / 60,
        notes=f"{rows:,} rows of 20 columns on disk ({size / 1e9:.1f} GB of Parquet), {few:,} in "
        f"memory, made by the script; {updates:,} updates of {BATCH} rows with the same seed. "
        f"Speed: the median of {turns} turns of {block} updates; spread: half the distance of its "
        "quartiles. One thread unless OMP_NUM_THREADS says more, on a machine that other processes "
        "shared.",
        command=f"python benchmarks/out_of_core.py --rows {rows} --in-memory {few}",
        quick=args.quick,
    )


if __name__ == "__main__":
    main()
