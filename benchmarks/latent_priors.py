"""A prior trained on the latents of a fitted VAE: what N(0, I) costs in quality, and what is won.

Each data set has one decoder: a VAE with a vector of latents, and a vq_vae whose latents are codes.
Encoder and decoder stay fixed, and only the prior changes. The distance is Frechet's, of decoder
means, on the features of a classifier trained here (its hash is in the notes); it compares only
within one table, and not with any FID. Two references bound it from below: other real rows instead
of samples, and reconstructions of other real rows by the same decoder.

Settings were chosen with --held-out, which scores 5,000 training rows that no part has seen.

    python benchmarks/latent_priors.py --list
    python benchmarks/latent_priors.py --cell mnist_flow     one cell, resumable
    python benchmarks/latent_priors.py                       all missing cells, then the result
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _cells import done, drive, fit_on, spent
from _pictures import keep
from _record import Metric, commit, keep_answer, write
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.evaluation.samples.distances import MEAN, Quality
from lowerbound.evaluation.samples.reference import ReferenceSamples, fit_reference
from lowerbound.fitting import FitOptions, Fitted, PriorFit, fit
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import data_sha256
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.inference.reconstruction import reconstruct
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "latent_priors"
RUNS = Path("runs") / NAME
SOURCES = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST"}
SAMPLES = 5_000
FEATURE_ROWS = 20_000
SHOWN = 12
SEED = 0


@dataclass(frozen=True)
class Stage:
    """The first of two stages: a model with the prior that it was fitted with.

    Attributes:
        title: of its latents.
        model: what is fitted.
        epochs: of the fit.
    """

    title: str
    model: ModelOptions
    epochs: int


@dataclass(frozen=True)
class Arm:
    """A prior on the latents of a stage.

    Attributes:
        title: in the table.
        stage: name of the stage.
        kind: of the prior; "" keeps the one of the fit.
        options: of the prior.
        training: of the prior.
    """

    title: str
    stage: str
    kind: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


STAGES = {
    "vector": Stage(
        "vector of 32",
        ModelOptions(
            latent_dim=32,
            network="convolutional",
            likelihood="discretized_logistic",
            likelihood_options={"scale": "global"},
        ),
        12,
    ),
    "codes": Stage(
        "7x7 codes of 256",
        ModelOptions(
            model="vq_vae",
            network="convolutional",
            likelihood="discretized_logistic",
            likelihood_options={"scale": "global"},
            model_options={"codes": 256},
        ),
        12,
    ),
}
ARMS = {
    "normal": Arm("N(0, I)", "vector"),
    "flow": Arm("flow", "vector", "flow", training={"epochs": 30, "batch_size": 256}),
    "diffusion": Arm(
        "diffusion",
        "vector",
        "diffusion",
        training={"epochs": 40, "batch_size": 256, "weight_average": 0.999},
    ),
    "uniform": Arm("uniform codes", "codes"),
    "marginal": Arm("order-0 codes", "codes", "marginal"),
    "autoregressive": Arm(
        "autoregressive codes",
        "codes",
        "autoregressive",
        training={"epochs": 10, "batch_size": 128, "weight_average": 0.999},
    ),
}
CELLS = [f"{source}_{arm}" for source in SOURCES for arm in ARMS]


def parts(source: str, held_out: bool) -> tuple[Dataset, Dataset]:
    """Training rows, and the rows that samples are compared with."""
    training = load(source, split="train")
    if held_out:
        return training.split(SAMPLES / len(training), seed=99)
    return training, load(source, split="test", schema=training.schema)


def settings(**chosen: Any) -> TrainingOptions:
    usual = {"batch_size": 128, "validation": 0.0, "patience": 0, "threads": 1, "seed": SEED}
    return TrainingOptions(**{**usual, **chosen})


def first_stage(source: str, name: str, training: Dataset, suffix: str = "") -> Fitted:
    """The decoder of a data set; trained once for all of its priors."""
    stage = STAGES[name]
    options = FitOptions(stage.model, training=settings(epochs=stage.epochs))
    return fit_on(RUNS / f"{source}_{name}{suffix}", training, options)[0]


def second_stage(
    folder: Path, fitted: Fitted, training: Dataset, arm: Arm
) -> tuple[Fitted, dict[str, float]]:
    """The same model with the prior of an arm, and the seconds that it took."""
    if not arm.kind:
        return fitted, {"wall": 0.0, "processor": 0.0}
    with spent(folder) as clock:
        latents = draw_latents(fitted.model, training, cache=folder / "latents.safetensors")
        chosen = settings(**{"validation": 0.05, **arm.training})
        made, _ = fit_prior(
            fitted,
            latents.dataset(),
            arm.kind,
            arm.options,
            chosen,
            draws=latents.z.shape[1],
            folder=folder,
            resume=(folder / "checkpoint").exists(),
        )
    return made, clock


def run_cell(name: str, held_out: bool) -> dict[str, Any]:
    """Train one prior, draw from it and measure; pictures are kept for the figure."""
    source = next(source for source in SOURCES if name.startswith(f"{source}_"))
    arm, suffix = ARMS[name.removeprefix(f"{source}_")], "_held_out" if held_out else ""
    training, real = parts(source, held_out)
    fitted = first_stage(source, arm.stage, training, suffix)
    made, clock = second_stage(RUNS / f"{name}{suffix}", fitted, training, arm)
    start = time.process_time()
    samples = sample_prior(made.model, SAMPLES, seed=SEED).mean
    seconds = time.process_time() - start
    reference = features_of(source, training, real, suffix)
    others = reconstruct(made.model, reference.others).mean
    answer = {
        "cell": name,
        "title": f"{SOURCES[source]}, {STAGES[arm.stage].title}: {arm.title}",
        "source": source,
        "stage": arm.stage,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "samples_per_second": SAMPLES / seconds,
        "features": reference.space,
        "quality": described(reference.measure(samples, MEAN)),
        "reconstructions": described(reference.measure(others, MEAN)),
        "floor": described(reference.compare(made.model, {}).floor[MEAN]),
        "nats": nats(made.options.prior_fit),
        "rows_sha256": data_sha256(real),
        "commit": commit(),
    }
    (RUNS / f"{name}{suffix}").mkdir(parents=True, exist_ok=True)
    np.save(RUNS / f"{name}{suffix}" / "samples.npy", samples[:SHOWN].numpy().astype(np.float16))
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def features_of(source: str, training: Dataset, real: Dataset, suffix: str) -> ReferenceSamples:
    reference = fit_reference(
        training,
        real,
        samples=SAMPLES,
        network_rows=FEATURE_ROWS,
        folder=str(RUNS / f"{source}_features{suffix}"),
        seed=SEED,
    )
    assert not isinstance(reference, Skipped), reference.reason
    return reference


def described(quality: Quality) -> dict[str, float]:
    assert not isinstance(quality.sharpness, Skipped)
    return {
        "frechet": quality.frechet.mean,
        "frechet_error": quality.frechet.standard_error or 0.0,
        "precision": quality.near.precision,
        "recall": quality.near.recall,
        "sharpness": quality.sharpness.mean,
    }


def nats(facts: PriorFit | None) -> dict[str, Any]:
    if facts is None:
        return {}
    return {"log p(z)": facts.validation, "before": facts.former, "density": facts.density}


def summarize() -> None:
    """The result of the cells that are done, and the figure."""
    cells = done(NAME)
    assert cells, "no cell is done"
    write(
        NAME,
        [metric for source in SOURCES for metric in metrics(source, cells)],
        data=[
            {"file": f"{source}.npz", "split": "test", "sha256": cell["rows_sha256"]}
            for source in SOURCES
            for cell in [next((c for c in cells.values() if c["source"] == source), None)]
            if cell is not None
        ],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes=f"Decoder means of {SAMPLES:,} draws against as many test rows; diffusion draws by "
        "DPM-Solver with 20 steps. The spread is the standard error of the distance by "
        "resampling rows. Samples per second of processor time, decoder included. Features: "
        + ", ".join(sorted({f"{c['source']} {c['features']}" for c in cells.values()}))
        + ". Minutes are processor time of the prior over two. "
        + "; ".join(f"{name}: {cell['minutes']} minutes" for name, cell in cells.items()),
        extra={"cells": list(cells.values())},
    )
    for source in sorted({cell["source"] for cell in cells.values()}):
        figure(source, cells)


def metrics(source: str, cells: Mapping[str, Any]) -> list[Metric]:
    """One distance for each prior; a trained prior is to halve the distance of the one before."""
    found = []
    for arm in ARMS:
        cell = cells.get(f"{source}_{arm}")
        if cell is None:
            continue
        quality = cell["quality"]
        plain = cells.get(f"{source}_{'normal' if cell['stage'] == 'vector' else 'uniform'}")
        learned = ARMS[arm].kind not in ("", "marginal")
        found.append(
            Metric(
                f"{cell['title']}: Frechet distance",
                quality["frechet"],
                "",
                "lower",
                quality["frechet_error"],
                plain["quality"]["frechet"] / 2 if plain and learned else None,
                {
                    "real rows": cell["floor"]["frechet"],
                    "reconstructions": cell["reconstructions"]["frechet"],
                    "precision": quality["precision"],
                    "recall": quality["recall"],
                    "sharpness": quality["sharpness"],
                    "samples per second": cell["samples_per_second"],
                },
            )
        )
    return found


def figure(source: str, cells: Mapping[str, Any]) -> None:
    """A line of samples for each prior but the uniform one, real pictures on top."""
    real = load(source, split="test").thinned(SHOWN).all().filled
    lines = {"real": real}
    for arm in ARMS:
        kept = RUNS / f"{source}_{arm}" / "samples.npy"
        if arm != "uniform" and f"{source}_{arm}" in cells and kept.exists():
            lines[ARMS[arm].title] = torch.from_numpy(np.load(kept).astype(np.float32))
    canvas, axes = plt.subplots(
        len(lines), 1, figsize=(6.4, 0.6 * len(lines)), layout="constrained"
    )
    for axis, (title, pictures) in zip(axes, lines.items(), strict=True):
        _line(axis, title, pictures)
    keep(canvas, f"latent_priors_{source}.png", dpi=90)


def _line(axis: Any, title: str, pictures: Tensor) -> None:
    axis.imshow(torch.cat(list(pictures[:SHOWN, 0]), 1).clamp(0, 1), cmap="gray_r", vmin=0, vmax=1)
    axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def quick() -> None:
    """A flow on the latents of a few updates, printed only."""
    training, real = parts("mnist", held_out=True)
    few = training.subset(range(1_000))
    stage = FitOptions(STAGES["vector"].model, training=settings(updates=10))
    fitted = fit(few, stage)
    latents = draw_latents(fitted.model, few)
    brief = settings(updates=20, validation=0.1)
    made, _ = fit_prior(fitted, latents.dataset(), "flow", {}, brief, draws=latents.z.shape[1])
    samples = sample_prior(made.model, 64, seed=SEED).mean
    print(
        f"quick, not quoted: {len(samples)} samples of {tuple(samples.shape[1:])}; {len(real):,} "
        f"rows would be compared; log p(z) {nats(made.options.prior_fit)}"
    )


def main() -> None:
    cells = dict.fromkeys(CELLS)
    drive(
        NAME,
        __doc__ or "",
        cells,
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, cell, held_out: run_cell(name, held_out),
    )


if __name__ == "__main__":
    main()
