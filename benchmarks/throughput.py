"""Training throughput against a hand-written, tuned PyTorch loop and against pythae 0.1.2.

Same network, same batch, same binary 28 x 28 pictures (MNIST at a threshold of 1/2), Adam 1e-3. All
arms run in turn inside one process, round by round; a rate is the median over rounds, a ratio the
median of the ratios of each round. What is timed of this toolkit is ``training.train`` itself, from
its first record to its last, which leaves out preparing and compiling for every arm alike.

pythae is installed by ``make bench-env``; without it those arms are left out and said so.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --only mlp
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _record import Metric, arguments, write
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data import Dataset, load
from lowerbound.likelihoods import Bernoulli
from lowerbound.models import VariationalAutoencoder
from lowerbound.objectives import ELBO
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.reparameterization import seeded
from lowerbound.training import TrainingOptions, train

LATENT = 16
HAS_PYTHAE = importlib.util.find_spec("pythae") is not None
Arm = Callable[[int], float]  # updates -> seconds


class Flat(nn.Module):
    """Layers between rows and numbers, told nothing else."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, rows: Tensor, condition: Tensor | None = None) -> Tensor:
        answer: Tensor = self.layers(rows)
        return answer


def networks(kind: str) -> tuple[nn.Module, nn.Module]:
    """pythae's default MLP or its convolutional MNIST networks, layer by layer, with logits."""
    if kind == "mlp":
        encoder = Flat(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 2 * LATENT))
        pixels = nn.Unflatten(1, (1, 28, 28))
        return encoder, Flat(nn.Linear(LATENT, 512), nn.ReLU(), nn.Linear(512, 784), pixels)
    sizes = [1, 128, 256, 512, 1024]
    down = [
        layer
        for i, o in itertools.pairwise(sizes)
        for layer in (nn.Conv2d(i, o, 4, 2, padding=1), nn.BatchNorm2d(o), nn.ReLU())
    ]
    return Flat(*down, nn.Flatten(), nn.Linear(1024, 2 * LATENT)), Flat(
        nn.Linear(LATENT, 1024 * 16),
        nn.Unflatten(1, (1024, 4, 4)),
        nn.ConvTranspose2d(1024, 512, 3, 2, padding=1),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        nn.ConvTranspose2d(512, 256, 3, 2, padding=1, output_padding=1),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 1, 3, 2, padding=1, output_padding=1),
    )


def options(batch: int, setting: str, seed: int, **more: Any) -> TrainingOptions:
    return TrainingOptions(
        batch_size=batch,
        learning_rate=1e-3,
        schedule="constant",
        weight_average=0.0,
        precision="bf16" if setting.startswith("bf16") else "float32",
        compile="on" if setting.endswith("compile") else "off",
        validation=0.0,
        patience=0,
        seed=seed,
        **more,
    )


def our_model(kind: str) -> VariationalAutoencoder:
    encoder, decoder = networks(kind)
    likelihood = Bernoulli((1, 28, 28))
    return VariationalAutoencoder(
        encoder, GaussianPosterior(LATENT), StandardNormal(LATENT), decoder, likelihood
    )


def our_arm(data: Dataset, kind: str, batch: int, setting: str, seed: int) -> Arm:
    with seeded(seed):
        model, objective = our_model(kind), ELBO()

    def run(updates: int) -> float:
        clock = Clock()
        train(
            model, objective, data, options(batch, setting, seed, updates=updates), reporter=clock
        )
        return clock.seconds(updates)

    return run


def hand_arm(data: Dataset, kind: str, batch: int, setting: str, seed: int) -> Arm:
    """What an expert writes: tensors in memory, fused Adam, no logging."""
    with seeded(seed):
        encoder, decoder = networks(kind)

    def loss_of(x: Tensor) -> Tensor:
        mean, log_variance = encoder(x).float().chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        error = F.binary_cross_entropy_with_logits(decoder(z).float(), x, reduction="sum")
        rate = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        return (error + rate) / len(x)

    forward = torch.compile(loss_of) if setting.endswith("compile") else loss_of
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    precision = setting.startswith("bf16")

    def run(updates: int) -> float:
        assert updates * batch <= len(data)
        start = time.perf_counter()
        order = torch.randperm(len(data))
        for first in range(0, updates * batch, batch):
            x = data.x.index_select(0, order[first : first + batch]).float()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision):
                loss = forward(x)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return time.perf_counter() - start

    return run


