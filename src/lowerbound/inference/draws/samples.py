"""Rows that were drawn from a model.

Samples contain both the mean of p(x | z), which is smooth, and a draw of x from p(x | z), which
includes the noise of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from lowerbound.distributions.reparameterization import seeded
from lowerbound.inference.passes import as_taken
from lowerbound.models import Model
from lowerbound.training.checkpoints.randomness import stream_seed

BYTES_PER_VALUE = 256  # memory of a mean that sums over blocks of levels


@dataclass(frozen=True)
class Samples:
    """Draws in model units, on the CPU.

    Attributes:
        z: the latents, (count, latent_dim).
        mean: E[x | z], (count, *event).
        x: drawn from p(x | z), (count, *event).
        condition: (count, size).
    """

    z: Tensor
    mean: Tensor
    x: Tensor
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.z)


def refined_by(model: Model, made: Samples, seed: int, start: int) -> Samples:
    """The same latents, x drawn by the refiner from random numbers of its own."""
    if model.refiner is None:
        return made
    with seeded(stream_seed(seed, f"refinement from {start}")):
        drawn = model.refiner.draw(as_taken(made.mean, model.refiner))
    return replace(made, x=drawn.cpu())
