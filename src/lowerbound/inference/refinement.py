"""Reconstructions with the detail that a refiner restores."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.inference.passes import Progress, collected
from lowerbound.models import Model
from lowerbound.trace import Batch, Mean

ROWS_AT_ONCE = 256
LEVEL = 1  # of the noise; 0 is that of z


@dataclass(frozen=True, eq=False)
class RefinedRows:
    """Pictures, and their reconstructions at the mean code, (rows, *event) each.

    Attributes:
        x: input pictures.
        mean: the decoder's mean.
        drawn: a draw of the refiner given this mean; the mean itself without a refiner.
    """

    x: Tensor
    mean: Tensor
    drawn: Tensor


def reconstruct_refined(
    model: Model, dataset: Dataset, *, seed: int = 0, progress: Progress | None = None
) -> RefinedRows:
    """Reconstruct each row at its mean code, and refine it.

    The noise of a row depends on its content and the seed only, so neither order nor batch matters.
    """

    def rebuilt(_: slice, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        mean = model(batch, Mean()).likelihood.mean[0]
        if model.refiner is None:
            return batch.filled, mean, mean
        keyed = KeyedNoise(row_keys(batch.filled, seed), seed)
        noise = keyed.normal((1, *mean.shape), mean, LEVEL)[0]
        return batch.filled, mean, model.refiner.draw(mean, noise)

    return RefinedRows(*collected(model, dataset, ROWS_AT_ONCE, rebuilt, progress=progress))
