"""``detect --engine ray``: two workers beside one, and 20 workers killed at random times.

Tables of 20 columns, made here, are scored by a model that was fitted to 5,000 rows. Rows per
second are the further rows of the longer table over the further seconds, so they leave out the
start of the program and of Ray. One and two workers take turns. Then, while two workers score a
table, one of them is killed 20 times, and the file is compared with that of one process with one
thread.

    python benchmarks/ray_scoring.py
"""

from __future__ import annotations

import filecmp
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from _record import Metric, arguments, write
from streaming import make

SIZES = (50_000, 300_000)
KILLED_ROWS = 2_000_000
KILLS = 20
FASTER = 1.7
SECONDS_BETWEEN_KILLS = (2.0, 10.0)


def detect(model: Path, table: Path, scores: Path, words: Sequence[str]) -> float:
    """Score a table in a child process; its seconds."""
    start = time.perf_counter()
    line = [sys.executable, "-m", "lowerbound", "detect", str(model), str(table)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*line, "-o", str(scores), "--explain", "0", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - start


def rate(folder: Path, workers: int) -> float:
    """Rows per second with some workers."""
    words = ["--engine", "ray", "--workers", str(workers)]
    seconds = [
        detect(folder / "m.lb", folder / f"{rows}.parquet", folder / "scores.csv", words)
        for rows in SIZES
    ]
    return (SIZES[1] - SIZES[0]) / (seconds[1] - seconds[0])


class Killer(threading.Thread):
    """Kills a worker at random times, ``kills`` times or until it is stopped."""

    def __init__(self, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.done, self._kills = 0, kills
        self._random, self._stopped = random.Random(seed), threading.Event()

    def run(self) -> None:
        while self.done < self._kills:
            if self._stopped.wait(self._random.uniform(*SECONDS_BETWEEN_KILLS)):
                return
            found = workers()
            if found:
                os.kill(self._random.choice(found), signal.SIGKILL)
                self.done += 1

    def stop(self) -> None:
        """Kill no more."""
        self._stopped.set()
        self.join()


def workers() -> list[int]:
    """The processes of Ray that compute parts."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::_Worker"):
            found.append(int(place.name))
    return sorted(found)


def killed(folder: Path, rows: int, kills: int, seed: int) -> tuple[bool, int]:
    """Whether the file is that of one process, and how many workers were killed."""
    table = folder / f"{rows}.parquet"
    make(table, rows, seed)
    detect(folder / "m.lb", table, folder / "here.csv", [])
    killer = Killer(kills, seed)
    killer.start()
    detect(folder / "m.lb", table, folder / "ray.csv", ["--engine", "ray", "--workers", "2"])
    killer.stop()
    return filecmp.cmp(folder / "here.csv", folder / "ray.csv", shallow=False), killer.done


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder / "small.parquet", 500 if args.quick else 5_000, args.seed)
        fit = ["fit", str(folder / "small.parquet"), "-o", str(folder / "m.lb"), "--no-report"]
        size = ["--updates", "5" if args.quick else "500", "--samples", "3"]
        line = [sys.executable, "-m", "lowerbound", *fit, *size]
        subprocess.run(line, check=True, capture_output=True)
        if args.quick:
            same, kills = killed(folder, 1_000, 0, args.seed)
            print(f"quick, not quoted: the same bytes {same}")
            return
        for rows in SIZES:
            make(folder / f"{rows}.parquet", rows, args.seed)
        turns = []
        for _ in range(args.turns):
            turns.append({count: rate(folder, count) for count in (1, 2)})
            print(turns[-1], flush=True)
        same, kills = killed(folder, KILLED_ROWS, KILLS, args.seed)
    ratios = [turn[2] / turn[1] for turn in turns]
    write(
        "ray_scoring",
        [
            Metric(
                "rows per second of detect, two workers over one",
                median(ratios),
                "x",
                "higher",
                spread=(max(ratios) - min(ratios)) / 2,
                target=FASTER,
                beside={f"{n} workers, rows/s": median(turn[n] for turn in turns) for n in (1, 2)},
            ),
            Metric(
                f"the file after {kills} kills is that of one process (1: byte for byte)",
                float(same),
                "",
                "higher",
                target=1.0,
                beside={"workers killed": kills, "rows": KILLED_ROWS},
            ),
        ],
        data=[],
        seeds=[args.seed],
        minutes=(time.perf_counter() - start) / 60,
        command=f"python benchmarks/ray_scoring.py --turns {args.turns}",
        notes="Spread: half the range of the turns. Two cores, on which the command that reads the "
        "table and the processes of Ray also run.",
    )


if __name__ == "__main__":
    main()
