"""Seconds from process start to the first update, and peak memory, of one epoch, beside pythae.

The MLP of ``throughput.py`` at batch 100 in float32 on MNIST at a threshold of 1/2, each run in a
process of its own, the two toolkits in turn. Memory is ``VmHWM``, the most that was resident.

pythae is installed by ``make bench-env``; without it those runs are left out and said so.

    python benchmarks/whole_process.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from _arms import HAS_PYTHAE, pictures
from _record import Metric, arguments, write

from lowerbound.data.catalog import data_folders, first_place

# VmHWM and not ru_maxrss, which a child inherits from the process that started it
PROCESS = r"""
import json, re, sys, time
start = float(sys.argv[1])
{body}
peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]
print(json.dumps({{"first": first - start, "memory": int(peak) / 1024}}))
"""

OURS = """
from lowerbound.training import TrainingOptions, train
sys.path.insert(0, "benchmarks")
import _arms
data = _arms.pictures()
clock = _arms.Clock()
from lowerbound.objectives import ELBO
options = _arms.options(100, "fp32", 0, epochs=1)
train(_arms.our_model("mlp"), ELBO(), data, options, reporter=clock)
first = time.time() - (time.perf_counter() - clock.seen[0][1])
"""

PYTHAE = """
import contextlib, io, tempfile
import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
x = np.load(sys.argv[2])["x_train"]
x = torch.from_numpy((x > 127).astype(np.uint8).reshape(-1, 1, 28, 28) * 255)  # as in its README
seen = []
class First(TrainingCallback):
    def on_train_step_end(self, training_config, **kwargs):
        if not seen:
            seen.append(time.time())
model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce"))
config = BaseTrainerConfig(output_dir=tempfile.mkdtemp(), num_epochs=1, learning_rate=1e-3,
                           per_device_train_batch_size=100)
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    TrainingPipeline(model=model, training_config=config)(train_data=x / 255.0, callbacks=[First()])
first = seen[0]
"""


def whole_process(body: str, *more: str) -> dict[str, float]:
    """Peak memory in MiB and seconds to the first update of one epoch in a process of its own."""
    script = PROCESS.format(body=body)
    answer = subprocess.run(
        [sys.executable, "-c", script, str(time.time()), *more],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return result


def measure(repeats: int) -> list[Metric]:
    """Medians over ``repeats`` processes; the spread is half the range."""
    mnist = str(first_place(data_folders(), ("mnist.npz",)))
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(whole_process(OURS))
        if HAS_PYTHAE:
            theirs.append(whole_process(PYTHAE, mnist))
    first, memory = middle(ours, "first"), middle(ours, "memory")
    if not theirs:
        return [
            Metric("process start to first update", first, "s", "lower"),
            Metric("peak memory", memory, "MiB", "lower"),
        ]
    peer = middle(theirs, "memory")
    starts = [run["first"] for run in ours]
    shares = [
        100 * mine["memory"] / other["memory"] for mine, other in zip(ours, theirs, strict=True)
    ]
    return [
        Metric(
            "process start to first update",
            first,
            "s",
            "lower",
            half_range(starts),
            beside={"pythae": middle(theirs, "first")},
        ),
        Metric(
            "peak memory, share of pythae's",
            statistics.median(shares),
            "%",
            "lower",
            half_range(shares),
            40,
            {"lowerbound MiB": memory, "pythae MiB": peer},
        ),
    ]


def middle(runs: list[dict[str, float]], figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


def half_range(values: list[float]) -> float:
    return (max(values) - min(values)) / 2


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    start = time.perf_counter()
    bits = pictures().bits_sha256  # says at once where there are none
    metrics = measure(1 if chosen.quick else 5)
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.2f} {metric.unit}", flush=True)
    write(
        "whole_process",
        metrics,
        data=[{"file": "mnist.npz", "split": "train", "sha256": bits}],
        seeds=[0],
        minutes=(time.perf_counter() - start) / 60,
        notes="" if HAS_PYTHAE else "pythae is not installed: make bench-env",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
