"""The networks between the latents of a Markov chain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.networks.activations import ACTIVATIONS
from lowerbound.networks.mlp import MLP
from lowerbound.networks.sizes import hidden_widths


@dataclass(frozen=True)
class Chain:
    """Latents z_1 (next to the data) to z_T, and perceptrons between neighbors, both ways.

    ``Chain(latent_dims=(100, 50), hidden=(100, 100), activation="tanh")`` with an ``MLP`` of
    (200, 200) is the two-layer network of Burda et al. 2016.
    """

    levels: int = option(2, "T, latents in the chain")
    latent_dims: tuple[int, ...] | None = option(
        None, "numbers of z_1, ..., z_T; each half of the one below unless given"
    )
    hidden: tuple[int, ...] | None = option(
        None, "hidden layers between latents; sized from them unless given"
    )
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        if self.levels < 1:
            raise OptionError(f"levels is the number of latents, at least 1, not {self.levels}")
        if self.latent_dims is not None and min(self.latent_dims, default=0) < 1:
            raise OptionError(f"latent_dims are at least one each, not {self.latent_dims}")

    def dims(self, latent_dim: int) -> tuple[int, ...]:
        """Numbers of each latent, z_1 first: ``latent_dim`` for z_1 unless they are given."""
        if self.latent_dims is not None:
            return self.latent_dims
        return tuple(max(min(2, latent_dim), latent_dim >> above) for above in range(self.levels))

    def upward(self, dims: tuple[int, ...]) -> list[nn.Module]:
        """z_t to two heads of z_{t+1}, from the lowest up."""
        return [self._between(below, above) for below, above in pairwise(dims)]

    def downward(self, dims: tuple[int, ...]) -> list[nn.Module]:
        """z_{t+1} to two heads of z_t, from the lowest up."""
        return [self._between(above, below) for below, above in pairwise(dims)]

    def _between(self, source: int, target: int) -> nn.Module:
        hidden = hidden_widths(max(source, target)) if self.hidden is None else self.hidden
        return MLP(hidden, self.activation).encoder((source,), 2 * target)
