"""Training throughput against a hand-written, tuned PyTorch loop and against pythae 0.1.2.

Same network, same batch, same binary 28 x 28 pictures (MNIST at a threshold of 1/2), Adam 1e-3. All
arms run in turn inside one process, round by round, after one round that does not count; a rate is
the median over rounds, a ratio the median of the ratios of each round. Of every arm, what is timed
goes from the end of a round's first update to the end of its last: preparation, compilation and the
first update are left out. ``seconds`` in the result holds every round of every arm.

pythae is installed by ``make bench-env``; without it those arms are left out and said so.

    python benchmarks/throughput.py --cell mlp_100_fp32     one cell
    python benchmarks/throughput.py                         all missing cells, then the result
"""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

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
from _cells import Answer, done, drive, write_cells
from _record import Metric, commit, keep_answer

from lowerbound.data import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models import VariationalAutoencoder
from lowerbound.objectives import ELBO
from lowerbound.training import train

NAME = "throughput"
OURS, HAND, PYTHAE = "lowerbound", "hand", "pythae"


def compare(arms: dict[str, Arm], updates: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm for the updates of a round, after one round that does not count."""
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


@dataclass(frozen=True)
class Speed:
    """One network, batch and precision.

    Attributes:
        updates: in a round; more where they are short, on a machine that others use too.
        target: times pythae's trainer, in the toolkit's best setting (MLP) or in bf16.
    """

    kind: str
    batch: int
    setting: str
    updates: int
    rounds: int
    target: float

    @property
    def title(self) -> str:
        return f"{self.kind}, batch {self.batch}, {self.setting}"


@dataclass(frozen=True)
class Bound:
    """-ELBO on the test digits after the same epochs, each toolkit in its own settings."""

    epochs: int = 10
    seeds: tuple[int, ...] = (0, 1, 2)


SPEEDS = (
    Speed("mlp", 100, "fp32", 300, 21, 1.4),
    Speed("mlp", 512, "fp32", 100, 11, 1.4),
    Speed("mlp", 100, "bf16 + compile", 500, 21, 2.6),
    Speed("mlp", 512, "bf16 + compile", 110, 11, 4.0),
    Speed("convolutional", 100, "fp32", 9, 7, 0.95),
    Speed("convolutional", 512, "fp32", 4, 7, 0.95),
    Speed("convolutional", 100, "bf16 + compile", 11, 7, 1.4),
    Speed("convolutional", 512, "bf16 + compile", 4, 7, 1.4),
)
CELLS: dict[str, Speed | Bound] = {
    **{f"{s.kind}_{s.batch}_{s.setting.replace(' + ', '_')}": s for s in SPEEDS},
    "bound": Bound(),
}


def run(benchmark: str, name: str, cell: Speed | Bound, held_out: bool) -> Answer:
    """Measure one cell; the answer is also written beside the results."""
    began = time.perf_counter()
    found = speed_of(cell) if isinstance(cell, Speed) else bounds_of(cell)
    minutes = round((time.perf_counter() - began) / 60, 2)
    answer = {"cell": name, "seed": 0, "minutes": minutes, "commit": commit(), **found}
    print(json.dumps(answer), flush=True)
    keep_answer(benchmark, name, answer)
    return answer


def speed_of(cell: Speed) -> Answer:
    """Seconds of each arm for the updates of every round."""
    data = pictures()
    torch._dynamo.reset()
    arms = {
        OURS: our_arm(data, cell.kind, cell.batch, cell.setting, 0),
        HAND: hand_arm(data, cell.kind, cell.batch, cell.setting, 0),
    }
    if HAS_PYTHAE:
        arms[PYTHAE] = pythae_arm(data, cell.kind, cell.batch, cell.updates)
    return {"updates": cell.updates, "seconds": compare(arms, cell.updates, cell.rounds)}


def speed_metrics(cell: Speed, answer: Answer) -> Iterator[Metric]:
    seconds = answer["seconds"]
    rates = {
        f"{arm} images/s": cell.batch * answer["updates"] / statistics.median(times)
        for arm, times in seconds.items()
    }
    against, spread = ratio(seconds, OURS, HAND)
    name = f"{cell.title}: times the hand loop"
    yield Metric(name, against, "x", "higher", spread, 0.95, rates)
    if PYTHAE in seconds:
        against, spread = ratio(seconds, OURS, PYTHAE)
        yield Metric(f"{cell.title}: times pythae", against, "x", "higher", spread, cell.target)


def bounds_of(cell: Bound) -> Answer:
    """-ELBO of both toolkits by seed; nothing without pythae."""
    if not HAS_PYTHAE:
        return {"bounds": {}}
    data, test = pictures(), pictures("test")
    ours, theirs = [], []
    for seed in cell.seeds:
        with seeded(seed):
            model = our_model("mlp")
        train(model, ELBO(), data, options(100, "fp32", seed, epochs=cell.epochs))
        ours.append(negative_elbo(model, test))
        theirs.append(negative_elbo(pythae_as_ours(data, cell.epochs, seed), test))
    return {"bounds": {OURS: ours, PYTHAE: theirs}}


def bound_metric(cell: Bound, answer: Answer) -> Iterator[Metric]:
    bounds = answer["bounds"]
    if not bounds:
        return
    spread = max(map(statistics.stdev, bounds.values()))
    means = {name: statistics.mean(values) for name, values in bounds.items()}
    name = f"-ELBO minus pythae's after {cell.epochs} epochs"
    yield Metric(name, means[OURS] - means[PYTHAE], "nats", "lower", spread, 0.1, means)


def metrics_of(name: str, answer: Answer) -> Iterator[Metric]:
    cell = CELLS[name]
    return speed_metrics(cell, answer) if isinstance(cell, Speed) else bound_metric(cell, answer)


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
    encoder: Any = ours.encoder.layers
    decoder: Any = ours.decoder.layers
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


def summarize() -> None:
    answers = done(NAME)
    metrics = [
        metric for name in CELLS if name in answers for metric in metrics_of(name, answers[name])
    ]
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.3f} (target {metric.target})", flush=True)
    write_cells(
        NAME,
        metrics,
        [{"file": "mnist.npz", "split": "train", "sha256": pictures().bits_sha256}],
        "Spreads: half the range between quartiles of the rounds; of bounds, standard deviation "
        "over seeds." + ("" if HAS_PYTHAE else " pythae is not installed: make bench-env."),
    )


def quick(seed: int) -> None:
    """Two rounds of one cell, printed only."""
    found = speed_of(replace(SPEEDS[1], updates=20, rounds=2))
    print(f"quick, not quoted: {ratio(found['seconds'], OURS, HAND)[0]:.2f} times the hand loop")


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run, threads=torch.get_num_threads())
