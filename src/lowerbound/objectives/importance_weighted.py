"""The importance-weighted bound with plain, STL and DReG gradients."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch._compile import _disable_dynamo  # torch.compiler.disable imports the compiler at once
from torch.distributions import Distribution

from lowerbound.distributions.reparameterization import frozen
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models.base import Model
from lowerbound.objectives.base import Bound, Objective, require_exact_densities, stacked_rates
from lowerbound.objectives.elbo import refuse_biased_draws
from lowerbound.parts import OBJECTIVES
from lowerbound.trace import Batch, Draw, Step, Trace

Gradient = Literal["plain", "stl", "dreg"]


@OBJECTIVES.register("importance_weighted")
class ImportanceWeighted(Objective):
    r"""log p(x) >= E[log 1/K sum_k w_k], w_k = p(x, z_k) / q(z_k | x), z_k ~ q(z | x).

    Source: Burda et al. 2016. K = 1 is the ELBO by its first SGVB estimator.

    Args:
        samples: K.
        gradient: of the encoder: "plain"; "stl", without the score term (Roeder et al. 2017; biased
            for K > 1); or "dreg", doubly reparameterized (Tucker et al. 2018), unbiased with a
            signal-to-noise ratio that does not fall with K. The decoder's gradient is the same.
    """

    def __init__(self, *, samples: int = 5, gradient: Gradient = "dreg") -> None:
        super().__init__()
        if samples < 1:
            raise OptionError(f"samples must be at least 1, not {samples}")
        if gradient not in ("plain", "stl", "dreg"):
            raise OptionError(f"gradient is 'plain', 'stl' or 'dreg', not {gradient!r}")
        self.samples = samples
        self.gradient = gradient

    def forward(self, model: Model, batch: Batch) -> Bound:
        if self.gradient != "dreg":
            return self._bound(model(batch, Draw(self.samples)), batch)
        choose = ReweightedDraw(self.samples)
        trace = model(batch, choose)
        if len(trace.steps) > 1:
            raise UnsupportedError("DReG is for one-step models; use gradient='stl' or 'plain'")
        return self._bound(trace, batch, choose)

    def _bound(self, trace: Trace, batch: Batch, choose: ReweightedDraw | None = None) -> Bound:
        assert batch.x is not None
        refuse_biased_draws(trace)
        refuse_quantized(trace)
        require_exact_densities(trace, "the importance-weighted bound")
        log_likelihood = trace.likelihood.log_prob(batch.x, batch.observed)
        weighed = trace if self.gradient == "plain" else _frozen_proposals(trace)
        log_weights = weighed.weighted(log_likelihood).expand(self.samples, len(batch))
        if choose is not None:
            choose.reweight(torch.softmax(log_weights.detach(), 0))
        value = torch.logsumexp(log_weights, 0) - math.log(self.samples)
        with torch.no_grad():
            rates = stacked_rates(trace, len(batch), analytic=False)
        return Bound(value.detach(), -log_likelihood.detach().mean(0), rates, -value.mean())


class ReweightedDraw:
    r"""Draws whose gradient is multiplied by the normalized weight of the sample.

    The loss gives every path the factor w~_k. DReG needs w~_k^2 on the path through z_k, and w~_k
    on the path of the decoder's parameters. A hook therefore multiplies z_k's gradient by w~_k. The
    compiled graph is split here, because the hook needs a tensor that enters the next graph.
    """

    def __init__(self, samples: int) -> None:
        self.draw = Draw(samples)
        self.weights: Tensor | None = None

    @_disable_dynamo
    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        z = self.draw(level, posterior, prior)
        if z.requires_grad:
            z.register_hook(self._scale)
        return z

    def log_weights(self, trace: Trace) -> float:
        return self.draw.log_weights(trace)

    @_disable_dynamo
    def reweight(self, weights: Tensor) -> None:
        """Set the normalized weights, (samples, batch)."""
        self.weights = weights

    def _scale(self, gradient: Tensor) -> Tensor:
        assert self.weights is not None, "backward before the weights are known"
        return gradient * self.weights.reshape(self.weights.shape + (1,) * (gradient.dim() - 2))


def _frozen_proposals(trace: Trace) -> Trace:
    """The pass with its posteriors' parameters detached, so that log q depends only on z."""
    steps = []
    for step in trace.steps:
        assert step.posterior is not None
        steps.append(Step(step.z, frozen(step.posterior), step.prior, step.closed))
    return Trace(tuple(steps), trace.likelihood)


def refuse_quantized(trace: Trace) -> None:
    """Refuse a quantized latent: all its draws are equal, so importance weights have no effect.

    Raises:
        UnsupportedError: a latent of the pass is quantized.
    """
    for level, step in enumerate(trace.steps):
        if step.quantized:
            raise UnsupportedError(
                f"level {level} is quantized, so all draws of a row are one, and the "
                "importance-weighted bound is the ELBO; use the objective 'elbo'"
            )
