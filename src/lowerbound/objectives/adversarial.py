"""A bound and a critic: the VAE-GAN."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.models import Imagines, Model, require
from lowerbound.objectives.base import OBJECTIVES, Bound, held_fixed
from lowerbound.objectives.critic import WINDOW, Critic, WindowCritic, hidden_alike, seen_apart
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch, Draw

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset


@OBJECTIVES.register("adversarial")
class Adversarial(ELBO):
    r"""-ELBO + D (w_f s(x, x') + w_a (softplus(-c(x')) + softplus(-c(x'')) / 2): VAE-GAN.

    A critic c learns to tell real rows from reconstructions x' = E[x | z], z ~ q, and from samples
    x'' = E[x | z], z ~ p; the decoder learns to be taken for real, and to reconstruct what the
    critic's layers see of a row (s, see ``features``). Without samples, as for a decoder whose
    latents are always told, the critic's terms are of x' alone. One loss carries both sides: the
    model's terms see the critic held fixed, the critic's term sees rows cut from the graph, so each
    parameter's gradient is its own part's.

    Samples get sharper and the bound looser: what is reported is the ELBO, and it falls. Source:
    Larsen et al. 2016.

    Args:
        samples: draws of z per row.
        weight: w_a, in nats per feature of the data (D of them).
        feature_weight: w_f, in nats per feature of the data and unit of relative error.
        width: channels of the critic's first layer.
        critic: "rows" sees the rows; "windows" the textures of pictures, place by place.
        dreams: whether samples are judged beside reconstructions.
    """

    critic: Critic | WindowCritic | None

    def __init__(
        self,
        *,
        samples: int = 1,
        weight: float = 0.02,
        feature_weight: float = 0.1,
        width: int = 32,
        critic: Literal["rows", "windows"] = "rows",
        dreams: bool = True,
    ) -> None:
        super().__init__(samples=samples)
        if critic not in ("rows", "windows"):
            raise OptionError(f"critic is rows or windows, not {critic}")
        if min(weight, feature_weight) < 0 or width < 1:
            raise OptionError(
                f"weights must not be negative ({weight}, {feature_weight}), nor width below 1"
            )
        self.share = weight
        self.feature_share = feature_weight
        self.width = width
        self.sees = critic
        self.dreams = dreams
        self.register_module("critic", None)

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Build the critic for rows of this shape."""
        if self.dreams:
            require(model, Imagines, "be judged by its samples")
        if self.sees == "windows" and min(_sides(dataset.schema.event_shape)) < WINDOW:
            raise OptionError(f"the critic of windows is for pictures of {WINDOW} pixels a side")
        parameter = next(model.parameters())
        self._critic(torch.empty(0, *dataset.schema.event_shape).to(parameter))

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        real = batch.filled
        critic = self._critic(real)
        again = hidden_alike(trace.likelihood.mean.flatten(0, 1).to(real.dtype), batch.observed)
        dreamed = None
        if self.dreams:
            dreamed = hidden_alike(self._dreams(model, batch).to(real.dtype), batch.observed)
        dimension = real[0].numel()
        taken = self._taken_for_real(critic, real, again, dreamed)
        loss = bound.loss + dimension * taken + _told_apart(critic, real, again, dreamed)
        return replace(bound, loss=loss)

    def _dreams(self, model: Model, batch: Batch) -> Tensor:
        """As many samples as rows, of the same classes where the model is told them."""
        imagines = require(model, Imagines, "be sampled")
        told = batch.condition
        draws = Draw(len(batch) if told is None else 1)
        trace = imagines.imagine(Batch(condition=told), draws)
        return trace.likelihood.mean.flatten(0, 1)

    def _taken_for_real(
        self, critic: nn.Module, real: Tensor, again: Tensor, dreamed: Tensor | None
    ) -> Tensor:
        """The model's side: the critic is held fixed."""
        with torch.no_grad():
            target = critic(real)[:2]
        *seen, odds = held_fixed(critic, again)
        several = tuple(f.repeat(len(again) // len(real), *(1,) * (f.dim() - 1)) for f in target)
        apart = seen_apart(tuple(seen), several).mean()
        fooled = F.softplus(-odds).mean()
        if dreamed is not None:
            fooled = 0.5 * (fooled + F.softplus(-held_fixed(critic, dreamed)[2]).mean())
        return self.feature_share * apart + self.share * fooled

    def _critic(self, real: Tensor) -> nn.Module:
        """The critic; the first rows that are seen say how large it is."""
        if self.critic is None:
            critic: Critic | WindowCritic
            with seeded(0):
                if self.sees == "windows":
                    critic = WindowCritic(real.shape[1], self.width)
                else:
                    critic = Critic(tuple(real.shape[1:]), 1, self.width)
            self.critic = critic.to(real.device, real.dtype)
        return self.critic


def _sides(event_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a picture; none of anything else."""
    return event_shape[1:] if len(event_shape) == 3 else (0,)


def _told_apart(critic: nn.Module, real: Tensor, again: Tensor, dreamed: Tensor | None) -> Tensor:
    """The critic's side: rows are cut from the graph."""
    made = (again if dreamed is None else torch.cat([again, dreamed])).detach()
    return F.softplus(-critic(real)[2]).mean() + F.softplus(critic(made)[2]).mean()
