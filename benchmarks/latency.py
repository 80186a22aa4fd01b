"""What people wait for: the start of each command, and where the time of its work goes.

Starts are wall seconds of child processes, the median of five, with the import of torch beside,
which is most of what remains where a command computes.

For the work, a model of 20 columns (those of ``streaming.py``) reads or writes a table in a child
process under ``cProfile``, whose clock is processor time. Each function's own time counts as one
of: matrix products, other functions of torch, tables (numpy, pandas, pyarrow), the package's own
code, where operators of tensors such as + and * count too, and the rest. A profile makes Python
look slower than it is: rows per second are of a run without one. Both follow a run on few rows, so
that nothing is left to import. ``least`` is what the matrix products of a row would take at the
rate of one large product, in percent of the processor time of a row.

A photograph of 12 megapixels, made of small ones, is compressed and decompressed by the codec in
the package; seconds a megapixel are those beyond a photograph of one megapixel.

    python benchmarks/latency.py
    python benchmarks/latency.py --commands detect encode
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _record import Metric, arguments, write
from matrix_rate import matrix_rate
from streaming import LABELED, command as run, fit, make

NAME = "latency"
ROWS, COUNTED = 100_000, 4_000  # rows of the profile, and of the count of operations
FITTED = 20_000  # rows of a fit, at most
ROUNDS = 5
STARTED = 1.0  # seconds of a start without a model
STARTS: Mapping[str, tuple[str, ...]] = {
    "list of the commands": ("--help",),
    "fit --help": ("fit", "--help"),
    "detect --help": ("detect", "--help"),
    "sample --help-all": ("sample", "--help-all"),
    "an unknown command": ("encod",),
    "an unknown option": ("encode", "m.lb", "t.csv", "-o", "o.csv", "--dimension", "3"),
    "a model that is not there": ("encode", "nothing.lb", "t.csv", "-o", "o.csv"),
}
DRAWN = ("sample", "synthesize")
WORK = ("fit", "encode", "reconstruct", "impute", "detect", "classify", *DRAWN)
SIDES = {"small": (1024, 1024), "large": (4000, 3000)}
KINDS = ("matrix products", "other functions of torch", "tables", "own code", "rest")
PROFILED = """
import cProfile, json, pstats, sys, time
from pathlib import Path
from torch.utils.flop_counter import FlopCounterMode
from lowerbound.cli import main

few, words = (line.split(chr(31)) for line in sys.argv[1:])
PRODUCTS = ("linear", "mm", "matmul", "einsum", "conv")

def kind(where, name):
    if where == "~" and ("torch" in name or "Tensor" in name):
        products = any(f"{each}>" in name or f".{each}}}" in name for each in PRODUCTS)
        return "matrix products" if products else "other functions of torch"
    if any(f"/{each}/" in where or each in name for each in ("numpy", "pandas", "pyarrow")):
        return "tables"
    if "/torch/" in where:
        return "other functions of torch"
    return "own code" if "/lowerbound/" in where else "rest"

def run(words):
    if code := main(words):
        sys.exit(code)

with FlopCounterMode(display=False) as counter:
    run(few)  # it also imports everything
