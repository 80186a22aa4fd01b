"""A bound plus a structural similarity term (MS-SSIM) between picture and reconstruction."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lowerbound.errors import OptionError
from lowerbound.models import Model
from lowerbound.objectives.base import OBJECTIVES, Bound
from lowerbound.objectives.critic import hidden_alike
from lowerbound.objectives.elbo import ELBO
from lowerbound.objectives.ms_ssim import likeness
from lowerbound.trace import Batch

GREYS = 255.0
LEAST = 1e-3


@OBJECTIVES.register("structural")
class Structural(ELBO):
    r"""-ELBO + w D (1 - MS-SSIM(x, E[x | z])): structural similarity beside the bound.

    MS-SSIM compares contrast and correlation in small windows, from coarse to fine (``ms_ssim``).
    Faint texture therefore has weight beside strong edges, unlike in squared error. Rows that are
    not pictures are treated as one line of pixels.

    The reported value is the ELBO, which this loss makes lower. Source: Wang, Simoncelli & Bovik
    2003; as a loss of a codec, Balle et al. 2018.

    Args:
        samples: draws of z per row.
        weight: w, in nats per feature of the data (D of them).
    """

    def __init__(self, *, samples: int = 1, weight: float = 1.0) -> None:
        super().__init__(samples=samples)
        if weight < 0:
            raise OptionError(f"weight must not be negative, not {weight}")
        self.share = weight

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        mean, real = trace.likelihood.mean, batch.filled
        made = hidden_alike(mean.flatten(0, 1).to(real.dtype), batch.observed)
        several = real.repeat(len(mean), *(1,) * (real.dim() - 1))
        alike = likeness(GREYS * _picture(several), GREYS * _picture(made), LEAST).mean()
        return replace(bound, loss=bound.loss + self.share * real[0].numel() * (1 - alike))


def _picture(x: Tensor) -> Tensor:
    """Rows as pictures; a row without height and width becomes one line."""
    return x if x.dim() == 4 else x.reshape(len(x), 1, 1, -1)
