"""Two processes that train one model together, on the processor: speed, equality, and a kill.

- speed: a convolutional VAE of MNIST is fitted by one process with one thread, by one with two
  threads and by two with one thread each, in turns; rows per second of training. The ratio to one
  process of each turn is a value.
- equality: the noiseless bound (at the mean of q(z | x)) of 50 updates in float64, with the weights
  after them, by two processes and by one with the same batches.
- kill: one of two processes is killed in the middle of a fit; torch's launcher starts both again,
  and the weights at the end are compared with those of a fit that nobody disturbed.

    python benchmarks/processes.py
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _record import Metric, arguments, write
from safetensors.torch import load_file
from torch.distributions import kl_divergence

from lowerbound import processes
from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.likelihood import data_sha256
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, Bound
from lowerbound.trace import Batch
from lowerbound.training import TrainingOptions, train

BATCH = 256
FASTER, EQUAL = 1.7, 1e-6
ARMS = {"one process": (1, 1), "one process, two threads": (1, 2), "two processes": (2, 1)}
NOISELESS = "--noiseless"


class NoiselessELBO(ELBO):
    """The bound at the mean of q(z | x), a mean over rows without noise."""

    def forward(self, model: Any, batch: Batch) -> Bound:
        posterior = model.encode(batch)
        distortion = -model.decode(posterior.mean).log_prob(batch.x)[0]
        rate = kl_divergence(posterior, model.prior_distribution())[0]
        value = -distortion - rate
        return Bound(value, distortion, rate.unsqueeze(0), -value.mean())


def command(words: Sequence[str], threads: int) -> subprocess.Popen[str]:
    """A command of the package, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "lowerbound", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )


def speed(folder: Path, arm: str, updates: int) -> float:
    """Rows per second of training."""
    count, threads = ARMS[arm]
    words = ["fit", "mnist", "-o", str(folder / "speed.lb"), "--overwrite", "--json"]
    words += ["--network", "convolutional", "--batch-size", str(BATCH), "--updates", str(updates)]
    words += ["--validation", "0", "--precision", "float32", "--compile", "off"]
    words += ["--no-report", "--samples", "1", "--rows", "10"]
    words += ["--threads", str(threads), "--devices", str(count)]
    child = command(words, threads)
    out, said = child.communicate()
    if child.returncode:
        raise SystemExit(said)
    return float(BATCH * updates / json.loads(out)["seconds"])


def killed(folder: Path, updates: int) -> bool:
    """Whether a fit whose second process was killed ends with the weights of an undisturbed one."""
    found = []
    for name in ("whole", "killed"):
        words = ["fit", "digits", "-o", str(folder / name), "--no-report", "--samples", "1"]
        words += ["--updates", str(updates), "--patience", "0", "--checkpoint-seconds", "0.2"]
        child = command([*words, "--devices", "2"], 1)
        if name == "killed":
            kill_second(child, folder / name)
        _, said = child.communicate()
        if child.returncode:
            raise SystemExit(said)
        if name == "killed" and "resumed at update" not in said:
            raise SystemExit(f"nothing was resumed: {said}")
        found.append(load_file(folder / name / "model.safetensors"))
    return all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def kill_second(child: subprocess.Popen[str], folder: Path) -> None:
    """Kill the second process after the first checkpoint."""
    while not (folder / "checkpoint" / "state.json").exists():
        time.sleep(0.05)
    named = [place for place in Path("/proc").glob("[0-9]*") if _is_worker(place, child.pid)]
    os.kill(max(int(place.name) for place in named), signal.SIGKILL)


def _is_worker(place: Path, parent: int) -> bool:
    try:
        state = (place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(state[1]) == parent and b"spawn_main" in (place / "cmdline").read_bytes()
    except OSError:
        return False


def noiseless(seed: int) -> dict[str, Any]:
    """The bound and the weights after 50 updates by this process, or by its group."""
    options = TrainingOptions(updates=1, batch_size=BATCH, validation=0, seed=seed, threads=1)
    fitted = fit(load("digits"), FitOptions(ModelOptions(network="mlp"), training=options))
    rows: Dataset = load("digits")
    chosen = TrainingOptions(
        updates=50,
        batch_size=101,
        validation=0,
        seed=seed,
        threads=1,
        weight_average=0.0,
        precision="float32",
    )
    with processes.joined():
        history = train(fitted.model.double(), NoiselessELBO(), rows, chosen)
    assert history.last is not None
    weights = {name: value.double() for name, value in fitted.model.state_dict().items()}
    return {"bound": history.last.bound, "weights": weights}


def equality(folder: Path, seed: int) -> tuple[float, float]:
    """Largest difference of the bound, and of a weight, between two processes and one."""
    found = []
    for count in (1, 2):
        place = folder / f"noiseless{count}.pt"
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        line = [sys.executable, *launcher, __file__, NOISELESS, str(place), "--seed", str(seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(line, check=True, env=environment, stderr=subprocess.DEVNULL)
        found.append(torch.load(place))
    one, two = found
    off = max(
        float((two["weights"][name] - value).abs().max())
        for name, value in one["weights"].items()
        if value.numel()
    )
    return abs(one["bound"] - two["bound"]), off


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(NOISELESS, metavar="FILE", help="what each process of the equality runs")
    args = parser.parse_args()
    if args.noiseless:
        found = noiseless(args.seed)
        if processes.speaks():
            torch.save(found, args.noiseless)
        return
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bound, weights = equality(folder, args.seed)
        same = None if args.quick else killed(folder, 4_000)
        turns = []
        for _ in range(0 if args.quick else args.turns):
            turns.append({arm: speed(folder, arm, 150) for arm in ARMS})
            print(turns[-1], flush=True)
    names = ("digits",) if args.quick else ("digits", "mnist")
    metrics = [
        Metric(
            "largest difference of a weight after 50 updates without noise, two processes and one",
            weights,
            "",
            "lower",
            target=EQUAL,
            beside={"of the bound, nats per row": bound},
        ),
    ]
    if same is not None:
        words = "a killed process: the weights are those of the undisturbed fit (1: bit for bit)"
        metrics.append(Metric(words, float(same), "", "higher", target=1.0))
    if turns:
        ratios = [turn["two processes"] / turn["one process"] for turn in turns]
        metrics.append(
            Metric(
                "rows per second of training, two processes over one",
                median(ratios),
                "x",
                "higher",
                spread=(max(ratios) - min(ratios)) / 2,
                target=FASTER,
                beside={f"{arm}, rows/s": median(turn[arm] for turn in turns) for arm in ARMS},
            )
        )
    write(
        "processes",
        metrics,
        data=[{"file": name, "sha256": data_sha256(load(name))} for name in names],
        seeds=[args.seed],
        minutes=(time.perf_counter() - start) / 60,
        command=f"python benchmarks/processes.py --turns {args.turns}",
        notes="Speed: the median of the turns; spread: half their range. Batches of 256 in all "
        "processes together, gloo, one thread for each process.",
        quick=args.quick,
    )


if __name__ == "__main__":
    main()
