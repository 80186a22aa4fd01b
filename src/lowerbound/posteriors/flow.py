"""A flow posterior: a Gaussian from the two heads, transformed by a coupling flow that is
conditioned on the row."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.distributions.normalizing_flow import FlowDistribution, NormalizingFlow
from lowerbound.errors import OptionError
from lowerbound.posteriors.base import POSTERIORS, Posterior
from lowerbound.posteriors.gaussian import gaussian_heads

MAX_CONTEXT = 10.0


@POSTERIORS.register("flow")
class FlowPosterior(Posterior):
    r"""z = mu(x) + sigma(x) f^{-1}(eps; c(x)), eps ~ N(0, I).

    The encoder's output is the Gaussian's two heads and a context c for the map. The map starts as
    the identity, so the posterior starts as the Gaussian one. Coupling needs one cheap pass to draw
    and one to score; replay and importance weights need both.

    Args:
        latent_dim: numbers in z.
        context: length of c; None: latent_dim.
        transforms: number of maps that are composed.
        hidden: width of their networks.
        bins: pieces of the spline that each coordinate goes through; 0 shifts and scales it.

    Source: Rezende & Mohamed 2015; the coupling is Dinh et al. 2017.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        context: int | None = None,
        transforms: int = 2,
        hidden: int = 64,
        bins: int = 0,
    ) -> None:
        super().__init__(latent_dim)
        self.context = latent_dim if context is None else context
        if self.context < 1:
            raise OptionError(f"context must be at least 1, not {self.context}")
        self.flow = NormalizingFlow(latent_dim, self.context, "coupling", transforms, hidden, bins)

    @property
    def numbers(self) -> int:
        return 2 * self.latent_dim + self.context

    def forward(self, parameters: Tensor) -> FlowDistribution:
        parameters = parameters.unsqueeze(0)
        if parameters.dtype == torch.bfloat16:
            parameters = parameters.float()
        heads, context = parameters.split([2 * self.latent_dim, self.context], -1)
        loc, scale = gaussian_heads(heads)
        # bounded, so that extreme encoder outputs cannot make the map's networks overflow
        context = MAX_CONTEXT * torch.tanh(context / MAX_CONTEXT)
        return FlowDistribution(self.flow, loc, scale, context)
