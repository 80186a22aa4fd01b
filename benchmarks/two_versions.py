"""Training by this checkout beside training by another commit of it, in turns.

Each version runs in a process of its own, which fits when it reads a line and answers with the
processor seconds of that fit. The two take turns, so that other work on the machine
meets both alike. Data, seed, options and updates are the same; one thread, float32, no compilation.

    python benchmarks/two_versions.py --before 0f43454
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from _record import ROOT, Metric, arguments, write
from _versions import Worker, ask, checked_out, in_turns, worker

WORKER = """
import json, sys, time
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits

torch.set_num_threads(1)
from lowerbound import VAE

rng = np.random.default_rng(0)
bits = (rng.random((4000, 28, 28)) < 0.2).astype(np.uint8)
digits = load_digits().images.astype(np.uint8)
pictures = np.kron(digits, np.ones((2, 2), dtype=np.uint8))
frame = load_breast_cancer(as_frame=True).data
frame = frame.mask(rng.random(frame.shape) < 0.1)

def model(case, updates):
    common = dict(training_options=dict(updates=updates), validation=0.0, precision="float32",
                  compile="off", random_state=0)
    if case == "perceptron":
        return VAE(latent_dim=16, network="mlp", network_options={"hidden": [512]},
                   batch_size=100, **common), bits
    if case == "convolutions":
        return VAE(latent_dim=8, network="convolutional", network_options={"width": 16},
                   batch_size=64, **common), pictures
    return VAE(latent_dim=8, batch_size=128, **common), frame

for line in sys.stdin:
    case, updates = json.loads(line)
    estimator, rows = model(case, updates)
    began = time.process_time()
    estimator.fit(rows)
    print(json.dumps(time.process_time() - began), flush=True)
"""
Seconds = dict[str, list[float]]
CASES = {"perceptron": 500, "convolutions": 60, "table": 700}
ROUNDS = 15
START = 20  # updates of a short fit, whose seconds are taken off


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--before", default="0f43454", help="the commit to compare with")
    given = parser.parse_args()
    began = time.perf_counter()
    rounds = 1 if given.quick else ROUNDS
    cases = {"perceptron": 40} if given.quick else CASES
    with tempfile.TemporaryDirectory() as folder:
        source = checked_out(given.before, Path(folder))
        if source is None:
            print(f"skipped: this checkout has no commit {given.before} to compare with")
            return
        workers = {"before": worker(source, WORKER), "now": worker(ROOT / "src", WORKER)}
        took = {case: compare(workers, case, n, rounds) for case, n in cases.items()}
        for process in workers.values():
            process.terminate()
    metrics = [metric for case, found in took.items() for metric in measured(case, found)]
    write(
        "two_versions",
        metrics,
        data=[{"file": "made by the script, and inside scikit-learn", "split": "all"}],
        seeds=[0],
        minutes=(time.perf_counter() - began) / 60,
        notes=f"Before is commit {given.before}; {rounds} rounds. Other work on the machine only "
        "adds processor time (caches and cores are shared), so the ratio of the fastest rounds is "
        "judged. The median of the ratios is noisier and stands beside it with its standard error. "
        "One thread each; the time of a short fit is subtracted, so that only updates count.",
        quick=given.quick,
        command=f"python benchmarks/two_versions.py --before {given.before}",
        extra={"seconds": took},
    )


def compare(workers: dict[str, Worker], case: str, updates: int, rounds: int) -> Seconds:
    """Processor seconds of fits in each round by either version, without those of a short fit."""
    for process in workers.values():
        ask(process, [case, START])  # what only the first fit waits for

    def measure(process: Worker) -> float:
        short: float = ask(process, [case, START])
        return float(ask(process, [case, updates]) - short)

    return in_turns(workers, rounds, measure)


def measured(case: str, took: dict[str, list[float]]) -> list[Metric]:
    """The ratio of the fastest rounds, and the median of the ratios round by round."""
    name = f"{case}: updates per processor second, now over before"
    ratios = [b / n for b, n in zip(took["before"], took["now"], strict=True)]
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else None
    fastest = min(took["before"]) / min(took["now"])
    return [
        Metric(f"{name}, fastest rounds", fastest, "x", "higher", target=0.98),
        Metric(f"{name}, median of rounds", statistics.median(ratios), "x", "higher", spread=error),
    ]


if __name__ == "__main__":
    main()
