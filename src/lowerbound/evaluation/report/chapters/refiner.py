"""The chapter on a refiner: pictures with and without it, and its training."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters.material import Material, Plate
from lowerbound.evaluation.report.chapters.samples import SHEET, first_pictures
from lowerbound.evaluation.report.subjects import TrainingHistory
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.evaluation.samples.refinement import RefinementQuality

CHAPTER = "The refiner"


def with_and_without(
    history: TrainingHistory, quality: RefinementQuality
) -> Callable[[Material], Iterator[Plate]]:
    """The figures of a report on a model with a refiner.

    Args:
        history: of the training of the refiner.
        quality: reconstructions of held-out pictures, and their distortion and realism.
    """

    def plates(material: Material) -> Iterator[Plate]:
        yield _reconstructions(quality)
        if material.main.samples.samples:
            yield _samples(material)
        if len(history) > 1:
            yield _curve(history)

    return plates


def _reconstructions(quality: RefinementQuality) -> Plate:
    facts, rows = quality.facts, quality.rows
    sheets = [
        _sheet("your data", rows.x, "held-out rows"),
        _sheet(
            "decoder's mean",
            rows.mean,
            _note(facts.former_psnr, facts.former_frechet, facts.former_sharpness),
        ),
        _sheet("refined", rows.drawn, _note(facts.psnr, facts.frechet, facts.sharpness)),
    ]
    return Plate(
        "refined_reconstructions",
        CHAPTER,
        "Held-out pictures, the decoder's mean of each, and a draw of the refiner given that mean. "
        "The mean has the least error and lacks detail. A draw has detail that is likely and not "
        "always that of the picture, so its PSNR is lower. FD is the Fréchet distance from other "
        "real pictures, and a sharpness of 1 is that of the data.",
        figures.sample_sheets(sheets, "Reconstructions: real, before, after"),
    )


def _samples(material: Material) -> Plate:
    drawn = next(iter(material.main.samples.samples.values()))
    real = real_rows(material.held_out.thinned(SHEET))
    sheets = [
        _sheet("decoder's mean", drawn.mean),
        _sheet("refined", drawn.x),
        _sheet("your data", real, "held-out rows"),
    ]
    return Plate(
        "refined_samples",
        CHAPTER,
        "The same latents, drawn from the prior: the decoder's mean, and a draw of the refiner.",
        figures.sample_sheets(sheets, "Samples: before, after, real"),
    )


def _curve(history: TrainingHistory) -> Plate:
    records = list(history)
    validation = [np.nan if r.validation is None else r.validation for r in records]
    return Plate(
        "training_of_the_refiner",
        CHAPTER,
        "The bound on the density p(x | z) while the refiner was trained. If it falls on held-out "
        "pictures while it rises on the others, the refiner has begun to overfit; the kept weights "
        "are those from before.",
        figures.prior_curve(
            np.array([r.epoch for r in records]),
            np.array([r.bound for r in records]),
            np.array(validation, dtype=float),
            None,
            title="Training of the refiner",
            what="bound on log p(x | z)",
        ),
    )


def _sheet(title: str, pictures: Tensor, note: str = "") -> figures.Sheet:
    return figures.Sheet(title, first_pictures(pictures), note)


def _note(psnr: float | None, frechet: float | None, sharpness: float | None) -> str:
    said = [] if psnr is None else [f"PSNR {psnr:.2f} dB"]
    said += [] if frechet is None else [f"FD {frechet:.1f}"]
    said += [] if sharpness is None else [f"sharpness {sharpness:.2f}"]
    return ", ".join(said)