def pythae_arm(data: Dataset, kind: str, batch: int, updates: int) -> Arm:
    """pythae's own ``BaseTrainer.train_step``, as its documentation sets it up."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    parts: dict[str, nn.Module] = {}
    if kind == "convolutional":
        parts = {
            "encoder": Encoder_Conv_VAE_MNIST(config),
            "decoder": Decoder_Conv_AE_MNIST(config),
        }
    rows = data.x[: updates * batch].float()
    folder = tempfile.mkdtemp()
    trainer = BaseTrainer(
        VAE(config, **parts),
        train_dataset=BaseDataset(rows, torch.zeros(len(rows))),
        training_config=BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=batch, learning_rate=1e-3, num_epochs=1
        ),
    )
    trainer.prepare_training()

    def run(count: int) -> float:
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            trainer.train_step(1)
        return time.perf_counter() - start

    return run


def compare(arms: dict[str, Arm], updates: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds + 1):
        for name, arm in arms.items():
            elapsed = arm(updates)
            if turn:
                seconds[name].append(elapsed)
    return seconds


def ratio(seconds: dict[str, list[float]], arm: str, peer: str) -> tuple[float, float]:
    """How many times as fast as the peer: median over rounds, half the range between quartiles."""
    ratios = [theirs / ours for ours, theirs in zip(seconds[arm], seconds[peer], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, (high - low) / 2


class Clock:
    """A reporter that remembers when each update it was told of was done."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def start(self) -> None:
        """Nothing to show."""

    def message(self, text: str) -> None:
        """Nothing to show."""

    def update(self, progress: Any) -> None:
        self.seen.append((progress.updates, time.perf_counter()))

    def stop(self) -> None:
        """Nothing to show."""

    def seconds(self, updates: int) -> float:
        """Time per update from the first report to the last, times ``updates``."""
        (first, start), (last, end) = self.seen[0], self.seen[-1]
        return (end - start) / (last - first) * updates


CELLS = {
    # kind, batch, setting: updates per round, rounds; short updates on a shared machine need more
    ("mlp", 100, "fp32"): (300, 21),
    ("mlp", 512, "fp32"): (100, 11),
    ("mlp", 100, "bf16 + compile"): (500, 21),
    ("mlp", 512, "bf16 + compile"): (110, 11),
    ("convolutional", 100, "fp32"): (8, 7),
    ("convolutional", 512, "fp32"): (3, 5),
    ("convolutional", 100, "bf16 + compile"): (10, 7),
    ("convolutional", 512, "bf16 + compile"): (3, 5),
}
# times pythae's trainer, in the toolkit's best setting (MLP) or in bf16 (its convolutional nets)
PYTHAE_TARGETS = {
    ("mlp", 100, "fp32"): 1.4,
    ("mlp", 512, "fp32"): 1.4,
    ("mlp", 100, "bf16 + compile"): 2.6,
    ("mlp", 512, "bf16 + compile"): 4.0,
    ("convolutional", 100, "fp32"): 0.95,
    ("convolutional", 512, "fp32"): 0.95,
    ("convolutional", 100, "bf16 + compile"): 1.4,
    ("convolutional", 512, "bf16 + compile"): 1.4,
}


def run_cell(data: Dataset, cell: tuple[str, int, str], updates: int, rounds: int) -> list[Metric]:
    kind, batch, setting = cell
    torch._dynamo.reset()
    arms = {
        "lowerbound": our_arm(data, kind, batch, setting, 0),
        "hand": hand_arm(data, kind, batch, setting, 0),
    }
    if HAS_PYTHAE:
        arms["pythae"] = pythae_arm(data, kind, batch, updates)
    seconds = compare(arms, updates, rounds)
    rates = {name: batch * updates / statistics.median(times) for name, times in seconds.items()}
    name = f"{kind}, batch {batch}, {setting}"
    against_hand, spread = ratio(seconds, "lowerbound", "hand")
    baselines = {f"{arm} images/s": rate for arm, rate in rates.items()}
    metrics = [
        Metric(f"{name}: times the hand loop", against_hand, "x", "higher", spread, 0.95, baselines)
    ]
    if HAS_PYTHAE:
        against, spread = ratio(seconds, "lowerbound", "pythae")
        target = PYTHAE_TARGETS[cell]
        metrics.append(Metric(f"{name}: times pythae", against, "x", "higher", spread, target))
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.3f} (target {metric.target})", flush=True)
    return metrics


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
import throughput
data = throughput.pictures()
clock = throughput.Clock()
from lowerbound.objectives import ELBO
options = throughput.options(100, "fp32", 0, epochs=1)
train(throughput.our_model("mlp"), ELBO(), data, options, reporter=clock)
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


