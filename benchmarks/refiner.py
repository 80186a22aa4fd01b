"""A diffusion refiner after a VAE: what it changes in distortion and realism.

Each data set has one VAE with a vector of latents, a diffusion prior on these latents, and a
refiner of its pictures. Reconstructions of test pictures and samples are measured with and without
it: the decoder's mean, and a refined draw given the same mean; of samples also a draw from the
p(x | z) of the fit. Distances are Frechet's, on the features of a classifier trained here; they
compare only within one data set.

Settings were chosen with --held-out, which scores training rows that no part has seen.

    python benchmarks/refiner.py --list
    python benchmarks/refiner.py --cell fashion_mnist     one cell, resumable
    python benchmarks/refiner.py                          all missing cells, then the result
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _cells import data_file, done, drive, fit_on, spent
from _pictures import keep
from _record import Metric, commit, keep_answer, write
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.data.prompts import prompts_of_factors
from lowerbound.evaluation.samples.distances import DRAWN, MEAN, Quality
from lowerbound.evaluation.samples.reference import ReferenceSamples, fit_reference
from lowerbound.evaluation.samples.refinement import refinement_quality
from lowerbound.fitting import FitOptions, Fitted, RefinerFit, fit
from lowerbound.fitting.prior import fit_prior
from lowerbound.fitting.refiner import fit_refiner
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import data_sha256
from lowerbound.inference.prior_draws import prior_settings, sample_prior
from lowerbound.inference.reconstruction import reconstruct_refined
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "refiner"
RUNS = Path("runs") / NAME
ROWS = 2_000
FEATURE_ROWS = 20_000
FEW_STEPS = 5
SHOWN = 12
SEED = 0


@dataclass(frozen=True)
class Case:
    """A data set, its first stage and its two second stages.

    Attributes:
        title: in the table.
        latent_dim: of the VAE.
        minutes: of training of the VAE, of its prior and of its refiner.
        refiner: options of the refiner.
        labeled_by: attribute whose classifier gives the features; "": the label.
    """

    title: str
    latent_dim: int
    minutes: tuple[float, float, float]
    refiner: Mapping[str, Any]
    labeled_by: str = ""


CASES = {
    "fashion_mnist": Case("Fashion-MNIST", 32, (3.0, 2.0, 15.0), {"width": 16}),
    "avatars64": Case("drawn faces", 64, (6.0, 2.0, 18.0), {}, "accessory"),
}


def source(name: str) -> str | Path:
    """A name of the catalog, or a file of the data folder."""
    if CASES[name].labeled_by:
        return data_file(f"{name}.npz")
    return name


def parts(name: str, held_out: bool) -> tuple[Dataset, Dataset]:
    """Training rows and rows to score, both with the classes that features learn from."""
    training = load(source(name), split="train")
    if held_out:
        training, scored = training.split(ROWS / len(training), seed=99)
    else:
        scored = load(source(name), split="test", schema=training.schema)
    attribute = CASES[name].labeled_by
    if not attribute:
        return training, scored
    return classed(training, attribute), classed(scored, attribute)


def classed(rows: Dataset, attribute: str) -> Dataset:
    """The rows with an attribute as class."""
    prompts = prompts_of_factors(rows)
    known = prompts.on(rows)
    assert known.prompt is not None
    place = list(known.vocabulary.fields).index(attribute)
    return replace(rows, label=known.prompt[:, place])


def settings(**chosen: Any) -> TrainingOptions:
    usual = {"batch_size": 128, "validation": 0.0, "patience": 0, "threads": 1, "seed": SEED}
    return TrainingOptions(**{**usual, **chosen})


def stages(name: str, training: Dataset, suffix: str) -> tuple[Fitted, dict[str, float]]:
    """The VAE with its prior and its refiner, each continued where it stopped, and the seconds."""
    case, folder = CASES[name], RUNS / f"{name}{suffix}"
    first, second, third = case.minutes
    model = ModelOptions(
        latent_dim=case.latent_dim,
        network="convolutional",
        likelihood="discretized_logistic",
        likelihood_options={"scale": "global"},
    )
    options = FitOptions(model, training=settings(minutes=first))
    fitted, _ = fit_on(folder / "vae", training, options)
    with spent(folder / "prior"):
        latents = draw_latents(
            fitted.model, training, cache=folder / "prior" / "latents.safetensors"
        )
        with_prior, _ = fit_prior(
            fitted,
            latents.dataset(),
            "diffusion",
            {},
            settings(minutes=second, weight_average=0.999),
            draws=latents.z.shape[1],
            folder=folder / "prior",
            resume=(folder / "prior" / "checkpoint").exists(),
        )
    with spent(folder / "refiner") as clock:
        made, _ = fit_refiner(
            with_prior,
            training,
            case.refiner,
            settings(minutes=third, weight_average=0.999, batch_size=64, learning_rate=2e-3),
            folder=folder / "refiner",
            resume=(folder / "refiner" / "checkpoint").exists(),
        )
    return made, clock


def run_cell(name: str, held_out: bool) -> dict[str, Any]:
    """Train the three parts and measure; pictures are kept for the figure."""
    suffix = "_held_out" if held_out else ""
    training, real = parts(name, held_out)
    made, clock = stages(name, training, suffix)
    answer = {
        "cell": name,
        "title": CASES[name].title,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        **measures(made, training, real, RUNS / f"{name}{suffix}"),
        "rows_sha256": data_sha256(real),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def measures(
    made: Fitted, training: Dataset, real: Dataset, folder: Path, rows: int = ROWS
) -> dict[str, Any]:
    """Distortion and realism of reconstructions and of samples."""
    features = str(folder / "features")
    reference = fit_reference(
        training, real, samples=rows, network_rows=FEATURE_ROWS, folder=features, seed=SEED
    )
    model, found = made.model, {}
    for steps in (FEW_STEPS, 20):
        with prior_settings(model, steps=steps):
            quality = refinement_quality(
                model, training, real, rows=rows, features=features, seed=SEED
            )
            found[steps] = quality.facts
    start = time.process_time()
    samples = sample_prior(model, rows, seed=SEED)
    seconds = time.process_time() - start
    plain = sample_prior(model, rows, seed=SEED, refined=False)
    few = reconstruct_refined(model, real.thinned(SHOWN))
    folder.mkdir(parents=True, exist_ok=True)
    shown = {"real": few.x, "mean": few.mean, "refined": few.drawn}
    shown |= {"sampled mean": samples.mean[:SHOWN], "sampled": samples.x[:SHOWN]}
    arrays: dict[str, Any] = {name: x.numpy() for name, x in shown.items()}
    np.savez(folder / "shown.npz", **arrays)
    return {
        "reconstructions": {str(steps): plain_facts(facts) for steps, facts in found.items()},
        "samples": {
            "mean": described(reference, samples.mean, MEAN),
            "drawn": described(reference, plain.x, DRAWN),
            "refined": described(reference, samples.x, DRAWN),
        },
        "samples_per_second": rows / seconds,
        "features": "" if isinstance(reference, Skipped) else reference.space,
    }


def plain_facts(facts: RefinerFit) -> dict[str, Any]:
    """The measured fields."""
    kept = {name: value for name, value in vars(facts).items() if isinstance(value, float)}
    return {**kept, "held_out": facts.held_out}


def described(
    reference: ReferenceSamples | Skipped, rows: Tensor, form: str
) -> dict[str, float | None]:
    if isinstance(reference, Skipped):
        return {}
    quality: Quality = reference.measure(rows, form)
    assert not isinstance(quality.sharpness, Skipped)
    return {
        "frechet": quality.frechet.mean,
        "frechet_error": quality.frechet.standard_error,
        "precision": quality.near.precision,
        "recall": quality.near.recall,
        "sharpness": quality.sharpness.mean,
    }


def summarize() -> None:
    """The result of the cells that are done, and the figures."""
    cells = done(NAME)
    assert cells, "no cell is done"
    write(
        NAME,
        [metric for cell in cells.values() for metric in metrics(cell)],
        data=[
            {"file": f"{name}.npz", "split": "test", "sha256": cell["rows_sha256"]}
            for name, cell in cells.items()
        ],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes=f"{ROWS:,} reconstructions and samples against as many real pictures; draws by "
        "DPM-Solver with 20 steps. The spread is the standard error of the distance by resampling "
        "rows. Sharpness: 1 is that of the data. Minutes are processor time of the refiner over "
        "two. Features: " + "; ".join(f"{name} {cell['features']}" for name, cell in cells.items()),
        extra={"cells": list(cells.values())},
    )
    for name in cells:
        figure(name)


def metrics(cell: Mapping[str, Any]) -> list[Metric]:
    """A refiner is to halve the distance of the decoder's mean, at the error of a draw."""
    facts, samples = cell["reconstructions"]["20"], cell["samples"]
    title, refined, mean = cell["title"], samples["refined"], samples["mean"]
    return [
        Metric(
            f"{title}: PSNR of refined reconstructions",
            facts["psnr"],
            "dB",
            "higher",
            None,
            facts["former_psnr"] - 10 * np.log10(2),
            {"decoder's mean": facts["former_psnr"]},
        ),
        Metric(
            f"{title}: Fréchet distance of refined reconstructions",
            facts["frechet"],
            "",
            "lower",
            facts["frechet_error"],
            facts["former_frechet"] / 2,
            {
                "decoder's mean": facts["former_frechet"],
                f"{FEW_STEPS} steps": cell["reconstructions"][str(FEW_STEPS)]["frechet"],
                "real pictures": facts["frechet_of_real"],
                "sharpness": facts["sharpness"],
                "sharpness of the decoder's mean": facts["former_sharpness"],
            },
        ),
        Metric(
            f"{title}: Fréchet distance of refined samples",
            refined["frechet"],
            "",
            "lower",
            refined["frechet_error"],
            mean["frechet"] / 2,
            {
                "decoder's mean": mean["frechet"],
                "drawn from p(x | z)": samples["drawn"]["frechet"],
                "precision": refined["precision"],
                "recall": refined["recall"],
                "sharpness": refined["sharpness"],
                "samples per second": cell["samples_per_second"],
            },
        ),
    ]


