"""The measures of how near samples are to real rows, for the report's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from lowerbound.evaluation.report.cells import Cell, Measure, estimate, percent, share
from lowerbound.evaluation.report.subjects import Findings
from lowerbound.evaluation.samples.quality import DRAWN, MEAN, Quality
from lowerbound.inference.estimate import Skipped

SAMPLES = "Samples"


def from_quality(form: str, cell: Callable[[Quality], Cell]) -> Callable[[Findings], Cell]:
    """An answer taken from the model's own samples in that form, or the reason why there is none.

    Args:
        form: MEAN or DRAWN; empty: the mean where it is measured, else the draws.
        cell: of what was measured.
    """

    def answer(found: Findings) -> Cell:
        quality = found.samples.quality
        if isinstance(quality, Skipped):
            return Cell(note=f"distances: {quality.reason}") if not form else Cell()
        forms = next(iter(quality.found.values()))
        chosen = form or next(iter(forms))
        return cell(forms[chosen]) if chosen in forms else Cell()

    return answer


def distance_of(form: str, which: Literal["frechet", "kernel"]) -> Callable[[Findings], Cell]:
    """A distance, with its floor and ceiling and the features that it was measured on."""

    def answer(found: Findings) -> Cell:
        cell = from_quality(form, lambda quality: estimate(getattr(quality, which)))(found)
        quality = found.samples.quality
        if isinstance(quality, Skipped) or cell.value is None:
            return cell
        floor, ceiling = (getattr(b[form], which) for b in (quality.floor, quality.ceiling))
        name = f"{'FD' if which == 'frechet' else 'KD'}[{quality.space}]"
        note = (
            f"{name}, {form}, {quality.rows:,} rows on each side: {floor} for real against real, "
            f"{ceiling} for shuffled rows"
        )
        return replace(cell, note=note)

    return answer


def _sharpness(quality: Quality) -> Cell:
    sharpness = quality.sharpness
    # not to be ranked: 1 is ideal, and noise is above it
    return Cell() if isinstance(sharpness, Skipped) else replace(estimate(sharpness), value=None)


def _two_sample(quality: Quality) -> Cell:
    return percent(quality.two_sample.accuracy)


SAMPLE_MEASURES = (
    Measure(
        SAMPLES,
        "Fréchet distance, means",
        "How far the means' features lie from those of held-out rows; see the note for its bounds.",
        "lower",
        distance_of(MEAN, "frechet"),
    ),
    Measure(
        SAMPLES,
        "Fréchet distance, draws",
        "The same for rows drawn from p(x | z).",
        "lower",
        distance_of(DRAWN, "frechet"),
    ),
    Measure(
        SAMPLES,
        "kernel distance, means",
        "Another distance of the same features, without bias: about 0 where they are alike.",
        "lower",
        distance_of(MEAN, "kernel"),
    ),
    Measure(
        SAMPLES,
        "kernel distance, draws",
        "The same for rows drawn from p(x | z).",
        "lower",
        distance_of(DRAWN, "kernel"),
    ),
    Measure(
        SAMPLES,
        "precision",
        "Samples that lie where real rows lie: means of pictures, draws of tables.",
        "higher",
        from_quality("", lambda quality: share(quality.near.precision)),
    ),
    Measure(
        SAMPLES,
        "recall",
        "Held-out rows that lie where samples lie.",
        "higher",
        from_quality("", lambda quality: share(quality.near.recall)),
    ),
    Measure(
        SAMPLES,
        "coverage",
        "Held-out rows with a sample nearer than their 5th real neighbor.",
        "higher",
        from_quality("", lambda quality: share(quality.near.coverage)),
    ),
    Measure(
        SAMPLES,
        "told apart",
        "Right answers of a classifier to real-or-not; 50 % is ideal.",
        "lower",
        from_quality("", _two_sample),
    ),
    Measure(
        SAMPLES,
        "sharpness, means",
        "Variance of the Laplacian, samples over data; 1 is ideal, less is blurred.",
        "",
        from_quality(MEAN, _sharpness),
    ),
    Measure(
        SAMPLES,
        "sharpness, draws",
        "The same for rows drawn from p(x | z); more than 1 is noise.",
        "",
        from_quality(DRAWN, _sharpness),
    ),
)
