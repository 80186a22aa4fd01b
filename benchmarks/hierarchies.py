"""Hierarchies on dynamically binarized MNIST: nats at stated cost, and whether deeper is better.

``two_layers`` is the network of Burda et al. 2016 with two stochastic layers, ``ladder`` a top-down
convolutional ladder. ``ladder_gpu`` is a larger one, which needs a GPU, and ``ladder_gpu_short``
the same with fewer epochs; their minutes are those of the GPU, compilation included.
The other cells train the textbook's Markov chain (``chain_T``) and the ladder of single pixels
(``ladder_T``), both made of perceptrons, with T = 1, 2, 3, 5 latents and three seeds, for about the
same minutes each.

    python benchmarks/hierarchies.py --cell ladder        train and score one cell
    python benchmarks/hierarchies.py --list               what there is, and what is done
    python benchmarks/hierarchies.py                      all missing cells, then the result
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
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


LARGE = Cell(
    "convolutional ladder of 12 levels",
    110,
    model=ModelOptions(
        model="ladder",
        network="convolutional",
        model_options={"levels": 12, "width": 64},
        likelihood="bernoulli",
    ),
    batch_size=512,
    score_samples=100,
    validation=1 / 30,
    tighter=500,
    training={**LADDER_TRAINING, "warm_up": 500, "device": "cuda"},
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
    **(
        {"ladder_gpu": LARGE, "ladder_gpu_short": replace(LARGE, epochs=65)}
        if torch.cuda.is_available()
        else {}
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


TARGETS = {"two_layers": 85.33, "ladder": 79.5, "ladder_gpu_short": 78.01, "ladder_gpu": 78.01}
NVAE = {"NVAE, 42 V100-hours (unconfirmed)": 78.01}
BESIDE = {
    "two_layers": {"Burda et al. 2016": 85.33},
    "ladder": NVAE,
    "ladder_gpu_short": NVAE,
    "ladder_gpu": NVAE,
}


def headline(cell: Mapping[str, Any], target: float) -> Metric:
    tight = cell.get("tighter")
    beside = {"-ELBO": cell["negative_elbo"], **BESIDE[cell["cell"]]}
    if tight:
        beside["L_5000 - L_100, paired, 500 digits"] = tight["difference"]["mean"]
    minutes = f"{cell['minutes']:.1f}" if "gpu" in cell else f"{cell['minutes']:.0f}"
    return Metric(
        f"{cell['title']}, {minutes} minutes{on(cell)}: -L_{cell['samples']} on "
        f"{cell['rows']:,} test digits",
        cell["nats"],
        "nats",
        "lower",
        cell["standard_error"],
        target,
        beside,
    )


def on(cell: Mapping[str, Any]) -> str:
    """The GPU that a cell was trained on, in words."""
    return f" on one {cell['gpu']}" if "gpu" in cell else ""


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


FAMILIES = {
    "one latent: objective and prior": ("k1", "k5", "k50", "plain", "dreg", "vamp"),
    "one latent: network": ("network_mlp", "network_convolutional", "network_transformer"),
    "chain of latents": ("chain_1", "chain_2", "chain_3", "chain_5", "two_layers"),
    "ladder of latents": ("ladder_1", "ladder_2", "ladder_3", "ladder_5", "ladder"),
}
"""Cells by the panel that shows them; of several seeds, the first."""

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000")
"""Colors that color-blind readers can distinguish (Okabe & Ito 2008)."""


def figure(cells: Mapping[str, Answer]) -> None:
    """Nats against minutes, one panel for each family, with the other models in grey."""
    canvas, grid = plt.subplots(
        2, 2, figsize=(10, 8), sharex=True, sharey=True, layout="constrained"
    )
    first = {name.removesuffix("_seed0"): cell for name, cell in cells.items()}
    shown = {name: first[name] for names in FAMILIES.values() for name in names if name in first}
    for axes, (title, names) in zip(grid.ravel(), FAMILIES.items(), strict=True):
        for cell in shown.values():
            axes.plot(*np.array(cell["curve"])[:, :2].T, color="#d9dde3", lw=0.8)
        for name, color in zip((n for n in names if n in shown), COLORS, strict=False):
            cell = shown[name]
            axes.plot(*np.array(cell["curve"])[:, :2].T, color=color, lw=1.8)
            label = f"{cell['title']}: {cell['nats']:.1f}"
            axes.plot(cell["minutes"], cell["nats"], "o", ms=7, color=color, label=label)
        axes.set_title(title, loc="left", fontsize=12)
        axes.legend(fontsize=9, frameon=False, loc="lower left")
        axes.grid(alpha=0.3)
    grid[0, 0].set(xscale="log", xlim=(0.05, 60), ylim=(70, 110))
    grid[0, 0].xaxis.set_major_formatter("{x:g}")
    canvas.supxlabel("minutes of training on two cores")
    canvas.supylabel("nats, the fewer the better")
    canvas.suptitle("Lines: the bound in training. Dots, and numbers: −L_K of the test digits.")
    keep(canvas, FIGURE)


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick)
