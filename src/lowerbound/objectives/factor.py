"""FactorVAE: the total correlation from a small discriminator instead of estimated densities."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models import Model
from lowerbound.objectives.base import OBJECTIVES, Bound, held_fixed
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch, Trace

if TYPE_CHECKING:  # a name for annotations: numpy need not wait for it
    from lowerbound.data.dataset import Dataset

SLOPE = 0.2  # of the leaky rectifier for negative inputs, as in the paper


@OBJECTIVES.register("factor")
class Factor(ELBO):
    r"""ELBO - gamma TC(z), with TC estimated by a discriminator: FactorVAE.

    .. math::
        \mathrm{TC}(z) = \mathbb{E}_{q(z)} \log \frac{q(z)}{\prod_j q(z_j)}
        \approx \mathbb{E}_{q(z)} \log \frac{D(z)}{1 - D(z)}

    where D tells codes from codes whose units were shuffled over the rows. One loss carries both:
    the model's term sees the discriminator's weights frozen, the discriminator's term sees the
    codes cut from the graph, so each parameter's gradient is its own part's.

    The discriminator is built before the first update, when the size of the codes is known, and is
    saved with the checkpoint. Source: Kim & Mnih 2018.

    Args:
        samples: draws of z per row.
        gamma: weight of the total correlation, beside the 1 that the rate holds of it already.
        width: units of each hidden layer of the discriminator (the paper has 1,000).
        layers: hidden layers of the discriminator (the paper has 5).
    """

    discriminator: nn.Sequential | None

    def __init__(
        self, *, samples: int = 1, gamma: float = 10.0, width: int = 200, layers: int = 3
    ) -> None:
        super().__init__(samples=samples)
        if gamma < 0:
            raise OptionError(f"gamma must not be negative, and is {gamma}")
        if min(width, layers) < 1:
            raise OptionError(f"width and layers must be at least 1, not {width} and {layers}")
        self.gamma = gamma
        self.width = width
        self.layers = layers
        self.register_module("discriminator", None)

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Build the discriminator for codes of this model's size."""
        parameter = next(model.parameters(), torch.zeros(()))
        row = dataset.batch(torch.zeros(1, dtype=torch.long, device=dataset.x.device))
        tensors = {n: v.to(parameter.device) for n, v in vars(row).items() if v is not None}
        with seeded(0), torch.no_grad():
            self._discriminator(
                codes(model(replace(row, **tensors).to(parameter.dtype), self.choose))
            )

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        z = codes(trace)
        loss = bound.loss + self.gamma * self.total_correlation(z) + self.distinction(z.detach())
        return replace(bound, loss=loss)

    def total_correlation(self, z: Tensor) -> Tensor:
        """The discriminator's estimate at codes (samples, batch, units), nats; it is held fixed."""
        logits: Tensor = held_fixed(self._discriminator(z), z)
        return logits.mean()

    def distinction(self, z: Tensor) -> Tensor:
        """The discriminator's own loss: cross-entropy of codes against shuffled codes, nats."""
        discriminator = self._discriminator(z)
        return 0.5 * (
            F.softplus(-discriminator(z)).mean() + F.softplus(discriminator(shuffled(z))).mean()
        )

    def _discriminator(self, z: Tensor) -> nn.Sequential:
        """The discriminator; the first codes that are seen say how large it is."""
        if self.discriminator is None:
            with seeded(0):
                built = _discriminator(z.shape[-1], self.width, self.layers)
            self.discriminator = built.to(z.device, z.dtype)
        return self.discriminator


def codes(trace: Trace) -> Tensor:
    """The latents of all levels side by side, (samples, batch, units).

    Raises:
        UnsupportedError: there are none, or they are discrete.
    """
    if not trace.steps:
        raise UnsupportedError(
            "the objective 'factor' judges latents, and this model has none with a prior: use 'vae'"
        )
    if not all(step.z.is_floating_point() for step in trace.steps):
        raise UnsupportedError(
            "the objective 'factor' shuffles units that are real numbers, and these are codes: use "
            "the objective 'elbo'"
        )
    return trace.latents()


def shuffled(z: Tensor) -> Tensor:
    """Draws of prod_j q(z_j): each unit moved to other rows by a shift of its own.

    Shifts differ from unit to unit as long as there are rows enough, so that no two units of a
    shuffled code come from the same row, and the units are independent; a plain permutation leaves
    pairs together now and then.
    """
    samples, batch, units = z.shape
    shifts = torch.randperm(max(batch, units), device=z.device)[:units] % batch
    rows = torch.arange(batch, device=z.device)
    source = (rows.unsqueeze(1) + shifts) % batch
    return z.gather(1, source.expand(samples, batch, units))


def _discriminator(units: int, width: int, layers: int) -> nn.Sequential:
    """Codes to the log-odds that they are real, (..., units) to (..., 1)."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise((units, *(width,) * layers)):
        parts += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*parts, nn.Linear(width, 1))
