"""The chapters of a report on a prior trained on latents and on a refiner.

They show samples before and after a prior, or pictures with and without a refiner, and its
training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters import SHEET, first_pictures, verdict
from lowerbound.evaluation.report.subjects import Findings, Material, Plate, TrainingHistory
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.evaluation.samples.refinement import RefinementQuality

REFINER = "The refiner"
NEW_PRIOR = "The new prior"


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
            yield _curve(
                "training_of_the_refiner",
                REFINER,
                "The bound on the density p(x | z) while the refiner was trained. If it falls on "
                "held-out pictures while it rises on the others, the refiner has begun to overfit; "
                "the kept weights are those from before.",
                history,
                title="Training of the refiner",
                what="bound on log p(x | z)",
            )

    return plates


def _reconstructions(quality: RefinementQuality) -> Plate:
    facts, rows = quality.facts, quality.rows
    sheets = [
        _picture_sheet("your data", rows.x, "held-out rows"),
        _picture_sheet(
            "decoder's mean",
            rows.mean,
            _note(facts.former_psnr, facts.former_frechet, facts.former_sharpness),
        ),
        _picture_sheet("refined", rows.drawn, _note(facts.psnr, facts.frechet, facts.sharpness)),
    ]
    return Plate(
        "refined_reconstructions",
        REFINER,
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
        _picture_sheet("decoder's mean", drawn.mean),
        _picture_sheet("refined", drawn.x),
        _picture_sheet("your data", real, "held-out rows"),
    ]
    return Plate(
        "refined_samples",
        REFINER,
        "The same latents, drawn from the prior: the decoder's mean, and a draw of the refiner.",
        figures.sample_sheets(sheets, "Samples: before, after, real"),
    )


def _picture_sheet(title: str, pictures: Tensor, note: str = "") -> figures.Sheet:
    return figures.Sheet(title, first_pictures(pictures), note)


def _note(psnr: float | None, frechet: float | None, sharpness: float | None) -> str:
    said = [] if psnr is None else [f"PSNR {psnr:.2f} dB"]
    said += [] if frechet is None else [f"FD {frechet:.1f}"]
    said += [] if sharpness is None else [f"sharpness {sharpness:.2f}"]
    return ", ".join(said)


def before_and_after(
    history: TrainingHistory, former: float | None
) -> Callable[[Material], Iterator[Plate]]:
    """The figures of a report whose first model has a new prior, and whose second the former one.

    Args:
        history: of the training of the prior.
        former: log p(z) of held-out latents under the former prior, nats per row; None: unknown.
    """

    def plates(material: Material) -> Iterator[Plate]:
        if material.training.schema.data_kind.pictures:
            yield _sheets(material)
        if len(history) > 1:
            yield _curve(
                "training_of_the_prior",
                NEW_PRIOR,
                "log p(z) of latents while the prior was trained, or the bound on it. If it falls "
                "on held-out latents while it rises on the others, the prior has begun to overfit; "
                "the kept weights are those from before.",
                history,
                former,
            )

    return plates


def _sheets(material: Material) -> Plate:
    after, before = material.findings[:2]
    real = real_rows(material.held_out.thinned(SHEET))
    sheets = [
        *(_sheet(found) for found in (before, after)),
        figures.Sheet("your data", first_pictures(real), "held-out rows"),
    ]
    return Plate(
        "before_and_after",
        NEW_PRIOR,
        "The same decoder with the former prior, with the new prior, and held-out rows. Only the "
        "latents differ, so samples can become as good as reconstructions, and not better.",
        figures.sample_sheets(sheets, "Means of p(x | z): before, after, real"),
    )


def _sheet(found: Findings) -> figures.Sheet:
    way, drawn = next(iter(found.samples.samples.items()))
    return figures.Sheet(found.name, first_pictures(drawn.mean), verdict(found, way))


def _curve(
    name: str,
    chapter: str,
    caption: str,
    history: TrainingHistory,
    former: float | None = None,
    **words: str,
) -> Plate:
    """The curve of a training, with ``words`` for the figure's title and axis."""
    records = list(history)
    validation = [np.nan if r.validation is None else r.validation for r in records]
    curve = figures.prior_curve(
        np.array([r.epoch for r in records]),
        np.array([r.bound for r in records]),
        np.array(validation, dtype=float),
        former,
        **words,
    )
    return Plate(name, chapter, caption, curve)
