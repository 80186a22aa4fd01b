"""States of world models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.trace import Trace


class WorldState(NamedTuple):
    """A state of the model, h and z.

    Attributes:
        memory: h, (..., memory).
        latent: z, (..., latents), codes side by side.
    """

    memory: Tensor
    latent: Tensor

    @property
    def features(self) -> Tensor:
        """h and z side by side, (..., memory + latents): all that heads and policies see."""
        return torch.cat([self.memory, self.latent], -1)

    def rows(self, index: Tensor) -> WorldState:
        """The states of some rows."""
        return WorldState(self.memory[index], self.latent[index])

    def detached(self) -> WorldState:
        """The same state, cut from the graph."""
        return WorldState(self.memory.detach(), self.latent.detach())


@dataclass(frozen=True)
class StateTrace(Trace):
    """A pass with the states of all times, (samples, batch, time, ...)."""

    states: WorldState | None = None


def stacked(states: Sequence[WorldState]) -> WorldState:
    """The states of all times, (samples, batch, time, ...)."""
    samples = len(states[-1].memory)
    memory, latent = (
        torch.stack([part.expand(samples, -1, -1) for part in parts], 2)
        for parts in zip(*states, strict=True)
    )
    return WorldState(memory, latent)
