"""Training runs that can be stopped and go on: cells.

A cell trains for a fixed number of epochs on one thread, is scored on the whole test part (its hash
is in the result; bits of dynamically binarized digits are fixed), and writes one JSON file. Started
again, it goes on from its checkpoint. ``minutes`` is its processor time over two, that is its time
on a machine of two cores, which does not depend on what else the machine does; the wall time stands
beside it. On a GPU, ``minutes`` is the wall time.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _kodak_tiles import KODAK_TILES
from _opened import opened_data
from _record import RESULTS, SECONDS, Metric, arguments, commit, keep_answer, write

from lowerbound.config import to_mapping
from lowerbound.data import Dataset, load
from lowerbound.data.schema import Binarize
from lowerbound.errors import DataError
from lowerbound.evaluation.likelihood.tighter import carry_over
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.likelihood import data_sha256, score
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.training import Record, TrainingOptions

IMPORTANCE_SAMPLES = 5000
KODAK_STRIDE = 16  # pixels from one training tile to the next
# what a top-down convolutional ladder is trained with, beside its learning rate
LADDER_TRAINING: dict[str, Any] = {
    "schedule": "cosine",
    "weight_average": 0.998,
    "gradient_clip": 200.0,
    "weight_decay": 0.01,
    "adam_eps": 1e-8,
}
Answer = dict[str, Any]


def data_file(name: str) -> Path:
    """A data set in the folder LOWERBOUND_DATA.

    Raises:
        DataError: it is not there.
    """
    path = Path(os.environ.get("LOWERBOUND_DATA", "data")) / name
    if not path.exists():
        raise DataError(f"the data set {name} is missing: put it into LOWERBOUND_DATA")
    return path


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
    tighter: int = 0  # rows, spread over the test part, that are also scored with 5,000 samples
    source: str = "mnist"  # binarized if it is this, else as it is
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


def parts(source: str, held_out: bool) -> tuple[Dataset, Dataset]:
    """Training rows and the rows to score, whose bits are fixed where there are any."""
    if source == "kodak_tiles":
        return photographs(held_out)
    binarize: Binarize = "dynamic" if source == "mnist" else "none"
    training = load(source, split="train", binarize=binarize)
    if held_out:
        training, scored = training.split(5_000 / 60_000, seed=99)
    else:
        scored = load(source, split="test", schema=training.schema)
    return training, scored.binarized(0) if binarize == "dynamic" else scored


def photographs(held_out: bool) -> tuple[Dataset, Dataset]:
    """Overlapping tiles of the training photographs, and tiles of others that do not overlap."""
    raw = replace(KODAK_TILES, stride=KODAK_STRIDE).read("train")
    tiles = load(raw.x)
    if not held_out:
        return tiles, load("kodak_tiles", split="test", schema=tiles.schema)
    assert raw.ids is not None
    places = [corner(name) for name in raw.ids]
    last = sorted({photograph for photograph, _, _ in places})[-3:]
    side = KODAK_TILES.side
    training = [row for row, place in enumerate(places) if place[0] not in last]
    scored = [
        row
        for row, (photograph, top, left) in enumerate(places)
        if photograph in last and top % side == left % side == 0
    ]
    return tiles.subset(training), tiles.subset(scored)


def corner(tile: str) -> tuple[str, int, int]:
    """The photograph that a tile was cut from, and its top and left there, by its row id."""
    photograph, _, place = tile.rpartition(":")
    top, left = map(int, place.split(","))
    return photograph, top, left


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


def fit_on(
    folder: Path,
    training: Dataset,
    options: FitOptions,
    start: Callable[[Model], None] | None = None,
) -> tuple[Fitted, dict[str, float]]:
    """Fit, from where an earlier run in ``folder`` stopped, and the seconds of all runs."""
    with spent(folder) as clock:
        resume = (folder / "checkpoint").exists()
        fitted = fit(training, options, folder=folder, resume=resume, start=start)
    return fitted, clock


def run_cell(benchmark: str, name: str, cell: Cell, held_out: bool) -> Answer:
    """Train and score one cell; the answer is also written beside the results."""
    training, scored = parts(cell.source, held_out)
    folder = Path("runs") / benchmark / (name + ("_held_out" if held_out else ""))
    fitted, clock = fit_on(folder, training, cell.options())
    wall, processor = clock["wall"], clock["processor"]
    print(f"{name}: trained in {processor / 60:.1f} processor minutes", flush=True)
    device = next(fitted.model.parameters()).device
    minutes = processor / 120 if device.type == "cpu" else wall / 60
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
        "minutes": round(minutes, 2),
        "wall_minutes": round(wall / 60, 2),
        "negative_elbo": -float(elbo.mean()),
        "nats": -float(bound.mean()),
        "standard_error": float(bound.std() / len(bound) ** 0.5),
        "samples": cell.score_samples,
        "effective_sample_size": float(scores.effective_sample_size.median()),
        "rows": len(scored),
        "rows_sha256": data_sha256(scored),
        "skipped_updates": sum(record.skipped for record in fitted.history),
        "curve": curve(fitted.history, minutes),
        "commit": commit(),
        **tight,
    }
    if device.type == "cuda":
        answer["gpu"] = torch.cuda.get_device_name(device)
    if not scored.schema.binary:
        answer["bits_per_dimension"] = scores.bits_per_dimension().mean
    print(json.dumps({k: v for k, v in answer.items() if k != "curve"}), flush=True)
    if not held_out:
        keep_answer(benchmark, name, answer)
        np.save(folder / "bound.npy", bound.numpy())
    return answer


def curve(history: Iterable[Record], minutes: float) -> list[list[float]]:
    """[minutes, -ELBO] of about sixty records, on held-out rows where there are some.

    Minutes go by updates, each of which costs the same: seconds also count pauses.
    """
    records = list(history)
    scale = minutes / records[-1].updates
    points = [
        [round(record.updates * scale, 3), -(record.validation or record.bound)]
        for record in records
    ]
    return points[:: max(1, len(points) // 60)]


def done(benchmark: str) -> dict[str, Answer]:
    """The answers of the cells that are done, by name."""
    places = sorted((RESULTS / benchmark).glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in places}


def spent_minutes(benchmark: str) -> float:
    """Processor minutes of all parts of all cells, whenever they were measured."""
    cells = done(benchmark).values()
    return sum(seconds for cell in cells for seconds in cell[SECONDS].values()) / 60


def write_cells(
    benchmark: str,
    metrics: Sequence[Metric],
    data: Sequence[Mapping[str, Any]],
    spread: str,
    seeds: Sequence[int] | None = None,
) -> None:
    """The result of the cells that are done; ``spread`` says in a sentence what the spreads are."""
    cells = done(benchmark).values()
    costs = (
        f"{cell['cell']}: "
        + (f"{cell['epochs']} epochs, " if "epochs" in cell else "")
        + f"{cell['minutes']} minutes"
        for cell in cells
    )
    write(
        benchmark,
        metrics,
        data=data,
        seeds=sorted({cell["seed"] for cell in cells}) if seeds is None else seeds,
        minutes=sum(cell["minutes"] for cell in cells),
        notes=f"Minutes are processor time over two, or those of a GPU. {spread} "
        + "; ".join(costs),
        extra={"cells": list(cells)},
    )


def _named(value: Any) -> str:
    """A function by its name, which does not change from run to run."""
    return str(getattr(value, "__qualname__", value))


def mnist_data(cells: Mapping[str, Answer]) -> list[dict[str, Any]]:
    """What the cells of binarized MNIST were scored on."""
    first = next(iter(cells.values()))
    return [{"file": "mnist.npz", "split": "test", "sha256": first["rows_sha256"]}]


def quick_look(cell: Cell, seed: int, rows: int, scored: int, samples: int) -> None:
    """Two epochs of a few rows, printed only."""
    cell = replace(cell, epochs=2, seed=seed)
    training = replace(cell.options().training, compile="off", precision="float32")
    known, held_out = parts(cell.source, held_out=True)
    fitted = fit(known.subset(range(rows)), replace(cell.options(), training=training))
    bound = score(fitted.model, held_out.subset(range(scored)), samples=samples).bound
    print(f"quick, not quoted: -L_{samples} {-float(bound.mean()):.2f} nats after 2 small epochs")


def drive(
    benchmark: str,
    description: str,
    cells: Mapping[str, Any],
    summarize: Callable[[], None],
    quick: Callable[[int], None],
    run: Callable[[str, str, Any, bool], Any] = run_cell,
    threads: int = 1,
) -> None:
    """The command line of a benchmark that is made of cells, each measured by ``run``.

    ``--epochs`` is there if the cells have epochs.
    """
    timed = all(hasattr(cell, "epochs") for cell in cells.values())
    parser = arguments(description)
    parser.add_argument("--cell", choices=cells)
    if timed:
        parser.add_argument("--epochs", type=int, help="instead of the cell's own")
    parser.add_argument("--held-out", action="store_true", help="score training rows held out")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--summarize", action="store_true", help="write the result of what is done")
    chosen = parser.parse_args()
    torch.set_num_threads(1 if chosen.quick else threads)
    if chosen.quick:
        quick(chosen.seed)
    elif chosen.summarize:
        summarize()
    elif chosen.list:
        for name, cell in cells.items():
            what = f"{cell.epochs:5} epochs  {cell.title}" if timed else ""
            print(f"{name:22} {what}  {'done' if name in done(benchmark) else ''}".rstrip())
    elif chosen.cell:
        cell = cells[chosen.cell]
        if timed:
            cell = replace(cell, epochs=chosen.epochs or cell.epochs)
        run(benchmark, chosen.cell, cell, chosen.held_out)
        if not chosen.held_out:
            keep_settings(benchmark, chosen.cell, cell)
    else:
        for name, cell in cells.items():
            if name not in done(benchmark):
                run(benchmark, name, cell, False)
                keep_settings(benchmark, name, cell)
        summarize()


def keep_settings(benchmark: str, name: str, cell: Any) -> None:
    """Add the settings of a cell that is done, and the hashes of the data that it opened."""
    path = RESULTS / benchmark / f"{name}.json"
    settings = asdict(cell) if is_dataclass(cell) and not isinstance(cell, type) else cell
    answer = json.loads(path.read_text(encoding="utf-8"))
    answer |= {"settings": settings, "data_files": opened_data()}
    path.write_text(json.dumps(answer, default=_named) + "\n", encoding="utf-8")
