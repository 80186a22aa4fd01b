"""FactorVAE: the total correlation, estimated by a small discriminator."""

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

    where D distinguishes codes from codes whose units were shuffled over the rows. One loss trains
    both: the discriminator is frozen in the model's term, and the codes are detached in the
    discriminator's term.

    ``prepare`` builds the discriminator for the size of the codes; the checkpoint saves it. Source:
    Kim & Mnih 2018.

    Args:
        samples: draws of z per row.
        gamma: weight of the total correlation, in addition to the weight 1 in the rate.
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
        """The estimate of the frozen discriminator at codes (samples, batch, units), nats."""
        logits: Tensor = held_fixed(self._discriminator(z), z)
        return logits.mean()

    def distinction(self, z: Tensor) -> Tensor:
        """The discriminator's loss: cross-entropy of codes against shuffled codes, nats."""
        discriminator = self._discriminator(z)
        return 0.5 * (
            F.softplus(-discriminator(z)).mean() + F.softplus(discriminator(shuffled(z))).mean()
        )

    def _discriminator(self, z: Tensor) -> nn.Sequential:
        """The discriminator; the shape of the first codes sets its size."""
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
    """Draws of prod_j q(z_j): each unit is moved to other rows by a different shift.

    If there are enough rows, all shifts differ, so no two units of a shuffled code are from the
    same row. Independent permutations would sometimes leave two units of a row together.
    """
    samples, batch, units = z.shape
    shifts = torch.randperm(max(batch, units), device=z.device)[:units] % batch
    rows = torch.arange(batch, device=z.device)
    source = (rows.unsqueeze(1) + shifts) % batch
    return z.gather(1, source.expand(samples, batch, units))


def _discriminator(units: int, width: int, layers: int) -> nn.Sequential:
    """A network from codes, (..., units), to the log-odds that they are real, (..., 1)."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise((units, *(width,) * layers)):
        parts += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*parts, nn.Linear(width, 1))
