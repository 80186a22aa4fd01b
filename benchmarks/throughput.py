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
import io
import statistics
import tempfile
import time

import torch
from _arms import (
    HAS_PYTHAE,
    LATENT,
    Arm,
    hand_arm,
    options,
    our_arm,
    our_model,
    pictures,
    pythae_arm,
)
from _record import Metric, arguments, write

from lowerbound.data import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models import VariationalAutoencoder
from lowerbound.objectives import ELBO
from lowerbound.training import train


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
