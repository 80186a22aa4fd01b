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

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from _cells import Cell, done, drive, mnist_data, quick_look, write_cells
from _pictures import keep
from _record import Metric
from _rivals import paired

from lowerbound.models.options import ModelOptions

NAME = "mnist_likelihood"
FIGURE = "mnist_nats_against_minutes.png"

ALONE = {"linear_start": False}  # the networks as published, without a linear path beside them
MLP = ModelOptions(
    latent_dim=50,
    network="mlp",
    network_options={"hidden": [200, 200], "activation": "tanh"},
    likelihood="bernoulli",
    model_options=ALONE,
)


def importance_weighted(samples: int, gradient: str) -> dict[str, Any]:
    return {
        "objective": "importance_weighted",
        "objective_options": {"samples": samples, "gradient": gradient},
    }


CELLS: dict[str, Cell] = {
    "k1": Cell("ELBO, k = 1", 1850, model=MLP),
    "k5": Cell("IWAE with DReG, k = 5", 900, model=MLP, **importance_weighted(5, "dreg")),
    "k50": Cell(
        "IWAE with DReG, k = 50",
        190,
        model=MLP,
        batch_size=64,  # many draws fill the processor; updates are what is short
        learning_rate=3e-3,
        **importance_weighted(50, "dreg"),
    ),
    "vamp": Cell(
        "ELBO, k = 1, VampPrior of 500",
        650,
        model=replace(MLP, prior="vamp", prior_options={"components": 500}),
    ),
    **{
        name: Cell(
            f"{network} encoder and decoder",
            epochs,
            model=ModelOptions(latent_dim=50, network=network, model_options=ALONE),
            batch_size=batch_size,
            learning_rate=learning_rate,
            score_samples=100,
            validation=5_000 / 60_000,
        )
        for name, network, epochs, batch_size, learning_rate in (
            ("network_mlp", "mlp", 220, 256, 2e-3),
            ("network_convolutional", "convolutional", 35, 128, 2e-3),
            ("network_transformer", "transformer", 27, 128, 1e-3),
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


def quick(seed: int) -> None:
    quick_look(CELLS["k5"], seed, rows=5_000, scored=200, samples=50)


def summarize() -> None:
    """Write the result from the cells that are done."""
    cells = done(NAME)
    metrics = [headline(cells[name], target) for name, target in TARGETS.items() if name in cells]
    metrics += [difference for difference in (gradients(cells), learned_prior(cells)) if difference]
    figure(cells)
    spread = "Spread is the standard error over test digits, or over paired seeds."
    write_cells(NAME, metrics, mnist_data(cells), spread)


TARGETS: dict[str, float | None] = {
    "k1": 86.76,
    "k5": 85.54,
    "k50": None,
    "vamp": None,
}
PUBLISHED = {"k1": 86.76, "k5": 85.54, "k50": 84.78}


def figure(cells: Mapping[str, Mapping[str, Any]]) -> None:
    """Nats against minutes: one line per network, one mark per cell where it ended."""
    canvas, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, cell in cells.items():
        if name.startswith("network_"):
            line = np.array(cell["curve"])
            label = f"{cell['title']}: -ELBO, held-out digits"
            (drawn,) = axes.plot(line[:, 0], line[:, 1], label=label)
            label = f"   -L_{cell['samples']} {cell['nats']:.2f}, test digits"
            color = drawn.get_color()
            axes.plot(cell["minutes"], cell["nats"], "o", color=color, label=label)
    for name, marker in zip(("k1", "k5", "k50", "vamp"), "sD^v", strict=True):
        if name in cells:
            cell = cells[name]
            label = f"{cell['title']}: -L_{cell['samples']} {cell['nats']:.2f}"
            axes.plot(cell["minutes"], cell["nats"], marker, color="black", ms=5, label=label)
    axes.set(xlabel="minutes of training on two cores", ylabel="nats", ylim=(82, 105), xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    keep(canvas, FIGURE)


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


def gradients(cells: Mapping[str, Mapping[str, Any]]) -> Metric | None:
    """DReG against plain gradients at k = 5: nats gained, paired over seeds."""
    both = [
        (cells[f"dreg_seed{seed}"]["nats"], cells[f"plain_seed{seed}"]["nats"])
        for seed in range(3)
        if f"plain_seed{seed}" in cells and f"dreg_seed{seed}" in cells
    ]
    if len(both) < 2:
        return None
    dreg, plain = np.transpose(both)
    gains = plain - dreg
    error = float(gains.std(ddof=1) / len(gains) ** 0.5)
    rival = paired(
        "plain", "k = 5, the same epochs", dreg.tolist(), plain.tolist(), "lower", "seed"
    )
    name = "DReG gains on the plain gradient, k = 5"
    return Metric(
        name,
        float(gains.mean()),
        "nats",
        "higher",
        error,
        0.15,
        rivals=[rival],
        beats=["plain"],
    )


def learned_prior(cells: Mapping[str, Mapping[str, Any]]) -> Metric | None:
    """The learned prior against N(0, I), at no more minutes."""
    if not {"vamp", "k1"} <= cells.keys():
        return None
    learned, plain = cells["vamp"], cells["k1"]
    return Metric(
        f"VampPrior ({learned['minutes']} minutes) gains on N(0, I) ({plain['minutes']} minutes)",
        plain["nats"] - learned["nats"],
        "nats",
        "higher",
        None,
        1.0,
    )


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick)