began = time.process_time()
run(words)
found = {"seconds": time.process_time() - began, "operations": counter.get_total_flops()}
profile = cProfile.Profile(time.process_time)
profile.runcall(run, words)
kinds = found["kinds"] = {}
for (where, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():
    kinds[kind(where, name)] = kinds.get(kind(where, name), 0.0) + own
Path("found.json").write_text(json.dumps(found))
"""


def wall(words: Sequence[str]) -> float:
    """Seconds of a child process, whatever its exit code."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], capture_output=True, check=False)
    return time.perf_counter() - began


def starts(rounds: int) -> list[Metric]:
    """The start of each command."""
    found = []
    torch_alone = statistics.median(wall(["-c", "import torch"]) for _ in range(rounds))
    for name, words in STARTS.items():
        seconds = statistics.median(wall(["-m", "lowerbound", *words]) for _ in range(rounds))
        beside = {"import torch": torch_alone}
        print(f"{name}: {seconds:.2f} s, {beside}", flush=True)
        found.append(Metric(f"start: {name}", seconds, "s", "lower", None, STARTED, beside))
    return found


def words_of(command: str, folder: Path, rows: int) -> list[str]:
    """The command line that reads or writes so many rows."""
    table = folder / f"{rows}.parquet"
    if not table.exists():
        make(table, rows, 1, LABELED if command == "fit" else 0)
    out = folder / "out.parquet"
    if command == "fit":
        model = str(folder / "timed.lb")
        return ["fit", str(table), "-o", model, "--overwrite", "--no-report", "--test", "0"]
    model = str(folder / ("classes.lb" if command == "classify" else "m.lb"))
    what = ["-n", str(rows)] if command in DRAWN else [str(table)]
    return [command, model, *what, "-o", str(out)]


def child(few: Sequence[str], words: Sequence[str], folder: Path) -> Mapping[str, Any]:
    """What two command lines, of few rows and of all, found out about themselves."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROFILED, "\x1f".join(few), "\x1f".join(words)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:2])} ended with {done.returncode}: {done.stderr}")
    found: Mapping[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    return found


def work(command: str, folder: Path, rows: int, rate: float) -> list[Metric]:
    """Rows per processor second, and the shares of the time."""
    rows = min(rows, FITTED) if command == "fit" else rows
    few = min(rows, COUNTED)
    found = child(words_of(command, folder, few), words_of(command, folder, rows), folder)
    total, speed = sum(found["kinds"].values()), rows / found["seconds"]
    shares = {f"{kind}, %": 100 * found["kinds"].get(kind, 0.0) / total for kind in KINDS}
    least = 100 * found["operations"] / few / rate * speed
    print(f"{command}: {speed:,.0f} rows/s, {shares}, least {least:.1f}", flush=True)
    return [
        Metric(f"{command}: rows per processor second", speed, "rows/s", "higher"),
        Metric(f"{command}: least", least, "% of the time", "higher", beside=shares),
    ]


def photographs(folder: Path, quick: bool) -> list[Metric]:
    """Processor seconds a megapixel, and the largest memory, of a photograph of 12 megapixels."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    found = []
    for command in ("compress", "decompress"):
        costs = {}
        for name, (width, height) in SIDES.items():
            picture, file = folder / f"{name}.png", folder / f"{name}.lbz"
            if not picture.exists():
                piece = np.concatenate(load_sample_images().images, 1)
                times = (-(-height // piece.shape[0]), -(-width // piece.shape[1]), 1)
                pixels = np.tile(piece, times)[:height, :width]
                Image.fromarray(pixels[:96, :128] if quick else pixels).save(picture)
            back = folder / "back.png"
            what = [picture, "-o", file] if command == "compress" else [file, "-o", back]
            costs[name] = run([command, *map(str, what)], quick)
        small, large = SIDES["small"], SIDES["large"]
        more = (large[0] * large[1] - small[0] * small[1]) / 1e6
        seconds = (costs["large"].processor - costs["small"].processor) / more
        print(f"{command}: {costs}", flush=True)
        found += [
            Metric(f"{command}: processor seconds a megapixel", seconds, "s", "lower", None, 1.2),
            Metric(
                f"{command}, 12 megapixels: peak memory",
                costs["large"].memory,
                "MB",
                "lower",
                target=600.0,
                beside={"one megapixel, MB": costs["small"].memory},
            ),
        ]
    return found


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, default=ROWS)
    every = (*WORK, "photographs")
    parser.add_argument("--commands", nargs="+", choices=every, default=list(every))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    commands = ["encode", "photographs"] if chosen.quick else chosen.commands
    metrics = starts(1 if chosen.quick else ROUNDS)
    rate = matrix_rate(torch.float32)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if "photographs" in commands:
            metrics += photographs(folder, chosen.quick)
        fit(folder, chosen.seed, chosen.quick)
        for command in (each for each in commands if each != "photographs"):
            metrics += work(command, folder, 2_000 if chosen.quick else chosen.rows, rate)
    write(
        NAME,
        metrics,
        data=[],
        seeds=[chosen.seed],
        minutes=(time.perf_counter() - began) / 60,
        notes="One thread. A matrix product of 2,048 x 2,048 numbers had "
        f"{rate / 1e9:.0f} GFLOP/s. "
        f"Tables of {chosen.rows:,} rows in Parquet, of the fit "
        f"{FITTED:,}; the fit has all defaults, and a row counts "
        "once however often it was visited. Operations are counted on the first "
        f"{COUNTED:,} rows' command.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
