"""The chapter on a prior trained on latents: samples before and after, and the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters.material import Material, Plate
from lowerbound.evaluation.report.chapters.samples import SHEET, first_pictures, verdict
from lowerbound.evaluation.report.subjects import Findings, TrainingHistory
from lowerbound.evaluation.samples.acceptance import real_rows

CHAPTER = "The new prior"


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
            yield _curve(history, former)

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
        CHAPTER,
        "The same decoder with the former prior, with the new prior, and held-out rows. Only the "
        "latents differ, so samples can become as good as reconstructions, and not better.",
        figures.sample_sheets(sheets, "Means of p(x | z): before, after, real"),
    )


def _sheet(found: Findings) -> figures.Sheet:
    way, drawn = next(iter(found.samples.samples.items()))
    return figures.Sheet(found.name, first_pictures(drawn.mean), verdict(found, way))


def _curve(history: TrainingHistory, former: float | None) -> Plate:
    records = list(history)
    validation = [np.nan if r.validation is None else r.validation for r in records]
    return Plate(
        "training_of_the_prior",
        CHAPTER,
        "log p(z) of latents while the prior was trained, or the bound on it. If it falls on "
        "held-out latents while it rises on the others, the prior has begun to overfit; the kept "
        "weights are those from before.",
        figures.prior_curve(
            np.array([r.epoch for r in records]),
            np.array([r.bound for r in records]),
            np.array(validation, dtype=float),
            former,
        ),
    )
