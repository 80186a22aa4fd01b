"""The VAE-GAN: a bound plus the loss of a critic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.config import renamed_keywords
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.models import Imagines, Model, require
from lowerbound.objectives.base import OBJECTIVES, Bound, held_fixed
from lowerbound.objectives.critic import (
    WINDOW,
    Critic,
    Entrance,
    WindowCritic,
    hidden_alike,
    seen_apart,
)
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch, Draw

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

NATS, SHARE, ENTER = 0.02, 0.3, 0.5  # defaults


@OBJECTIVES.register("adversarial")
@renamed_keywords(dreams="prior_samples")
class Adversarial(ELBO):
    r"""-ELBO + D (w_f s(x, x') + w_a (softplus(-c(x')) + softplus(-c(x'')) / 2): VAE-GAN.

    A critic c learns to distinguish real rows from reconstructions x' = E[x | z], z ~ q, and from
    samples x'' = E[x | z], z ~ p. The decoder learns to make rows that the critic takes for real,
    and to reconstruct the row's features in the critic's layers (s, see ``features``). Without
    prior samples, the critic's terms use only x'. One loss trains both sides: the critic is frozen
    in the model's terms, and rows are detached in the critic's term.

    Samples become sharper, and the ELBO, which is the reported value, becomes lower. Source: Larsen
    et al. 2016.

    Args:
        samples: draws of z per row.
        weight: w_a, in nats per feature of the data (D of them), 0.02 unless given; with a
            balanced critic, its gradient relative to that of the rest, 0.3 unless given.
        feature_weight: w_f, in nats per feature of the data and unit of relative error.
        width: channels of the critic's first layer.
        critic: its input: "rows", or "windows", the textures of pictures place by place.
        prior_samples: whether the critic also gets samples from the prior; None: with rows.
        enter: share of the run after which the critic enters; None: 0 with rows, 0.5 with windows.
            A critic of windows, or one that enters late, has a balanced weight, see ``Entrance``:
            ``weight`` is then its share, and the newest weights of the run are kept.
    """

    critic: Critic | WindowCritic | None
    entrance: Entrance | None

    def __init__(
        self,
        *,
        samples: int = 1,
        weight: float | None = None,
        feature_weight: float = 0.1,
        width: int = 32,
        critic: Literal["rows", "windows"] = "rows",
        prior_samples: bool | None = None,
        enter: float | None = None,
    ) -> None:
        super().__init__(samples=samples)
        if critic not in ("rows", "windows"):
            raise OptionError(f"critic is rows or windows, not {critic}")
        windows = critic == "windows"
        late = windows or bool(enter)
        weight = (SHARE if late else NATS) if weight is None else weight
        if min(weight, feature_weight) < 0 or width < 1:
            raise OptionError(
                f"weight and feature_weight are 0 or more, not {weight} and {feature_weight}; "
                f"width is 1 or more, not {width}"
            )
        self.share = weight
        self.feature_share = feature_weight
        self.width = width
        self.sees = critic
        self.prior_samples = not windows if prior_samples is None else prior_samples
        self.register_module("critic", None)
        self.register_module("entrance", None)
        if late:
            self.enter = ENTER if enter is None else enter
            self.entrance = Entrance(self.enter)
            self.steady = self.judged_by_value = False

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Build the critic for rows of this shape."""
        if self.prior_samples:
            require(model, Imagines, "be compared by its samples")
        if self.sees == "windows" and min(_sides(dataset.schema.event_shape)) < WINDOW:
            raise OptionError(f"critic=windows needs pictures of at least {WINDOW} pixels a side")
        parameter = next(model.parameters())
        self._critic(torch.empty(0, *dataset.schema.event_shape).to(parameter))

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        if self.entrance is not None and not (self.training and self._rise):
            return bound
        real = batch.filled
        critic = self._critic(real)
        again = hidden_alike(trace.likelihood.mean.flatten(0, 1).to(real.dtype), batch.observed)
        sampled = None
        if self.prior_samples:
            sampled = hidden_alike(self._sampled(model, batch).to(real.dtype), batch.observed)
        critics = _critic_loss(critic, real, again, sampled)
        if self.entrance is not None:
            rows = (real, again, sampled)
            own = self._balanced(self.entrance, model, bound.loss, critic, critics, rows)
        else:
            own = bound.loss + real[0].numel() * self._model_loss(critic, real, again, sampled)
        return replace(bound, loss=own + critics)

    @property
    def _rise(self) -> float:
        return 1.0 if self.entrance is None else self.entrance.rise(self.progress)

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """The critic's loss and weight, and the share of outputs in which it is right."""
        return {} if self.entrance is None else self.entrance.readings()

    def forget_readings(self) -> None:
        if self.entrance is not None:
            self.entrance.forget()

    def _balanced(
        self,
        entrance: Entrance,
        model: Model,
        own: Tensor,
        critic: nn.Module,
        critics: Tensor,
        rows: tuple[Tensor, Tensor, Tensor | None],
    ) -> Tensor:
        """The model's loss with the critic at a balanced weight."""
        real, again, sampled = rows
        apart, fooled = self._terms(critic, real, again, sampled)
        decoder = getattr(model, "decoder", nn.Module())
        weight = self.share * entrance.weight(decoder, own, fooled) * self._rise
        with torch.no_grad():
            entrance.collect(critics, weight, critic(real)[2], critic(again)[2])
        return own + self._rise * self.feature_share * real[0].numel() * apart + weight * fooled

    def _sampled(self, model: Model, batch: Batch) -> Tensor:
        """One sample for each row, with the row's condition if it has one."""
        imagines = require(model, Imagines, "be sampled")
        draws = Draw(len(batch) if batch.condition is None else 1)
        trace = imagines.imagine(Batch(condition=batch.condition), draws)
        return trace.likelihood.mean.flatten(0, 1)

    def _model_loss(
        self, critic: nn.Module, real: Tensor, again: Tensor, sampled: Tensor | None
    ) -> Tensor:
        """The model's loss, with the critic frozen."""
        apart, fooled = self._terms(critic, real, again, sampled)
        return self.feature_share * apart + self.share * fooled

    def _terms(
        self, critic: nn.Module, real: Tensor, again: Tensor, sampled: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The distance in features, and how clearly the critic sees that rows are not real."""
        with torch.no_grad():
            target = critic(real)[:2]
        *seen, odds = held_fixed(critic, again)
        several = tuple(f.repeat(len(again) // len(real), *(1,) * (f.dim() - 1)) for f in target)
        apart = seen_apart(tuple(seen), several).mean()
        fooled = F.softplus(-odds).mean()
        if sampled is not None:
            fooled = 0.5 * (fooled + F.softplus(-held_fixed(critic, sampled)[2]).mean())
        return apart, fooled

    def _critic(self, real: Tensor) -> nn.Module:
        """The critic; the shape of the first rows sets its size."""
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
    """Height and width of a picture; empty for other rows."""
    return event_shape[1:] if len(event_shape) == 3 else (0,)


def _critic_loss(critic: nn.Module, real: Tensor, again: Tensor, sampled: Tensor | None) -> Tensor:
    """The critic's loss, with rows detached."""
    made = (again if sampled is None else torch.cat([again, sampled])).detach()
    return F.softplus(-critic(real)[2]).mean() + F.softplus(critic(made)[2]).mean()
