"""Peak memory and speed of the commands that stream tables: flat, or not, and rows per second.

Two small models are fitted to 5,000 rows of 20 columns; one of them has classes. Tables of the same
kind, made here, are then read or written by each command in a child process each, whose largest
resident set the system reports (``wait4``). One row in ten has a missing cell. Flat means that the
longest table takes at most a tenth more than the shortest. Rows per second are the further rows of
the longest table over the further processor seconds, so they leave out the start of the program.
For comparison the shortest table is also scored as a whole, loaded at once.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --rows 250000 10000000

Other numbers of rows than the default have a result of their own, ``streaming_large``. A command
that an earlier run has measured is not run again.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _record import Metric, arguments, part_of, write

ROWS = (250_000, 1_000_000)
GROUP = 1 << 17  # rows of a row group
NUMBERS = 14  # columns besides the six of several kinds
GAPS = 0.1  # share of the rows with a missing cell
LABELED = 1_000  # rows of the fit with a class
FLAT = 1.10
FAST = 10_000.0  # rows per second of detect
COMMANDS = ("detect", "impute", "sample", "synthesize", "reconstruct", "classify")
AT_ONCE = """
import sys
from pathlib import Path
from lowerbound.applications.anomaly.normal_rows import normal_of
from lowerbound.data import load
from lowerbound.applications.anomaly.reference import compared
from lowerbound.fitting.folder import read

fitted = read(sys.argv[1])
normal = normal_of(fitted, sys.argv[1], None, "combined")
compared(fitted.model, normal.reference, load(sys.argv[2], schema=fitted.schema))
"""


def make(path: Path, rows: int, seed: int, labeled: int = 0) -> None:
    """A table of correlated numbers, a skewed one, a count, a code and a flag.

    Args:
        path: the Parquet file.
        rows: their number.
        seed: of the cells.
        labeled: how many rows have a class in a further column; 0: there is no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(4, NUMBERS))
    writer = None
    for start in range(0, rows, GROUP):
        count = min(GROUP, rows - start)
        hidden = rng.normal(size=(count, 4))
        numbers = hidden @ mixing + 0.7 * rng.normal(size=(count, NUMBERS))
        size = 170.0 + 10.0 * hidden[:, 0]
        columns: dict[str, np.ndarray] = {
            f"x{place}": numbers[:, place] for place in range(NUMBERS)
        }
        columns |= {
            "size": size,
            "weight": size / 2 - 15 + rng.normal(0.0, 4.0, count),
            "income": np.exp(10.0 + 0.7 * hidden[:, 1]),
            "visits": rng.poisson(3.0, count),
            "region": np.array(["north", "east", "south", "west"])[rng.integers(0, 4, count)],
            "member": rng.random(count) < 0.3,
        }
        gaps = rng.random(count) < GAPS
        columns["x0"] = np.where(gaps, np.nan, columns["x0"])
        if labeled:
            kind = np.where(size > 170.0, "tall", "short").astype(object)
            kind[np.arange(start, start + count) >= labeled] = None
            columns["kind"] = kind
        table = pa.Table.from_pydict({n: pa.array(v, from_pandas=True) for n, v in columns.items()})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP)
    assert writer is not None
    writer.close()


class Cost(NamedTuple):
    """What a command took: largest resident set in MB, wall seconds, processor seconds."""

    memory: float
    wall: float
    processor: float


