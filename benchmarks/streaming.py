"""Peak memory of ``lowerbound detect`` on Parquet tables of growing length: flat, or not.

A small model is fitted to 5,000 rows. Tables of the same kind, made here, are scored by the command
in a child process each, whose largest resident set the system reports (``wait4``). Flat means that
the longest table takes at most a tenth more than the shortest. For comparison the shortest one is
also scored as a whole, loaded at once.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --rows 1000000 10000000
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import Metric, arguments, write

ROWS = (1_000_000, 4_000_000)
GROUP = 1 << 17  # rows of a row group
FLAT = 1.10
AT_ONCE = """
import sys
from pathlib import Path
from lowerbound.applications.anomaly.normal_rows import normal_of
from lowerbound.data import load
from lowerbound.inference.anomaly.scores import raw_scores
from lowerbound.model_folder.folder import read

fitted = read(sys.argv[1])
normal = normal_of(fitted, sys.argv[1], None, "combined")
normal.reference.components(raw_scores(fitted.model, load(sys.argv[2], schema=fitted.schema)))
"""


def make(path: Path, rows: int, seed: int) -> None:
    """A table of two correlated numbers, a skewed one, a count, a code and a flag."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, rows, GROUP):
        count = min(GROUP, rows - start)
        size = rng.normal(170.0, 10.0, count)
        columns = {
            "size": size,
            "weight": size / 2 - 15 + rng.normal(0.0, 4.0, count),
            "income": rng.lognormal(10.0, 0.7, count),
            "visits": rng.poisson(3.0, count),
            "region": np.array(["north", "east", "south", "west"])[rng.integers(0, 4, count)],
            "member": rng.random(count) < 0.3,
        }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP)
    assert writer is not None
    writer.close()


def peak(words: list[str]) -> tuple[float, float, float]:
    """(largest resident set in MB, wall seconds, processor seconds) of a child process."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(words[:3])} ended with {child.returncode}")
    wall = time.perf_counter() - start
    return usage.ru_maxrss / 1024, wall, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    args = parser.parse_args()
    rows = [5_000, 20_000] if args.quick else sorted(args.rows)
    start = time.perf_counter()
    metrics, peaks = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "sample.parquet", 5_000, args.seed)
        model = str(folder / "model.lb")
        command = ["-m", "lowerbound"]
        epochs = ["--epochs", "2" if args.quick else "20", "--seed", str(args.seed)]
        peak([*command, "fit", str(folder / "sample.parquet"), "-o", model, "--no-report", *epochs])
        for count in rows:
            data, scores = folder / "big.parquet", folder / "scores.parquet"
            make(data, count, args.seed + 1)
            found = peak([*command, "detect", model, str(data), "-o", str(scores)])
            metrics += measured(count, data, scores, found)
            peaks.append(found[0])
            if count == rows[0]:
                whole = peak(["-c", AT_ONCE, model, str(data)])[0]
                metrics.append(Metric("all rows at once, peak memory", whole, "MB", "lower"))
            print(*metrics, sep="\n", flush=True)
    growth = Metric(
        "longest over shortest, peak memory", peaks[-1] / peaks[0], "x", "lower", target=FLAT
    )
    write(
        "streaming",
        [growth, *metrics],
        data=[],
        seeds=[args.seed],
        minutes=(time.perf_counter() - start) / 60,
        notes="Six columns, made by the script; row groups of 131,072 rows; one thread unless "
        "OMP_NUM_THREADS says more, on a machine that other processes shared.",
        command=f"python benchmarks/streaming.py --rows {' '.join(map(str, rows))}",
        quick=args.quick,
    )


def measured(
    rows: int, data: Path, scores: Path, found: tuple[float, float, float]
) -> list[Metric]:
    """What scoring a table took; the scores are all there."""
    import pyarrow.parquet as pq

    assert pq.read_metadata(scores).num_rows == rows
    memory, wall, processor = found
    size = {"MB of the file": data.stat().st_size / 2**20}
    return [
        Metric(f"{rows:,} rows, peak memory", memory, "MB", "lower", beside=size),
        Metric(f"{rows:,} rows, wall time", wall, "s", "lower"),
        Metric(f"{rows:,} rows, processor time", processor, "s", "lower"),
    ]


if __name__ == "__main__":
    main()
