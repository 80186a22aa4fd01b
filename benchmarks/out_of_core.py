"""A fit to a table larger than memory: peak memory, speed and bound beside a fit in memory.

Tables of 20 columns, made here, are fitted with the rows on disk and in memory, each fit in a child
process, whose anonymous memory (``RssAnon``, which leaves out what the system keeps of files) is
read every 10 ms. A fit to 5,000 rows with the same options tells what the program and the model
take. The fits on disk and in memory alternate, the first of each pair in turn, and make the same
number of updates; rows per second are those of training. The first fit on disk also samples and
encodes the table, and the later ones use its files. Both models are scored on 20,000 further rows.
The fit in memory is to the first rows of the table, as many as ``--in-memory`` says.

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
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from _record import Metric, arguments, write
from streaming import make

ROWS = 4_000_000
SMALL, SCORED = 5_000, 20_000
BATCH = 512
MOST_ABOVE, FAST, SAME = 1_200.0, 0.9, 0.5  # MB above the model's, share of rows/s, percent
DISK, MEMORY = "disk", "memory"


class Fit(NamedTuple):
    """What a fit took.

    Attributes:
        peak: largest anonymous memory, MB.
        rate: rows per second of training.
        seconds: of the whole command.
    """

    peak: float
    rate: float
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
    answer, peak = command(["fit", str(table), "-o", str(model), *held, *size, *words], quick)
    rate = BATCH * answer["updates"] / answer["seconds"]
    return Fit(peak, rate, time.perf_counter() - start)


def bound(model: Path, table: Path, quick: bool) -> float:
    """The lower bound on log p of the rows of a table, nats per row."""
    words = ["evaluate", str(model), str(table), "--suite", "likelihood", "--samples", "20"]
    answer, _ = command([*words, "--rows", "0"], quick)
    return float(answer["verdict"]["evidence"]["bound"]["mean"])


def measured(
    small: Fit, pairs: Sequence[dict[str, Fit]], bounds: dict[str, float], rows: int
) -> list[Metric]:
    """The metrics of all fits."""
    first = pairs[0][DISK]
    peaks = {where: max(pair[where].peak for pair in pairs) for where in (DISK, MEMORY)}
    shares = sorted(pair[DISK].rate / pair[MEMORY].rate for pair in pairs)
    rates = {where: median(pair[where].rate for pair in pairs) for where in (DISK, MEMORY)}
    off = 100 * abs(bounds[DISK] - bounds[MEMORY]) / abs(bounds[MEMORY])
    return [
        Metric(
            f"{rows:,} rows on disk, peak memory above a fit to {SMALL:,} rows",
            peaks[DISK] - small.peak,
            "MB",
            "lower",
            target=MOST_ABOVE,
            beside={"fit on disk": peaks[DISK], "fit to few rows": small.peak}
            | {"fit in memory": peaks[MEMORY]},
        ),
        Metric(
            "rows per second of training, on disk over in memory",
            median(shares),
            "x",
            "higher",
            spread=(shares[-1] - shares[0]) / 2,
            target=FAST,
            beside={f"{where}, rows/s": rate for where, rate in rates.items()},
        ),
        Metric(
            "bound on further rows, difference of the two fits",
            off,
            "%",
            "lower",
            target=SAME,
            beside={f"{where}, nats per row": value for where, value in bounds.items()},
        ),
        *(
            Metric(
                "sampling and encoding, rows per second",
                rows / (first.seconds - pairs[-1][DISK].seconds),
                "rows/s",
                "higher",
            )
            for _ in pairs[1:2]  # the first fit encodes, and the last does not
        ),
    ]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--in-memory", type=int, default=None, help="rows (default: all)")
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows, updates, repeats = args.rows, args.updates, args.repeats
    if args.quick:
        rows, updates, repeats = 3_000, 10, 1
    few = min(rows, args.in_memory or rows)
    start, pairs = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tables = {DISK: folder / "all.parquet", MEMORY: folder / "first.parquet"}
        make(tables[DISK], rows, args.seed)
        make(tables[MEMORY], few, args.seed)
        make(folder / "small.parquet", SMALL, args.seed)
        make(folder / "held.parquet", 500 if args.quick else SCORED, args.seed + 1)
        words = ["--updates", str(updates), "--seed", str(args.seed)]
        small = fit(folder / "small.parquet", folder / "small.lb", MEMORY, words, args.quick)
        for turn in range(repeats):
            order = (DISK, MEMORY) if turn % 2 == 0 else (MEMORY, DISK)
            pair = {
                where: fit(tables[where], folder / f"{where}.lb", where, words, args.quick)
                for where in order
            }
            pairs.append(pair)
            print(turn, pair, flush=True)
        held = folder / "held.parquet"
        bounds = {where: bound(folder / f"{where}.lb", held, args.quick) for where in tables}
        size = tables[DISK].stat().st_size
    write(
        "out_of_core",
        measured(small, pairs, bounds, rows),
        data=[],
        seeds=[args.seed],
        minutes=(time.perf_counter() - start) / 60,
        notes=f"{rows:,} rows of 20 columns on disk ({size / 1e9:.1f} GB of Parquet), {few:,} in "
        f"memory, made by the script; {updates:,} updates of {BATCH} rows, {repeats} pairs of fits "
        "with the same seed. Spread: half the range over the pairs. One thread unless "
        "OMP_NUM_THREADS says more, on a machine that other processes shared.",
        command=f"python benchmarks/out_of_core.py --rows {rows} --in-memory {few}",
        quick=args.quick,
    )


if __name__ == "__main__":
    main()