def process_metrics(repeats: int) -> list[Metric]:
    import os

    mnist = str(Path(os.environ["LOWERBOUND_DATA"]) / "mnist.npz")
    ours = [whole_process(OURS) for _ in range(repeats)]
    memory = statistics.median(run["memory"] for run in ours)
    first = statistics.median(run["first"] for run in ours)
    metrics = [Metric("process start to first update", first, "s", "lower")]
    if HAS_PYTHAE:
        theirs = [whole_process(PYTHAE, mnist) for _ in range(repeats)]
        peer = statistics.median(run["memory"] for run in theirs)
        peer_first = statistics.median(run["first"] for run in theirs)
        metrics[0] = Metric(
            "process start to first update", first, "s", "lower", baselines={"pythae": peer_first}
        )
        baselines = {"lowerbound MiB": memory, "pythae MiB": peer}
        share = 100 * memory / peer
        metrics.append(
            Metric("peak memory, share of pythae's", share, "%", "lower", None, 40, baselines)
        )
    return metrics


def bound_metric(data: Dataset, epochs: int, seeds: list[int]) -> Metric | None:
    """-ELBO on the test digits after the same epochs, each toolkit in its own settings."""
    if not HAS_PYTHAE:
        return None
    test = pictures("test")
    ours, theirs = [], []
    for seed in seeds:
        with seeded(seed):
            model = our_model("mlp")
        train(model, ELBO(), data, options(100, "fp32", seed, epochs=epochs))
        ours.append(negative_elbo(model, test))
        theirs.append(negative_elbo(pythae_as_ours(data, epochs, seed), test))
    spread = max(statistics.stdev(ours), statistics.stdev(theirs))
    difference = statistics.mean(ours) - statistics.mean(theirs)
    return Metric(
        f"-ELBO minus pythae's after {epochs} epochs",
        difference,
        "nats",
        "lower",
        spread,
        round(0.1 + spread, 3),
        {"lowerbound": statistics.mean(ours), "pythae": statistics.mean(theirs)},
    )


def pythae_as_ours(data: Dataset, epochs: int, seed: int) -> VariationalAutoencoder:
    """Train with pythae, then put its weights into the same network here to score them alike."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    with seeded(seed):
        theirs = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce"))
        trainer = BaseTrainer(
            theirs,
            train_dataset=BaseDataset(data.x.float(), torch.zeros(len(data))),
            training_config=BaseTrainerConfig(
                output_dir=tempfile.mkdtemp(),
                per_device_train_batch_size=100,
                learning_rate=1e-3,
                num_epochs=epochs,
                seed=seed,
            ),
        )
        trainer.prepare_training()
        with contextlib.redirect_stderr(io.StringIO()):
            for epoch in range(1, epochs + 1):
                trainer.train_step(epoch)
    ours = our_model("mlp")
    encoder, decoder = ours.encoder.layers, ours.decoder.layers
    with torch.no_grad():
        pairs = [
            (encoder[1], theirs.encoder.layers[0][0]),
            (decoder[0], theirs.decoder.layers[0][0]),
            (decoder[2], theirs.decoder.layers[1][0]),
        ]
        for mine, other in pairs:
            mine.load_state_dict(other.state_dict())
        heads = [theirs.encoder.embedding, theirs.encoder.log_var]
        encoder[3].weight.copy_(torch.cat([head.weight for head in heads]))
        encoder[3].bias.copy_(torch.cat([head.bias for head in heads]))
    return ours


def negative_elbo(model: VariationalAutoencoder, test: Dataset) -> float:
    with seeded(0), torch.inference_mode():
        return -float(ELBO(samples=5)(model.eval(), test.all()).value.mean())


def pictures(split: str = "train") -> Dataset:
    return load("mnist", split=split, binarize="threshold").binarized()


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    parser.add_argument("--rounds", type=int, help="instead of each cell's own")
    chosen = parser.parse_args()
    start = time.perf_counter()
    data = pictures()
    metrics = []
    for cell, (updates, rounds) in CELLS.items():
        if chosen.quick and cell != ("mlp", 512, "fp32"):
            continue
        if chosen.only in " ".join(map(str, cell)):
            rounds = 2 if chosen.quick else chosen.rounds or rounds
            metrics += run_cell(data, cell, updates, rounds)
    if not chosen.quick and not chosen.only:
        metrics += process_metrics(3)
        bound = bound_metric(data, 10, [0, 1, 2])
        metrics += [bound] if bound else []
    write(
        "throughput",
        metrics,
        data=[{"file": "mnist.npz", "split": "train", "sha256": data.bits_sha256}],
        seeds=[chosen.seed],
        minutes=(time.perf_counter() - start) / 60,
        notes="" if HAS_PYTHAE else "pythae is not installed: make bench-env",
        quick=chosen.quick or bool(chosen.only),
    )


if __name__ == "__main__":
    main()
