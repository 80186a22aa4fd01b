"""An objective takes a model and a batch, and returns a Bound."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from lowerbound.models import Model
from lowerbound.registry import Registry
from lowerbound.trace import Batch, Trace

if TYPE_CHECKING:  # a name for annotations: numpy need not wait for it
    from lowerbound.data.dataset import Dataset


@dataclass(frozen=True)
class Bound:
    """A lower bound on log p(x), and what it is made of, in nats per example.

    Attributes:
        value: (batch,); higher is better. For the ELBO, value = -distortion - sum of rates.
        distortion: -log p(x | z), averaged over samples, (batch,).
        rates: KL of each latent, top down, (steps, batch); no rows for a model without latents.
        loss: the scalar that is differentiated: one backward, and each parameter's gradient is its
            own part's. Beta, free bits and balancing change it and never change ``value``.
    """

    value: Tensor
    distortion: Tensor
    rates: Tensor
    loss: Tensor


class Objective(nn.Module, ABC):
    """Turns (model, batch) into a Bound; its state, if any, is saved with the checkpoint.

    Attributes:
        progress: share of the run that is done, 0 to 1; the loop sets it, warm-ups read it.
        uses_labels: whether labels are learned from. Then no row is held out to stop by: labeled
            ones are too few, and the bound of the others says nothing of the classifier.
        steady: whether each update does the same with the same shapes; else it is compiled only
            where that is requested, since every other shape compiles anew.
    """

    uses_labels: ClassVar[bool] = False
    steady: ClassVar[bool] = True
    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.ones(()), persistent=False)

    @abstractmethod
    def forward(self, model: Model, batch: Batch) -> Bound:
        """The bound on one batch."""

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """What must be there before the first update, such as a network of the right size."""

    def after_update(self, bound: Bound) -> None:
        """What follows an optimizer update, such as the ascent of a dual variable."""


def stacked_rates(trace: Trace, batch: int, *, analytic: bool) -> Tensor:
    """Rates of all steps averaged over samples, (steps, batch)."""
    if not trace.steps:
        return trace.likelihood.mean.new_zeros(0, batch)
    rates = [over_samples(step.rate(analytic)).expand(batch) for step in trace.steps]
    return torch.stack(rates) if len(rates) > 1 else rates[0].unsqueeze(0)


def held_fixed(network: nn.Module, x: Tensor) -> Any:
    """What a network of the objective answers at x; gradients pass to x and not to the network."""
    weights = {name: value.detach() for name, value in network.named_parameters()}
    return torch.func.functional_call(network, weights, (x,))


def over_samples(values: Tensor) -> Tensor:
    """The mean over the leading axis, (samples, batch) to (batch,)."""
    return values.squeeze(0) if len(values) == 1 else values.mean(0)


OBJECTIVES: Registry[type[Objective]] = Registry("objective")