def peak(words: list[str]) -> Cost:
    """What a child process of Python took."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(words[:3])} ended with {child.returncode}")
    wall = time.perf_counter() - start
    return Cost(usage.ru_maxrss / 1024, wall, usage.ru_utime + usage.ru_stime)


def command(words: list[str], quick: bool) -> Cost:
    """What a command of the package took; ``quick``: in this process, whose memory is not its."""
    if not quick:
        return peak(["-m", "lowerbound", *words])
    from lowerbound.cli import main as lowerbound

    start, busy = time.perf_counter(), time.process_time()
    if code := lowerbound(words):
        raise SystemExit(f"{words[0]} ended with {code}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(memory, time.perf_counter() - start, time.process_time() - busy)


def fit(folder: Path, seed: int, quick: bool) -> None:
    """Fit the model m.lb, and classes.lb, which has classes."""
    make(folder / "sample.parquet", 5_000, seed)
    make(folder / "labeled.parquet", 5_000, seed, LABELED)
    words = ["--epochs", "2" if quick else "20", "--seed", str(seed), "--no-report"]
    command(["fit", str(folder / "sample.parquet"), "-o", str(folder / "m.lb"), *words], quick)
    classes = ["--label", "kind", "--model", "semi_supervised", "--folds", "0"]
    source, model = str(folder / "labeled.parquet"), str(folder / "classes.lb")
    command(["fit", source, "-o", model, *classes, *words], quick)


def run(name: str, rows: int, folder: Path, quick: bool) -> Cost:
    """What a command took for the table big.parquet of that many rows; its output is all there."""
    import pyarrow.parquet as pq

    model, out = folder / ("classes.lb" if name == "classify" else "m.lb"), folder / "out.parquet"
    drawn = name in ("sample", "synthesize")
    what = ["-n", str(rows)] if drawn else [str(folder / "big.parquet")]
    found = command([name, str(model), *what, "-o", str(out)], quick)
    assert pq.read_metadata(out).num_rows == rows
    return found


def measured(name: str, found: dict[int, Cost]) -> list[Metric]:
    """The metrics of a command, by the rows of its tables."""
    least, most = min(found), max(found)
    seconds = found[most].processor - found[least].processor
    rate = (most - least) / max(seconds, 1e-3)
    target = FAST if name == "detect" else None
    return [
        Metric(
            f"{name}, longest over shortest, peak memory",
            found[most].memory / found[least].memory,
            "x",
            "lower",
            target=FLAT,
        ),
        Metric(f"{name}, rows per processor second", rate, "rows/s", "higher", target=target),
        *(
            Metric(
                f"{name}, {rows:,} rows, peak memory",
                cost.memory,
                "MB",
                "lower",
                beside={"wall seconds": cost.wall, "processor seconds": cost.processor},
            )
            for rows, cost in found.items()
        ),
    ]


def kept(result: str, name: str, rows: int, measure: Callable[[], Cost]) -> Cost:
    """What a command took: read if an earlier run has measured it, else measured and kept."""
    answer = part_of(result, name, f"{rows} rows", lambda: measure()._asdict())
    return Cost(**answer)


def at_once(folder: Path) -> Metric:
    """The memory of scoring without streaming."""
    data, model = str(folder / "big.parquet"), str(folder / "m.lb")
    memory = peak(["-c", AT_ONCE, model, data]).memory
    return Metric("detect, all rows at once, peak memory", memory, "MB", "lower")


def quick_look(folder: Path, seed: int) -> None:
    """Every command once, on few rows; nothing is kept."""
    make(folder / "big.parquet", 2_000, seed + 1)
    for name in COMMANDS:
        print("quick, not quoted:", name, run(name, 2_000, folder, quick=True), flush=True)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    args = parser.parse_args()
    rows = sorted(args.rows)
    result = "streaming" if rows == list(ROWS) else "streaming_large"
    found: dict[str, dict[int, Cost]] = {name: {} for name in args.commands}
    further = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fit(folder, args.seed, args.quick)
        if args.quick:
            quick_look(folder, args.seed)
            return
        for count in rows:
            make(folder / "big.parquet", count, args.seed + 1)
            for name in args.commands:
                measure = partial(run, name, count, folder, quick=False)
                found[name][count] = kept(result, name, count, measure)
            if count == rows[0] and "detect" in args.commands:
                further.append(at_once(folder))
    write(
        result,
        [metric for name in found for metric in measured(name, found[name])] + further,
        data=[],
        seeds=[args.seed],
        minutes=sum(cost.wall for costs in found.values() for cost in costs.values()) / 60,
        notes="Twenty columns, made by the script, with a missing cell in one row of ten; row "
        "groups of 131,072 rows; one thread unless OMP_NUM_THREADS says more, on a machine that "
        "other processes shared. Rows per second leave out the start of the program.",
        command="python benchmarks/streaming.py "
        f"--rows {' '.join(map(str, rows))} --commands {' '.join(args.commands)}",
    )


if __name__ == "__main__":
    main()
