"""Rows that were drawn from a model.

Samples contain both the mean of p(x | z), which is smooth, and a draw of x from p(x | z), which
includes the noise of the likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.inference.passes import as_taken
from lowerbound.models import Model
from lowerbound.training.checkpoints.randomness import stream_seed

BYTES_PER_VALUE = 256  # memory of a mean that sums over blocks of levels


def whole_count(count: Any, of: str = "samples", least: int = 1) -> int:
    """A number of rows to draw.

    Raises:
        OptionError: it is no whole number, or below ``least``; the message says the number ``of``
            what.
    """
    try:
        value = math.nan if isinstance(count, str) else float(count)
    except (TypeError, ValueError):
        value = math.nan
    if not value.is_integer() or value < least:
        shown = repr(count) if isinstance(count, str) else count
        raise OptionError(f"the number of {of} must be a whole number from {least}, not {shown}")
    return int(count)


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
