"""An objective takes a model and a batch, and returns a Bound.

A computation checks that the densities of a pass are of the kind that it needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import parts
from lowerbound.distributions.point import density_of
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.base import LIKELIHOODS
from lowerbound.models.base import MODELS, Model
from lowerbound.posteriors.gaussian import POSTERIORS
from lowerbound.priors.base import PRIORS
from lowerbound.registry import Registry
from lowerbound.trace import Batch, Trace

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

PARTS: dict[str, Registry[Any]] = {
    "prior": PRIORS,
    "posterior": POSTERIORS,
    "likelihood": LIKELIHOODS,
}


def require_exact_densities(trace: Trace, task: str) -> None:
    """Check for importance weights, because a mean of exponentials of bounds is not a bound.

    Args:
        trace: a pass.
        task: the computation, for the message.

    Raises:
        UnsupportedError: a density is a bound or missing; the message names what can be used.
    """
    for part, level, distribution in _parts(trace):
        if density_of(distribution) != "exact":
            raise _refusal(part, level, distribution, f"{task} needs the exact one")


def allowed_samples(trace: Trace, samples: int) -> int:
    """K of a bound: ``samples``, or 1 where a density of this pass is only a lower bound."""
    bounded = any(density_of(distribution) == "bound" for _, _, distribution in _parts(trace))
    return 1 if bounded else samples


def require_bounded_densities(trace: Trace) -> None:
    """Check for the ELBO: log p may be a lower bound; log q must be exact, as it is subtracted.

    Raises:
        UnsupportedError: a density is missing, or the density of a posterior is a bound; the
            message names alternatives.
    """
    for part, level, distribution in _parts(trace):
        density = density_of(distribution)
        if density == "none" or (density == "bound" and part == "posterior"):
            raise _refusal(part, level, distribution, "the ELBO needs one")


def _parts(trace: Trace) -> Iterator[tuple[str, int, Distribution]]:
    """Each distribution of a pass, with its part of the model and its level."""
    for level, step in enumerate(trace.steps):
        yield "prior", level, step.prior
        if step.posterior is not None:
            yield "posterior", level, step.posterior
    yield "likelihood", len(trace.steps), trace.likelihood


def _refusal(part: str, level: int, distribution: Distribution, need: str) -> UnsupportedError:
    bounded = density_of(distribution) == "bound"
    found = "only a lower bound on its density" if bounded else "no density"
    exact = [n for n in PARTS[part] if getattr(PARTS[part][n], "density", "exact") == "exact"]
    able = [n for n in MODELS if hasattr(MODELS[n], "imagine")]
    return UnsupportedError(
        f"the {part} at level {level}, {type(distribution).__name__}, gives {found}, and {need}: "
        + f"choose a {part} that has it ({', '.join(exact)})"
        + (
            ", or take the ELBO: objective 'elbo', 1 sample"
            if bounded
            else f", in a model whose latents have densities ({', '.join(able)})"
        )
    )


@dataclass(frozen=True)
class Bound:
    """A lower bound on log p(x) and its parts, in nats per example.

    Attributes:
        value: (batch,); higher is better. For the ELBO, value = -distortion - sum of rates.
        distortion: -log p(x | z), averaged over samples, (batch,).
        rates: KL of each latent, top down, (steps, batch); no rows for a model without latents.
        joint: (batch,), the value and what the loss has for quantities that the model predicts, by
            which training keeps the best weights; None: the value itself.
        loss: the scalar that is differentiated; one backward pass gives all gradients. Beta, free
            bits and balancing change ``loss`` and never ``value``.
    """

    value: Tensor
    distortion: Tensor
    rates: Tensor
    loss: Tensor
    joint: Tensor | None = None


class Objective(nn.Module, ABC):
    """A module from (model, batch) to a Bound; a checkpoint saves its state, if any.

    Attributes:
        progress: finished share of the run, 0 to 1; the loop sets it, warm-ups read it.
        uses_labels: whether it learns from labels. If so, no rows are held out for early stopping:
            labeled rows are too few, and the bound of the others does not measure the classifier.
        steady: whether all updates have the same shapes. If not, updates are compiled only on
            request, because each new shape compiles again.
        predicts: whether its loss has the quantities that a model predicts.
        speed_change: default largest change of the speed of a row of sound at a visit; 0 where the
            bound of the rows as they are, or their pitch, matters.
        judged_by_value: whether training keeps the weights with the best held-out value and may
            stop early. If not, the newest weights are kept, because the loss gives up value for
            something else.
    """

    uses_labels: ClassVar[bool] = False
    predicts: ClassVar[bool] = False
    steady: bool = True
    speed_change: ClassVar[float] = 0.0
    judged_by_value: bool = True
    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.ones(()), persistent=False)

    @property
    def label_options(self) -> Mapping[str, Any]:
        """Options with which a fit trains q(y | x) alone, if it can."""
        return {}

    @property
    def settled(self) -> bool:
        """Whether the loss has the form that it keeps until the end of the run.

        Until then training keeps the newest weights and does not stop early, because the best
        value of a warm-up belongs to another loss.
        """
        return True

    @abstractmethod
    def forward(self, model: Model, batch: Batch) -> Bound:
        """The bound on one batch."""

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Build or fit what the first update needs, such as a network of the right size."""

    def after_update(self, bound: Bound) -> None:
        """Update state that the optimizer does not, such as a dual variable."""

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """Training diagnostics besides the bound, collected since ``forget_readings``."""
        return {}

    def forget_readings(self) -> None:
        """Start to collect the readings again."""


def stacked_rates(
    trace: Trace, batch: int, *, analytic: bool, balance: float | None = None
) -> Tensor:
    """Rates of all steps averaged over samples, (steps, batch); ``balance`` as in ``Step.rate``."""
    if not trace.steps:
        return trace.likelihood.mean.new_zeros(0, batch)
    rates = [over_samples(step.rate(analytic, balance)).expand(batch) for step in trace.steps]
    return torch.stack(rates) if len(rates) > 1 else rates[0].unsqueeze(0)


def held_fixed(network: nn.Module, x: Tensor) -> Any:
    """The output of a network at x; gradients reach x but not the network."""
    weights = {name: value.detach() for name, value in network.named_parameters()}
    return torch.func.functional_call(network, weights, (x,))


def over_samples(values: Tensor) -> Tensor:
    """The mean over the leading axis, (samples, batch) to (batch,)."""
    return values.squeeze(0) if len(values) == 1 else values.mean(0)


OBJECTIVES: Registry[type[Objective]] = parts.OBJECTIVES