def figure(name: str) -> None:
    """Lines of pictures: real, reconstructed and sampled, with and without the refiner."""
    kept = RUNS / name / "shown.npz"
    if not kept.exists():
        return
    titles = {
        "real": "real",
        "mean": "decoder's mean",
        "refined": "refined",
        "sampled mean": "sampled mean",
        "sampled": "sampled, refined",
    }
    with np.load(kept) as shown:
        lines = {title: torch.from_numpy(shown[key]) for key, title in titles.items()}
    canvas, axes = plt.subplots(len(lines), 1, figsize=(9, 3.6))
    canvas.subplots_adjust(left=0.13, right=0.99, bottom=0.01, top=0.99, hspace=0.06)
    for axis, (title, pictures) in zip(axes, lines.items(), strict=True):
        line = torch.cat(list(pictures), 2).clamp(0, 1).movedim(0, 2)
        axis.imshow(line.expand(-1, -1, 3) if line.shape[2] == 1 else line)
        axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    keep(canvas, f"refiner_{name}.png", dpi=90)


def quick() -> None:
    """A few updates of each part on a few rows, printed only."""
    name = next(name for name in CASES if not CASES[name].labeled_by)
    training, real = (part.subset(range(rows)) for part, rows in zip(
        parts(name, held_out=True), (400, 100), strict=True
    ))  # fmt: skip
    model = ModelOptions(latent_dim=4, network="mlp")
    fitted = fit(training, FitOptions(model, training=settings(updates=5)))
    made, _ = fit_refiner(fitted, training, {"width": 8, "patch": 4}, settings(updates=5))
    quality = refinement_quality(made.model, training, real, rows=100)
    print(f"quick, not quoted: {plain_facts(quality.facts)}")


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        dict.fromkeys(CASES),
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, cell, held_out: run_cell(name, held_out),
    )


if __name__ == "__main__":
    main()
