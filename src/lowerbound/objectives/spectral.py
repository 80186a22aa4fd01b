"""A bound plus a distance of spectra between sound and its reconstruction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lowerbound.data.audio.log_mel import USUAL_RATE, LogMel
from lowerbound.errors import OptionError
from lowerbound.models import Model
from lowerbound.objectives.base import OBJECTIVES, Bound
from lowerbound.objectives.critic import hidden_alike
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset


SCALES = (128, 256, 512, 1024, 2048)  # the last ones hear whether frames fit together


@OBJECTIVES.register("spectral")
class Spectral(ELBO):
    r"""-ELBO + w D mean_s d_s(x, E[x | z]): loudness by pitch and time beside the bound.

    d_s is the distance of log mel spectra (``log_mel``), for several window lengths s: short ones
    resolve time, long ones pitch. A slightly delayed wave sounds the same but has a large
    sample-by-sample error, and a code of few bits can keep only the sound.

    The reported value is the ELBO, which this loss makes lower. Rows are signals with the data's
    sample rate. Source: Zeghidour et al. 2021, equation 5.

    Args:
        samples: draws of z per row.
        weight: w, in nats per feature of the data (D of them) and factor of ten of loudness.
        scales: the lengths in samples.
    """

    speed_change = 0.25

    def __init__(
        self, *, samples: int = 1, weight: float = 10.0, scales: tuple[int, ...] = SCALES
    ) -> None:
        super().__init__(samples=samples)
        if weight < 0 or not scales or min(scales) < 8:
            raise OptionError(
                f"weight must not be negative, and scales are at least 8 samples, not {weight} and "
                f"{list(scales)}"
            )
        self.share = weight
        self.scales = tuple(scales)
        self.hear(USUAL_RATE)

    def hear(self, rate: int) -> None:
        """Set the sample rate of rows, in samples per second."""
        self.ears = nn.ModuleList(LogMel(rate, length) for length in self.scales)

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Set the data's sample rate."""
        self.hear(dataset.schema.sample_rate or USUAL_RATE)
        self.ears.to(next(model.parameters()).device)

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        mean, real = trace.likelihood.mean, batch.filled
        made = hidden_alike(mean.flatten(0, 1).to(real.dtype), batch.observed)
        apart = self.apart(made, real.repeat(len(mean), *(1,) * (real.dim() - 1)))
        return replace(bound, loss=bound.loss + self.share * real[0].numel() * apart)

    def apart(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """The mean distance over rows and scales."""
        ours, theirs = ours.flatten(1), theirs.flatten(1)
        distances = [ear.distance(ours, theirs).mean() for ear in self.ears]  # type: ignore[operator]
        return torch.stack(distances).mean()
