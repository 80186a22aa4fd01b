"""Seconds until a compiled fit has made its first update, from the start of the process.

A child process fits MNIST at a threshold of 1/2 by ``lowerbound fit --compile on --precision bf16``
and notes the time after its first update: with an empty cache of torch's compiler, and again with
the cache that the first fit left, as it is kept between runs. Reading the data and all imports
count.

    python benchmarks/first_update.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _record import ROOT, Metric, arguments, write

NAME = "first_update"
BAR = 20.0  # seconds, with the cache kept
MODELS = {
    "mlp": ("--network", "mlp"),
    "convolutional": ("--network", "convolutional"),
    "ladder": ("--model", "ladder"),
}
TIMED = """
import sys, time
from lowerbound.cli import main
from lowerbound.training import run

made = run.TrainingRun.update

def update(self):
    made(self)
    if self.updates == 1:
        print("first update at", time.time(), flush=True)

run.TrainingRun.update = update
sys.exit(main(sys.argv[1:]))
"""


def first_update(words: tuple[str, ...], data: str, cache: Path) -> float:
    """Seconds from the start of a process to its first update."""
    with tempfile.TemporaryDirectory() as folder:
        given = [data, "-o", f"{folder}/m.lb", "--binarize", "threshold", "--updates", "2", *words]
        settings = ["--compile", "on", "--precision", "bf16", "--no-report"]
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-c", TIMED, "fit", *given, *settings],
            env={
                **os.environ,
                "TORCHINDUCTOR_CACHE_DIR": str(cache),
                "PYTHONPATH": str(ROOT / "src"),
            },
            capture_output=True,
            text=True,
            check=True,
        )
    if "compile failed" in (said := done.stdout + done.stderr):
        raise SystemExit(f"not compiled: {said}")
    noted = next(line for line in done.stdout.splitlines() if line.startswith("first update at"))
    return float(noted.split()[-1]) - began


def metric(name: str, data: str) -> Metric:
    with tempfile.TemporaryDirectory() as cache:
        empty, again = (first_update(MODELS[name], data, Path(cache)) for _ in range(2))
    print(f"{name}: {empty:.1f} s with an empty cache, {again:.1f} s again", flush=True)
    beside = {"with an empty cache, s": empty}
    return Metric(f"{name}: first update, cache kept", again, "s", "lower", None, BAR, beside)


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    if "CXX" not in os.environ and not any(map(shutil.which, ("g++", "clang++"))):
        print("no C++ compiler is here, so nothing can be compiled")
        return
    began = time.perf_counter()
    names, data = (["mlp"], "digits") if chosen.quick else (list(MODELS), "mnist")
    metrics = [metric(name, data) for name in names]
    write(
        NAME,
        metrics,
        data=[{"file": data, "split": "train"}],
        seeds=[0],
        minutes=(time.perf_counter() - began) / 60,
        notes="Wall seconds of one run each, with all cores of a machine that did nothing else.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
