"""Style mixing: the class of one picture, the style of another, at every cut.

A top-down ladder of five levels, the last a style, is fitted to MNIST and to Fashion-MNIST with two
free nats per level: what the style can say it then says free of charge, and not the levels above.
A's latents are taken above the cut; the posterior of B decides the rest, asked again in A's
context. Two figures per cut, over all pairs of 100 A and 100 B of different classes:

- the share of mixtures that a classifier gives A's class (A are pictures that it gets right);
- the correlation of the mixture's style with B's, Pearson's r over pairs. Style is the width of the
  stroke for digits (twice the area of the ink over its outline) and the brightness of the garment
  (mean grey of what is not background).

The cut is chosen on training pictures that were held out: the one with the largest r among those
that keep at least 90 % of the classes, or that keeps most where none does. What is quoted is
measured on test pictures.

    python benchmarks/style_mixing.py --only mnist
    python benchmarks/style_mixing.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from _cells import LADDER_TRAINING, fit_on
from _pictures import keep
from _record import Metric, arguments, write
from torch import Tensor

from lowerbound.applications.generation.mixing import mix_rows
from lowerbound.data import Dataset, load
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.evaluation.samples.feature_network import FeatureNetwork, fit_feature_network
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.likelihood import data_sha256
from lowerbound.models import Mixes, Model, require
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "style_mixing"
RUNS = Path("runs") / NAME
PICTURES = 100
SHOWN = 8
KEPT, FOLLOWED = 0.9, 0.5
CLASSIFIED = 20_000


def stroke_width(pictures: Tensor) -> Tensor:
    """Twice the area of the ink over the length of its outline, in pixels, (rows,)."""
    ink = (pictures[:, 0] > 0.5).float()
    framed = torch.nn.functional.pad(ink, (1, 1, 1, 1))
    outline = framed.diff(dim=1).abs().sum((1, 2)) + framed.diff(dim=2).abs().sum((1, 2))
    return 2 * ink.sum((1, 2)) / outline.clamp_min(1)


def brightness(pictures: Tensor) -> Tensor:
    """Mean grey of what is not background, (rows,)."""
    grey = pictures[:, 0]
    garment = (grey > 0.1).float()
    return (grey * garment).sum((1, 2)) / garment.sum((1, 2)).clamp_min(1)


@dataclass(frozen=True)
class Task:
    """A data set, the ladder that is fitted to it, and what style is there."""

    title: str
    source: str
    style: Callable[[Tensor], Tensor]
    style_name: str
    likelihood: str
    binarize: Any
    epochs: int = 10


TASKS = {
    task.source: task
    for task in (
        Task("MNIST", "mnist", stroke_width, "stroke width", "bernoulli", "dynamic"),
        Task(
            "Fashion-MNIST",
            "fashion_mnist",
            brightness,
            "brightness",
            "discretized_logistic",
            "none",
        ),
    )
}


@dataclass(frozen=True)
class Cut:
    """What mixing at one cut does."""

    levels: int
    kept: float
    followed: float


def parts(task: Task) -> tuple[Dataset, Dataset, Dataset]:
    """Rows to train on, rows that choose the cut, and test rows."""
    whole = load(task.source, split="train", binarize=task.binarize)
    training, choosing = whole.split(1_000 / 60_000, seed=99)
    return training, choosing, load(task.source, split="test", schema=whole.schema)


def ladder(task: Task) -> ModelOptions:
    return ModelOptions(
        model="ladder",
        network="convolutional",
        likelihood=task.likelihood,
        model_options={"levels": 5, "style": 4},
    )


def fitted_ladder(task: Task, training: Dataset, epochs: int, seed: int) -> tuple[Model, float]:
    """The ladder and the minutes that it took; goes on where an earlier run stopped."""
    options = FitOptions(
        ladder(task),
        objective_options={"free_bits": 2.0},
        training=TrainingOptions(
            epochs=epochs,
            batch_size=128,
            learning_rate=2e-3,
            precision="bf16",
            compile="on",
            validation=0.0,
            patience=0,
            threads=1,
            seed=seed,
            **LADDER_TRAINING,
        ),
    )
    fitted, clock = fit_on(RUNS / task.source, training, options)
    return fitted.model, clock["processor"] / 120


def pairs(rows: Dataset, judge: FeatureNetwork, seed: int) -> tuple[Dataset, Dataset]:
    """A, which the classifier gets right, and B, no row in both."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    shuffled = rows.subset(order)
    assert shuffled.label is not None
    right = judge(grey(shuffled)).argmax(1) == shuffled.label
    first = torch.nonzero(right)[:PICTURES, 0]
    rest = torch.ones(len(rows), dtype=torch.bool)
    rest[first] = False
    return shuffled.subset(first), shuffled.subset(torch.nonzero(rest)[:PICTURES, 0])


