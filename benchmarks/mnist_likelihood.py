"""Nats on dynamically binarized MNIST: bounds, gradients, priors and encoders at stated cost.

The network is that of Burda et al. 2016: 784-200-200-50, tanh. Settings were fixed on 5,000 rows
held out of the training part (``--held-out``); the figures come from training on all 60,000 rows
and scoring all 10,000 test digits, whose bits are fixed (their hash is in the result).

Each cell is one training run, resumable: started again, it goes on from its checkpoint. A cell
trains for a fixed number of epochs on one thread. ``minutes`` is its processor time over two, that
is its time on a machine of two cores, which does not depend on what else the machine does; the wall
time stands beside it.

    python benchmarks/mnist_likelihood.py --cell k1       train and score one cell
    python benchmarks/mnist_likelihood.py --list          what there is, and what is done
    python benchmarks/mnist_likelihood.py                 all missing cells, then the result
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _record import RESULTS, Metric, arguments, commit, write

from lowerbound.assembly import ModelOptions
from lowerbound.config import to_mapping
from lowerbound.data import Dataset, load
from lowerbound.evaluation.likelihood import score
from lowerbound.evaluation.tighter import carry_over
from lowerbound.fitting import FitOptions, fit
from lowerbound.training import Record, TrainingOptions

CELLS = RESULTS / "mnist_likelihood"
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "mnist_nats_against_minutes.png"
RUNS = Path("runs") / "mnist_likelihood"
IMPORTANCE_SAMPLES = 5000


@dataclass(frozen=True)
class Cell:
    """One training run."""

    title: str
    epochs: int
    objective: str = "elbo"
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    model: ModelOptions = field(default_factory=ModelOptions)
    batch_size: int = 256
    learning_rate: float = 2e-3
    seed: int = 0
    score_samples: int = IMPORTANCE_SAMPLES
    validation: float = 0.0  # share of the training rows held out for the curve and early stopping
    tighter: int = 0  # rows, spread over the test digits, that are also scored with 5,000 samples
    training: Mapping[str, Any] = field(default_factory=dict)

    def options(self) -> FitOptions:
        settings: dict[str, Any] = {
            "schedule": "linear",
            "adam_eps": 1e-4,
            "precision": "bf16",
            "compile": "on",
            "patience": 0,
            "threads": 1,
            **self.training,
        }
        training = TrainingOptions(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            validation=self.validation,
            seed=self.seed,
            **settings,
        )
        return FitOptions(self.model, self.objective, self.objective_options, training)


MLP = ModelOptions(
    latent_dim=50,
    network="mlp",
    network_options={"hidden": [200, 200], "activation": "tanh"},
    likelihood="bernoulli",
)


def importance_weighted(samples: int, gradient: str) -> dict[str, Any]:
    return {
        "objective": "importance_weighted",
        "objective_options": {"samples": samples, "gradient": gradient},
    }


CELLS_TO_RUN: dict[str, Cell] = {
    "k1": Cell("ELBO, k = 1", 1850, model=MLP),
    "k5": Cell("IWAE with DReG, k = 5", 900, model=MLP, **importance_weighted(5, "dreg")),
    "k50": Cell("IWAE with DReG, k = 50", 150, model=MLP, **importance_weighted(50, "dreg")),
    "vamp": Cell(
        "ELBO, k = 1, VampPrior of 500",
        650,
        model=replace(MLP, prior="vamp", prior_options={"components": 500}),
    ),
    "flow": Cell("ELBO, k = 1, flow prior", 1000, model=replace(MLP, prior="flow")),
    "two_layers": Cell(
        "two stochastic layers of Burda et al. 2016, k = 1",
        1400,
        model=ModelOptions(
            model="hierarchical",
            network="mlp",
            network_options={"hidden": [200, 200], "activation": "tanh"},
            model_options={"latent_dims": [100, 50], "hidden": [100, 100], "activation": "tanh"},
            likelihood="bernoulli",
        ),
    ),
    "ladder": Cell(
        "convolutional ladder of 7 levels",
        70,
        model=ModelOptions(model="ladder", network="convolutional", likelihood="bernoulli"),
        batch_size=128,
        score_samples=100,
        tighter=500,
        training={
            "schedule": "cosine",
            "weight_average": 0.998,
            "gradient_clip": 200.0,
            "weight_decay": 0.01,
            "adam_eps": 1e-8,
        },
    ),
    **{
        name: Cell(
            f"{network} encoder and decoder",
            epochs,
            model=ModelOptions(latent_dim=50, network=network),
            batch_size=batch_size,
            learning_rate=learning_rate,
            score_samples=100,
            validation=5_000 / 60_000,
        )
        for name, network, epochs, batch_size, learning_rate in (
            ("network_mlp", "mlp", 350, 256, 2e-3),
            ("network_convolutional", "convolutional", 55, 128, 2e-3),
            ("network_transformer", "transformer", 43, 128, 1e-3),
        )
    },
    **{
        f"{gradient}_seed{seed}": Cell(
            f"IWAE k = 5, {gradient} gradient",
            120,
            model=MLP,
            seed=seed,
            score_samples=500,
            **importance_weighted(5, gradient),
        )
        for seed in range(3)
        for gradient in ("plain", "dreg")
    },
}


def mnist(held_out: bool) -> tuple[Dataset, Dataset]:
    """Training rows and the rows to score, whose bits are fixed."""
    training = load("mnist", split="train", binarize="dynamic")
    if held_out:
        training, scored = training.split(5_000 / 60_000, seed=99)
    else:
        scored = load("mnist", split="test", binarize="dynamic")
    return training, scored.binarized(0)


@contextlib.contextmanager
def spent(folder: Path) -> Iterator[dict[str, float]]:
    """Seconds spent inside, added to those of earlier, interrupted runs of the same folder."""
    kept = folder / "spent.json"
    clock = {"wall": 0.0, "processor": 0.0}
    if kept.exists():
        clock |= json.loads(kept.read_text(encoding="utf-8"))
    wall, processor = time.perf_counter(), time.process_time()
    try:
        yield clock
    finally:
        clock["wall"] += time.perf_counter() - wall
        clock["processor"] += time.process_time() - processor
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(clock), encoding="utf-8")


def run_cell(name: str, cell: Cell, held_out: bool) -> dict[str, Any]:
    """Train and score one cell; the answer is also written beside the results."""
    training, scored = mnist(held_out)
    folder = RUNS / (name + ("_held_out" if held_out else ""))
    with spent(folder) as clock:
        resume = (folder / "checkpoint").exists()
        fitted = fit(training, cell.options(), folder=folder, resume=resume)
    wall, processor = clock["wall"], clock["processor"]
    print(f"{name}: trained in {processor / 60:.1f} processor minutes", flush=True)
    scores = score(fitted.model, scored, samples=cell.score_samples, seed=0)
    elbo, bound = scores.elbo.double(), scores.bound.double()
    tight: dict[str, Any] = {}
    if cell.tighter:
        carried = carry_over(fitted.model, scored, scores, IMPORTANCE_SAMPLES, cell.tighter)
        tight = {"tighter": to_mapping(carried)}
    answer = {
        "cell": name,
        "title": cell.title,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "minutes": round(processor / 120, 2),
        "wall_minutes": round(wall / 60, 2),
        "negative_elbo": -float(elbo.mean()),
        "nats": -float(bound.mean()),
        "standard_error": float(bound.std() / len(bound) ** 0.5),
        "samples": cell.score_samples,
        "effective_sample_size": float(scores.effective_sample_size.median()),
        "rows": len(scored),
        "bits_sha256": scored.bits_sha256,
        "skipped_updates": sum(record.skipped for record in fitted.history),
        "curve": curve(fitted.history, processor / 120),
        "commit": commit(),
        **tight,
    }
    print(json.dumps({k: v for k, v in answer.items() if k != "curve"}), flush=True)
    if not held_out:
        CELLS.mkdir(parents=True, exist_ok=True)
        (CELLS / f"{name}.json").write_text(json.dumps(answer) + "\n", encoding="utf-8")
        np.save(folder / "bound.npy", bound.numpy())
    return answer


def curve(history: Iterable[Record], minutes: float) -> list[list[float]]:
    """[minutes, -ELBO] of about sixty records, on held-out rows where there are some."""
    records = list(history)
    scale = minutes / records[-1].seconds
    points = [
        [round(record.seconds * scale, 3), -(record.validation or record.bound)]
        for record in records
    ]
    return points[:: max(1, len(points) // 60)]


def quick(seed: int) -> None:
    """A few seconds of the k = 5 cell, printed only."""
    cell = replace(CELLS_TO_RUN["k5"], epochs=2, seed=seed)
    training = replace(cell.options().training, compile="off", precision="float32")
    rows, scored = mnist(held_out=True)
    fitted = fit(rows.subset(range(5000)), replace(cell.options(), training=training))
    scores = score(fitted.model, scored.subset(range(200)), samples=50)
    print(
        f"quick, not quoted: -L_50 {-float(scores.bound.mean()):.2f} nats after 2 epochs of 5,000"
    )


def summarize() -> None:
    """Write the result from the cells that are done."""
    done = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in CELLS.glob("*.json")
    }
    metrics = [headline(done[name], target) for name, target in TARGETS.items() if name in done]
    metrics += [difference for difference in (gradients(done), priors(done)) if difference]
    first = next(iter(done.values()))
    figure(done)
    write(
        "mnist_likelihood",
        metrics,
        data=[{"file": "mnist.npz", "split": "test", "sha256": first["bits_sha256"]}],
        seeds=sorted({cell["seed"] for cell in done.values()}),
        minutes=sum(cell["minutes"] for cell in done.values()),
        notes="Minutes are processor time over two. Spread is the standard error over test digits, "
        "or over paired seeds. " + "; ".join(cost(cell) for cell in done.values()),
        extra={"cells": list(done.values())},
    )


TARGETS: dict[str, float | None] = {
    "k1": 86.76,
    "k5": 85.54,
    "k50": None,
    "vamp": None,
    "flow": None,
}
PUBLISHED = {"k1": 86.76, "k5": 85.54, "k50": 84.78}


def figure(done: Mapping[str, Mapping[str, Any]]) -> None:
    """Nats against minutes: one line per network, one mark per cell where it ended."""
    canvas, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, cell in done.items():
        if name.startswith("network_"):
            line = np.array(cell["curve"])
            label = f"{cell['title']}: -ELBO, held-out digits"
            (drawn,) = axes.plot(line[:, 0], line[:, 1], label=label)
            label = f"   -L_{cell['samples']} {cell['nats']:.2f}, test digits"
            color = drawn.get_color()
            axes.plot(cell["minutes"], cell["nats"], "o", color=color, label=label)
    for name, marker in zip(("k1", "k5", "k50", "vamp", "flow"), "sD^vP", strict=True):
        if name in done:
            cell = done[name]
            label = f"{cell['title']}: -L_{cell['samples']} {cell['nats']:.2f}"
            axes.plot(cell["minutes"], cell["nats"], marker, color="black", ms=5, label=label)
    axes.set(xlabel="minutes of training on two cores", ylabel="nats", ylim=(82, 105), xscale="log")
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    canvas.savefig(FIGURE, dpi=150)
    plt.close(canvas)


def headline(cell: Mapping[str, Any], target: float | None) -> Metric:
    published = PUBLISHED.get(cell["cell"])
    return Metric(
        f"{cell['title']}: -L_{cell['samples']} on {cell['rows']:,} test digits",
        cell["nats"],
        "nats",
        "lower",
        cell["standard_error"],
        target,
        {"-ELBO": cell["negative_elbo"]}
        | ({} if published is None else {"Burda et al. 2016": published}),
    )


def cost(cell: Mapping[str, Any]) -> str:
    return f"{cell['cell']}: {cell['epochs']} epochs, {cell['minutes']} minutes"


def gradients(done: Mapping[str, Mapping[str, Any]]) -> Metric | None:
    """DReG against plain gradients at k = 5: nats gained, paired over seeds."""
    gains = [
        done[f"plain_seed{seed}"]["nats"] - done[f"dreg_seed{seed}"]["nats"]
        for seed in range(3)
        if f"plain_seed{seed}" in done and f"dreg_seed{seed}" in done
    ]
    if len(gains) < 2:
        return None
    error = float(np.std(gains, ddof=1) / len(gains) ** 0.5)
    mean = float(np.mean(gains))
    return Metric("DReG gains on the plain gradient, k = 5", mean, "nats", "higher", error, 0.15)


def priors(done: Mapping[str, Mapping[str, Any]]) -> Metric | None:
    """The better learned prior against N(0, I), at no more minutes."""
    learned = [done[name] for name in ("vamp", "flow") if name in done]
    if not learned or "k1" not in done:
        return None
    best = min(learned, key=lambda cell: cell["nats"])
    gain = done["k1"]["nats"] - best["nats"]
    return Metric(
        f"learned prior ({best['cell']}, {best['minutes']} minutes) gains on N(0, I) "
        f"({done['k1']['minutes']} minutes)",
        gain,
        "nats",
        "higher",
        None,
        1.0,
    )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cell", choices=CELLS_TO_RUN)
    parser.add_argument("--epochs", type=int, help="instead of the cell's own")
    parser.add_argument("--held-out", action="store_true", help="hold 5,000 training rows out")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--summarize", action="store_true", help="write the result of what is done")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        quick(options.seed)
        return
    if options.summarize:
        summarize()
        return
    if options.list:
        for name, cell in CELLS_TO_RUN.items():
            done = "done" if (CELLS / f"{name}.json").exists() else ""
            print(f"{name:12} {cell.epochs:5} epochs  {cell.title}  {done}")
        return
    if options.cell:
        cell = CELLS_TO_RUN[options.cell]
        cell = replace(cell, epochs=options.epochs or cell.epochs)
        run_cell(options.cell, cell, options.held_out)
        return
    for name, cell in CELLS_TO_RUN.items():
        if not (CELLS / f"{name}.json").exists():
            run_cell(name, cell, held_out=False)
    summarize()


if __name__ == "__main__":
    main()
