"""How long the commands take on real tables: fitting Adult with defaults, and scoring 494,021 rows.

- ``lowerbound fit`` of Adult's published training part (32,561 rows, 15 columns), all defaults; and
  by how much its bound on the published test part beats independent columns, whose marginals are
  fitted to that very test part, which favors them.
- ``lowerbound fit`` of a small table (breast_cancer, 569 rows).
- ``lowerbound detect`` of the ten-percent KDD Cup 1999 file without its label column, by a model of
  5,000 of its normal rows.

Wall and processor time of a child process each, starting Python included.

    python benchmarks/table_speed.py [--threads 2]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _record import Metric, arguments, write

from lowerbound.data import file_sha256, load
from lowerbound.data.tables.files import read_frame
from lowerbound.errors import DataError
from lowerbound.evaluation.likelihood.baselines import column_shares
from lowerbound.fitting.folder import read
from lowerbound.inference.likelihood import score

ADULT, ADULT_TEST = "uci_adult-train.csv.xz", "uci_adult-test.csv.xz"
KDD, NORMAL = "kddcup.data_10_percent.gz", "normal."
FITTED_ON = 5_000  # normal rows
K = 16


def timed(words: list[str], threads: int) -> tuple[float, float]:
    """(wall, processor) seconds of one command."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    command = [sys.executable, "-m", "lowerbound", *words]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"lowerbound {' '.join(words[:2])} ended with {child.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def times(name: str, found: tuple[float, float], target: float | None) -> list[Metric]:
    """Both times of one command; the target is for the wall."""
    print(f"{name}: {found[0]:.1f} s, {found[1]:.1f} s of processor", flush=True)
    return [
        Metric(f"{name}, wall time", found[0], "s", "lower", target=target),
        Metric(f"{name}, processor time", found[1], "s", "lower"),
    ]


def independent(model: Any, rows: Any) -> float:
    """Nats per row by a marginal of each column, fitted to the rows, in the data's own units."""
    shares = column_shares(model, rows)
    seen = 1.0 if rows.observed is None else rows.observed.double().mean(0)
    total = (seen * rows.x.new_tensor(shares.marginal)).sum()
    return float(total) + float(rows.log_jacobian(mass=False).mean())


def adult(folder: Path, data: Path, quick: bool, seed: int, threads: int) -> list[Metric]:
    model = folder / "adult.lb"
    few = ["--updates", "20"] if quick else []
    words = ["fit", str(data / ADULT), "-o", str(model), "--no-report", "--test", "0"]
    metrics = times("fit Adult", timed([*words, "--seed", str(seed), *few], threads), 60.0)
    fitted = read(model)
    test = load(data / ADULT_TEST, schema=fitted.schema)
    test = test.subset(range(500)) if quick else test
    scores = score(fitted.model, test, samples=K)
    alone = independent(fitted.model, test)
    gain = float(scores.bound.mean()) - alone
    spread = float(scores.bound.std()) / len(test) ** 0.5
    baselines = {"independent columns, nats per row": alone}
    name = f"Adult, L_{K} of the test part above independent columns"
    return [*metrics, Metric(name, gain, "nats per row", "higher", spread, 0.0, baselines)]


def small(folder: Path, quick: bool, threads: int) -> list[Metric]:
    few = ["--updates", "20"] if quick else []
    words = ["fit", "breast_cancer", "-o", str(folder / "breast.lb"), "--no-report", *few]
    return times("fit breast_cancer", timed(words, threads), None)


def kdd(folder: Path, data: Path, quick: bool, seed: int, threads: int) -> list[Metric]:
    frame = read_frame(data / KDD)
    label = str(frame.columns[-1])
    rows = frame.drop(columns=label)
    count = 200 if quick else FITTED_ON
    chosen = rows[frame[label] == NORMAL].sample(count, random_state=seed)
    chosen.to_parquet(folder / "normal.parquet", index=False)
    rows = rows.sample(3_000, random_state=seed) if quick else rows
    rows.to_parquet(folder / "all.parquet", index=False)
    model, out = str(folder / "kdd.lb"), str(folder / "scores.parquet")
    few = ["--updates", "20"] if quick else []
    fit = ["fit", str(folder / "normal.parquet"), "-o", model, "--no-report", *few]
    metrics = times(f"fit {count:,} rows of KDD", timed(fit, threads), None)
    words = ["detect", model, str(folder / "all.parquet"), "-o", out]
    return metrics + times(f"detect, {len(rows):,} rows of KDD", timed(words, threads), 30.0)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.quick:
        args.threads = 1  # two stall each other on a busy machine
    data = Path(os.environ.get("LOWERBOUND_DATA", ""))
    files = [ADULT, ADULT_TEST, KDD]
    missing = [name for name in files if not (data / name).is_file()]
    if missing:
        raise DataError(f"the data set {missing[0]} is missing: put it into LOWERBOUND_DATA")
    start, before = time.perf_counter(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        metrics = adult(folder, data, args.quick, args.seed, args.threads)
        metrics += small(folder, args.quick, args.threads)
        metrics += kdd(folder, data, args.quick, args.seed, args.threads)
    write(
        "table_speed",
        metrics,
        data=[{"file": one, "sha256": file_sha256(data / one), "split": "whole"} for one in files],
        seeds=[args.seed],
        minutes=(time.perf_counter() - start) / 60,
        notes=f"{args.threads} thread(s) a command. {before:.0f} other processes wanted the "
        f"processor at the start and {os.getloadavg()[0]:.0f} processes at the end (load "
        "averages): wall times are of a shared machine, processor times less so.",
        command=f"python benchmarks/table_speed.py --threads {args.threads}",
        quick=args.quick,
    )


if __name__ == "__main__":
    main()