def cuts(task: Task, model: Model, judge: FeatureNetwork, rows: Dataset, seed: int) -> list[Cut]:
    """Every cut, over the same pairs."""
    a, b = pairs(rows, judge, seed)
    assert a.label is not None
    assert b.label is not None
    differ = (a.label[:, None] != b.label[None]).flatten()
    label = a.label.repeat_interleave(len(b))[differ]
    style = task.style(grey(b)).repeat(len(a))[differ]
    levels = len(require(model, Mixes, "mix styles").latent_shapes)
    found = []
    for cut in range(1, levels):
        mixed = mix_rows(model, a, b, cut).flatten(0, 1)[differ]
        kept = (judge(mixed).argmax(1) == label).float().mean()
        together = torch.stack([task.style(mixed), style])
        found.append(Cut(cut, float(kept), float(torch.corrcoef(together)[0, 1])))
        print(f"{task.title}, {cut} of {levels} levels from A: {found[-1]}", flush=True)
    return found


def chosen_cut(found: list[Cut]) -> int:
    """Levels from A."""
    enough = [cut for cut in found if cut.kept >= KEPT]
    if not enough:
        return max(found, key=lambda cut: cut.kept).levels
    return max(enough, key=lambda cut: cut.followed).levels


def matrix(model: Model, test: Dataset, judge: FeatureNetwork, levels: int, name: str) -> None:
    """Mixtures of eight test pictures at the left with eight on top, drawn as they come."""
    a, b = (rows.subset(range(SHOWN)) for rows in pairs(test, judge, seed=1))
    mixed = mix_rows(model, a, b, levels)
    table = torch.cat([grey(b)[None], mixed])
    left = torch.cat([torch.zeros_like(table[0, :1]), grey(a)])[:, None]
    lines = torch.cat([left, table], 1)[:, :, 0]
    picture = lines.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    canvas, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    side = test.schema.event_shape[-1]
    axes.axhline(side - 0.5, color="tab:red", lw=1)
    axes.axvline(side - 0.5, color="tab:red", lw=1)
    axes.set(xticks=[], yticks=[], xlabel="style of", ylabel="the rest of")
    axes.xaxis.set_label_position("top")
    keep(canvas, name, dpi=80)


def grey(rows: Dataset) -> Tensor:
    """Pictures as they are, never bits, in [0, 1]."""
    return real_rows(rows).float()


def measure(task: Task, epochs: int, seed: int) -> tuple[list[Metric], dict[str, str], float]:
    """The two figures at the cut that training pictures chose, and the other cuts beside them."""
    training, choosing, test = parts(task)
    model, minutes = fitted_ladder(task, training, epochs, seed)
    judge = fit_feature_network(training.subset(range(CLASSIFIED)), test, seed=seed)
    levels = chosen_cut(cuts(task, model, judge, choosing, seed))
    found = cuts(task, model, judge, test, seed)
    at = next(cut for cut in found if cut.levels == levels)
    matrix(model, test, judge, levels, f"style_matrix_{task.source}.png")
    where = f"{task.title}, {levels} levels from A"
    accuracy = {"classifier's accuracy on test pictures": judge.description.accuracy or 0.0}
    metrics = [
        Metric(
            f"{where}: keep A's class",
            100 * at.kept,
            "%",
            "higher",
            None,
            100 * KEPT,
            accuracy | {f"{cut.levels} levels": 100 * cut.kept for cut in found},
        ),
        Metric(
            f"{where}: {task.style_name} follows B",
            at.followed,
            "r",
            "higher",
            None,
            FOLLOWED,
            {f"{cut.levels} levels": cut.followed for cut in found},
        ),
    ]
    return metrics, {"file": f"{task.source}.npz", "sha256": data_sha256(test)}, minutes


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", choices=TASKS)
    parser.add_argument("--epochs", type=int, help="instead of the task's own")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.quick:
        quick(chosen.seed)
        return
    start = time.perf_counter()
    metrics, data, notes = [], [], []
    for source in [chosen.only] if chosen.only else TASKS:
        task = TASKS[source]
        found, file, minutes = measure(task, chosen.epochs or task.epochs, chosen.seed)
        metrics += found
        data.append(file)
        notes.append(f"{task.title}: {minutes:.1f} minutes of training")
    write(
        NAME,
        metrics,
        data=data,
        seeds=[chosen.seed],
        minutes=(time.perf_counter() - start) / 60,
        notes="Minutes are processor time over two. " + "; ".join(notes),
        quick=bool(chosen.only),
    )


def quick(seed: int) -> None:
    """A few seconds, printed only: untrained."""
    task = TASKS["mnist"]
    training, choosing, _ = parts(task)
    few = training.subset(range(256))
    model = fit(
        few,
        FitOptions(
            ladder(task),
            training=TrainingOptions(updates=2, validation=0.0, seed=seed),
        ),
    ).model
    judge = fit_feature_network(training.subset(range(1_000)), updates=20, seed=seed)
    a, b = pairs(choosing, judge, seed)
    mixed = mix_rows(model, a.subset(range(4)), b.subset(range(4)))
    print(f"quick, not quoted: {mixed.flatten(0, 1).shape[0]} mixtures of an untrained ladder")


if __name__ == "__main__":
    main()
