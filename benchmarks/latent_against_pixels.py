"""Diffusion in the latents of a VAE against diffusion on pixels, at equal training time.

Fashion-MNIST. The latent arm spends half of its minutes on a VAE with a vector of 32 and half on a
diffusion prior (an MLP). The pixel arm spends all of them on a diffusion model of pictures: the
refiner of a VAE of one update, whose decoder says nothing but the mean picture. Every cell starts
anew, on one thread. The distance is Frechet's, as in ``latent_priors``: of decoder means of the
latent arm, and of draws of the pixel arm.

    python benchmarks/latent_against_pixels.py --cell latent_6   one cell, resumable
    python benchmarks/latent_against_pixels.py                   all missing cells, then the result
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import latent_priors
import matplotlib.pyplot as plt
from _cells import done, drive, fit_on, spent
from _pictures import keep
from _record import Metric, commit, keep_answer, write
from latent_priors import SEED, STAGES, described, features_of, parts, settings
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.evaluation.samples.distances import MEAN
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.fitting.prior import fit_prior
from lowerbound.fitting.refiner import fit_refiner
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.likelihood import data_sha256
from lowerbound.inference.prior_draws import sample_prior

NAME = "latent_against_pixels"
RUNS = Path("runs") / NAME
SOURCE = "fashion_mnist"
MINUTES = (2.0, 6.0, 18.0)
LEVELS = (0.5, 1, 2, 4)  # of the figure's axis
ARMS = {"latent": "latent diffusion", "pixels": "pixel diffusion"}
CELLS = {f"{arm}_{minutes:g}": (arm, minutes) for arm in ARMS for minutes in MINUTES}
SAMPLES = latent_priors.SAMPLES
WIDTH = 16  # channels of the first level of the pixels' U-Net
AVERAGED = {"weight_average": 0.999}


def latent(training: Dataset, minutes: float, folder: Path) -> Fitted:
    """A VAE, then a diffusion prior on its latents; half of the time for each."""
    options = FitOptions(STAGES["vector"].model, training=settings(minutes=minutes / 2))
    fitted, _ = fit_on(folder / "vae", training, options)
    latents = draw_latents(fitted.model, training, cache=folder / "latents.safetensors")
    made, _ = fit_prior(
        fitted,
        latents.dataset(),
        "diffusion",
        {},
        settings(minutes=minutes / 2, batch_size=256, **AVERAGED),
        draws=latents.z.shape[1],
        folder=folder,
        resume=(folder / "checkpoint").exists(),
    )
    return made


def pixels(training: Dataset, minutes: float, folder: Path) -> Fitted:
    """A refiner of pictures about which the decoder says nothing."""
    fitted = fit(training, FitOptions(STAGES["vector"].model, training=settings(updates=1)))
    made, _ = fit_refiner(
        fitted,
        training,
        {"width": WIDTH},
        settings(minutes=minutes, batch_size=64, learning_rate=2e-3, **AVERAGED),
        folder=folder,
        resume=(folder / "checkpoint").exists(),
    )
    return made


def drawn(fitted: Fitted, count: int) -> Tensor:
    """Draws of the refiner, or else decoder means."""
    samples = sample_prior(fitted.model, count, seed=SEED)
    return samples.mean if fitted.model.refiner is None else samples.x


def run_cell(name: str, held_out: bool) -> dict[str, Any]:
    """Train one arm for its minutes, draw from it and measure."""
    arm, minutes = CELLS[name]
    suffix = "_held_out" if held_out else ""
    folder = RUNS / f"{name}{suffix}"
    training, real = parts(SOURCE, held_out)
    with spent(folder) as clock:
        made = {"latent": latent, "pixels": pixels}[arm](training, minutes, folder)
    start = time.process_time()
    samples = drawn(made, SAMPLES)
    seconds = time.process_time() - start
    reference = features_of(SOURCE, training, real, suffix)
    answer = {
        "cell": name,
        "arm": arm,
        "limit": minutes,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "samples_per_second": SAMPLES / seconds,
        "features": reference.space,
        "quality": described(reference.measure(samples, MEAN)),
        "floor": described(reference.compare(made.model, {}).floor[MEAN]),
        "rows_sha256": data_sha256(real),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def summarize() -> None:
    """The result of the cells that are done, and the figure."""
    cells = done(NAME)
    assert cells, "no cell is done"
    one = next(iter(cells.values()))
    write(
        NAME,
        [metric(cells[name], cells) for name in CELLS if name in cells],
        data=[{"file": f"{SOURCE}.npz", "split": "test", "sha256": one["rows_sha256"]}],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes=f"{SAMPLES:,} draws by DPM-Solver with 20 steps against as many test rows. Training "
        "minutes are wall time on one thread; of the latent arm they include its VAE. The spread "
        f"is the standard error of the distance by resampling rows. Features: {one['features']}.",
        extra={"cells": list(cells.values())},
    )
    figure(cells)


def metric(cell: Mapping[str, Any], cells: Mapping[str, Any]) -> Metric:
    """The distance of one arm after its minutes, with the other arm's beside it."""
    other = next(arm for arm in ARMS if arm != cell["arm"])
    rival = cells.get(f"{other}_{cell['limit']:g}")
    quality, beside = cell["quality"], {"real rows": cell["floor"]["frechet"]}
    if rival is not None:
        beside[ARMS[other]] = rival["quality"]["frechet"]
    return Metric(
        f"{ARMS[cell['arm']]}, {cell['limit']:g} minutes: Frechet distance",
        quality["frechet"],
        "",
        "lower",
        quality["frechet_error"],
        None,
        {**beside, "samples per second": cell["samples_per_second"]},
    )


def figure(cells: Mapping[str, Any]) -> None:
    """Distance against minutes of training, one line for each arm."""
    canvas, axis = plt.subplots(figsize=(4.5, 3), layout="constrained")
    for arm, title in ARMS.items():
        found = sorted(
            (c["limit"], c["quality"]["frechet"]) for c in cells.values() if c["arm"] == arm
        )
        axis.plot(*zip(*found, strict=True), marker="o", label=title) if found else None
    axis.set(xscale="log", yscale="log", xlabel="minutes of training", ylabel="Fréchet distance")
    shown = {"x": (MINUTES, [f"{minutes:g}" for minutes in MINUTES]), "y": (LEVELS, LEVELS)}
    for name, (places, words) in shown.items():
        getattr(axis, f"{name}axis").minorticks_off()
        axis.set(**{f"{name}ticks": places, f"{name}ticklabels": words})
    axis.legend(frameon=False)
    keep(canvas, f"{NAME}.png", dpi=80)


def quick() -> None:
    """A few updates of each arm, printed only."""
    training, _ = parts(SOURCE, held_out=True)
    few = training.subset(range(500))
    vae = fit(few, FitOptions(STAGES["vector"].model, training=settings(updates=2)))
    brief = settings(updates=2, batch_size=32)
    latents = draw_latents(vae.model, few)
    draws = latents.z.shape[1]
    priors = fit_prior(vae, latents.dataset(), "diffusion", {"steps": 2}, brief, draws=draws)[0]
    refined = fit_refiner(vae, few, {"width": 8, "steps": 2}, brief)[0]
    shapes = [tuple(drawn(made, 4).shape) for made in (priors, refined)]
    print(f"quick, not quoted: samples of {shapes}")


def main() -> None:
    drive(
        NAME,
        __doc__ or "",
        dict.fromkeys(CELLS),
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, cell, held_out: run_cell(name, held_out),
    )


if __name__ == "__main__":
    main()
