"""Distortion and realism of reconstructions, before and after a refiner.

Of all answers, E[x | z] has the least squared error. A draw from p(x | z) has twice as much,
that is 3 dB less PSNR, in exchange for detail (Blau & Michaeli 2018). Both are therefore measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError
from lowerbound.evaluation.samples.distances import DRAWN, MEAN, frechet_distance
from lowerbound.evaluation.samples.reference import (
    ReferenceSamples,
    fit_reference,
    real_as,
    sharpness_ratio,
)
from lowerbound.fitting.source import RefinerFit
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.reconstruction import RefinedRows, reconstruct_refined
from lowerbound.models.base import Model

MOST_ROWS = 1_000
FEATURE_ROWS = 5_000
LEAST_ERROR = 1e-10  # mean squared error, so that an exact picture has a PSNR of 100 dB


def psnr(x: Tensor, rebuilt: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio, dB, of values in [0, 1]."""
    error = (x - rebuilt).double().square().flatten(1).mean(1)
    return float(-10 * error.clamp_min(LEAST_ERROR).log10().mean())


@dataclass(frozen=True, eq=False)
class RefinementQuality:
    """Reconstructions of held-out pictures, by the decoder's mean and by a refined draw.

    Attributes:
        rows: the reconstructions.
        real: the pictures.
        reference: other real pictures and features, or the reason why there are none.
    """

    rows: RefinedRows
    real: Dataset
    reference: ReferenceSamples | Skipped

    def sharpness(self, rebuilt: Tensor, form: str) -> float | None:
        """Variance of the Laplacian over that of the pictures; None if these are flat or tiny."""
        try:
            return sharpness_ratio(real_as(self.real, form), rebuilt).mean
        except DataError:
            return None

    def distance(self, rebuilt: Tensor, form: str) -> Estimate | None:
        """Fréchet distance from the other real pictures."""
        if isinstance(self.reference, Skipped):
            return None
        reference = self.reference
        theirs = reference.features(real_as(reference.others, form))
        return frechet_distance(theirs, reference.features(rebuilt), seed=reference.seed)

    @cached_property
    def facts(self) -> RefinerFit:
        """All figures; its fields on training are empty."""
        x, mean, drawn = self.rows.x, self.rows.mean, self.rows.drawn
        refined, former = self.distance(drawn, DRAWN), self.distance(mean, MEAN)
        of_real = self.distance(real_as(self.real, DRAWN), DRAWN)
        return RefinerFit(
            held_out=len(x),
            psnr=psnr(x, drawn),
            former_psnr=psnr(x, mean),
            sharpness=self.sharpness(drawn, DRAWN),
            former_sharpness=self.sharpness(mean, MEAN),
            frechet=None if refined is None else refined.mean,
            former_frechet=None if former is None else former.mean,
            frechet_error=None if refined is None else refined.standard_error,
            frechet_of_real=None if of_real is None else of_real.mean,
            features="" if isinstance(self.reference, Skipped) else self.reference.space,
            skipped=self.reference.reason if isinstance(self.reference, Skipped) else "",
        )

    def added_to(self, fit: RefinerFit) -> RefinerFit:
        """The same record of a training, with these figures."""
        return replace(self.facts, rows=fit.rows, training=fit.training, bound=fit.bound)


def refinement_quality(
    model: Model,
    training: Dataset,
    held_out: Dataset,
    *,
    rows: int = MOST_ROWS,
    features: str = "",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RefinementQuality:
    """Reconstruct held-out pictures with and without the model's refiner, and measure both.

    Args:
        model: with a refiner.
        training: pictures that it was trained on; labeled ones train the features.
        held_out: pictures that it has not seen.
        rows: how many pictures, at most.
        features: folder of the feature network: read if it exists, else written.
        seed: of draws and features.
        progress: called with (rows done, rows).
    """
    few = held_out.thinned(rows)
    reference = fit_reference(
        training, few, samples=rows, network_rows=FEATURE_ROWS, folder=features, seed=seed
    )
    real = few if isinstance(reference, Skipped) else reference.real
    rebuilt = reconstruct_refined(model, real, seed=seed, progress=progress)
    return RefinementQuality(rebuilt, real, reference)
