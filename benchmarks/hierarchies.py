"""Hierarchies on dynamically binarized MNIST: nats at stated cost, and whether deeper is better.

``two_layers`` is the network of Burda et al. 2016 with two stochastic layers, ``ladder`` a top-down
convolutional ladder. The other cells train the textbook's Markov chain (``chain_T``) and the ladder
of single pixels (``ladder_T``), both made of perceptrons, with T = 1, 2, 3, 5 latents and three
seeds, for about the same minutes each.

    python benchmarks/hierarchies.py --cell ladder        train and score one cell
    python benchmarks/hierarchies.py --list               what there is, and what is done
    python benchmarks/hierarchies.py                      all missing cells, then the result
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from _cells import (
    LADDER_TRAINING,
    Answer,
    Cell,
    done,
    drive,
    mnist_data,
    quick_look,
    write_cells,
)
from _pictures import keep
from _record import Metric

from lowerbound.models.options import ModelOptions

NAME = "hierarchies"
FIGURE = "mnist_nats_of_every_model.png"
LEVELS = (1, 2, 3, 5)
SEEDS = (0, 1, 2)
LATENTS = (64, 32, 16, 8, 4)
KINDS = ("chain", "ladder")

# epochs that take about the same processor time whatever the model and its depth
EPOCHS: dict[tuple[str, int], int] = {
    ("chain", 1): 110,
    ("chain", 2): 89,
    ("chain", 3): 76,
    ("chain", 5): 64,
    ("ladder", 1): 65,
    ("ladder", 2): 43,
    ("ladder", 3): 37,
    ("ladder", 5): 30,
}


def depth_model(kind: str, levels: int) -> ModelOptions:
    """Latents of 64, 32, 16, 8, 4 numbers from the data up, and networks of like width."""
    if kind == "chain":
        return ModelOptions(
            model="hierarchical",
            network="mlp",
            network_options={"hidden": [256, 256]},
            model_options={"latent_dims": LATENTS[:levels], "hidden": [256]},
            likelihood="bernoulli",
        )
    return ModelOptions(
        model="ladder",
        latent_dim=LATENTS[0],
        network="mlp",
        model_options={"levels": levels, "width": 256},
        likelihood="bernoulli",
    )


CELLS: dict[str, Cell] = {
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
        score_samples=100,
        tighter=500,
    ),
    "ladder": Cell(
        "convolutional ladder of 7 levels",
        70,
        model=ModelOptions(model="ladder", network="convolutional", likelihood="bernoulli"),
        batch_size=128,
        score_samples=100,
        tighter=500,
        training=LADDER_TRAINING,
    ),
    **{
        f"{kind}_{levels}_seed{seed}": Cell(
            f"{kind} of {levels} latents",
            EPOCHS[kind, levels],
            model=depth_model(kind, levels),
            seed=seed,
            score_samples=100,
        )
        for kind in KINDS
        for levels in LEVELS
        for seed in SEEDS
    },
}


def quick(seed: int) -> None:
    quick_look(CELLS["ladder_2_seed0"], seed, rows=2_000, scored=200, samples=5)


def summarize() -> None:
    """Write the result, and draw every model of the toolkit, from the cells that are done."""
    cells = done(NAME)
    metrics = [headline(cells[name], target) for name, target in TARGETS.items() if name in cells]
    metrics += depth(cells)
    figure({**done("mnist_likelihood"), **cells})
    spread = "Spread is the standard error over test digits, or the standard deviation over seeds."
    write_cells(NAME, metrics, mnist_data(cells), spread)


TARGETS = {"two_layers": 85.33, "ladder": 79.5}
BESIDE = {
    "two_layers": {"Burda et al. 2016": 85.33},
    "ladder": {"NVAE, 42 V100-hours (unconfirmed)": 78.01},
}


def headline(cell: Mapping[str, Any], target: float) -> Metric:
    tight = cell.get("tighter")
    beside = {"-ELBO": cell["negative_elbo"], **BESIDE[cell["cell"]]}
    if tight:
        beside["L_5000 - L_100, paired, 500 digits"] = tight["difference"]["mean"]
    return Metric(
        f"{cell['title']}, {cell['minutes']:.0f} minutes: -L_{cell['samples']} on "
        f"{cell['rows']:,} test digits",
        cell["nats"],
        "nats",
        "lower",
        cell["standard_error"],
        target,
        beside,
    )


def depth(cells: Mapping[str, Answer]) -> list[Metric]:
    """Mean and spread over seeds for each depth of each kind."""
    found = []
    for kind in KINDS:
        for levels in LEVELS:
            runs = [
                cells[name]
                for name in (f"{kind}_{levels}_seed{seed}" for seed in SEEDS)
                if name in cells
            ]
            if len(runs) < 2:
                continue
            nats = [run["nats"] for run in runs]
            minutes = statistics.mean(run["minutes"] for run in runs)
            elbo = statistics.mean(run["negative_elbo"] for run in runs)
            found.append(
                Metric(
                    f"{runs[0]['title']}, {minutes:.1f} minutes: -L_{runs[0]['samples']}",
                    statistics.mean(nats),
                    "nats",
                    "lower",
                    statistics.stdev(nats),
                    None,
                    {"-ELBO": elbo, "seeds": len(runs)},
                )
            )
    return found


def figure(cells: Mapping[str, Answer]) -> None:
    """Nats against minutes for every model: a line while it trains, a mark where it was scored."""
    canvas, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    shown = [name for name in cells if name.endswith("seed0") or "seed" not in name]
    colors = plt.get_cmap("tab20")(np.linspace(0, 1, max(len(shown), 1)))
    for name, color in zip(shown, colors, strict=True):
        cell = cells[name]
        line = np.array(cell["curve"])
        axes.plot(line[:, 0], line[:, 1], color=color, lw=1)
        label = f"{cell['title']}: {cell['nats']:.2f}"
        axes.plot(cell["minutes"], cell["nats"], "o", ms=4, color=color, label=label)
    axes.set(xlabel="minutes of training on two cores", ylabel="nats", ylim=(77, 110))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("lines: the bound in training, per record; marks: -L_K of the test digits")
    axes.legend(fontsize=6, ncols=2)
    axes.grid(alpha=0.3)
    keep(canvas, FIGURE)


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick)
