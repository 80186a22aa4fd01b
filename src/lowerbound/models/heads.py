r"""Heads beside a model: the prior as what is trained alone, and quantities of codes.

A prior is learned for another model. Quantities are what a code predicts beside the row, such as a
property of a molecule:

.. math:: p(v \mid z) = \prod_j p(v_j;\, a_j^\top z + b_j + f_j(z),\, s_j)

with p a Gaussian or a Laplace distribution of that location and scale. Quantities are part of the
model's joint distribution, p(z) p(x | z) p(v | z), and q(z | x) does not see them.

Source: Gómez-Bombarelli et al. 2018, who predict properties from codes during the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Laplace, Normal
from torch.nn import Parameter

from lowerbound.config import option
from lowerbound.distributions.point import Density
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models.base import DRAW, Model
from lowerbound.models.powers import LearnsPrior
from lowerbound.networks.initialization import linear
from lowerbound.priors.base import PriorTerms
from lowerbound.trace import Batch, Choose, Trace

LEAST_SCALE = 1e-3  # of a standardized quantity
NOISE: dict[str, type[Normal] | type[Laplace]] = {"gaussian": Normal, "laplace": Laplace}


@dataclass(frozen=True)
class QuantityOptions:
    """How a model predicts quantities from codes; without quantities they have no effect."""

    predict_weight: float = option(
        10.0, "weight of the quantities of --predict in the loss; 1 is the joint bound"
    )
    predict_hidden: int = option(128, "hidden units from the code to the quantities")
    predict_noise: Literal["gaussian", "laplace"] = option(
        "gaussian", "p(v | z); laplace for values with outliers, or with many that are equal"
    )

    def __post_init__(self) -> None:
        if not self.predict_weight > 0 or self.predict_hidden < 1:
            raise OptionError("predict_weight must be above 0, and predict_hidden at least 1")


class QuantityHead(nn.Module):
    """p(v | z) of standardized quantities.

    Args:
        latent_dim: numbers of z.
        quantities: number of quantities.
        options: see ``QuantityOptions``.
    """

    def __init__(self, latent_dim: int, quantities: int, options: QuantityOptions) -> None:
        super().__init__()
        self.weight, self.noise = options.predict_weight, NOISE[options.predict_noise]
        self.line = linear(latent_dim, quantities)
        self.bend = nn.Sequential(
            linear(latent_dim, options.predict_hidden),
            nn.SiLU(),
            linear(options.predict_hidden, quantities),
        )
        self.raw_scale = nn.Parameter(torch.zeros(quantities))

    def forward(self, z: Tensor) -> Distribution:
        """p(v | z), z of any leading shape (..., latent_dim), (..., quantities)."""
        scale = nn.functional.softplus(self.raw_scale) + LEAST_SCALE
        mean = self.line(z) + self.bend(z)
        return self.noise(mean, scale.expand_as(mean), validate_args=False)

    def weighted(self, z: Tensor, values: Tensor) -> Tensor:
        """weight * log p(v | z) of known values, (samples, batch).

        Args:
            z: (samples, batch, latent_dim).
            values: (batch, quantities), NaN where unknown.
        """
        known = ~values.isnan()
        terms: Tensor = self(z).log_prob(torch.where(known, values, 0.0))
        return self.weight * torch.where(known, terms, 0.0).sum(-1)


class LearnedPrior(Model):
    """p(z) of a model; the rows that it learns from are latents, (batch, numbers).

    Only the prior's parameters and buffers belong to this module, so that a checkpoint and a moving
    average of the weights hold nothing else.

    Args:
        model: the model whose prior is trained.
    """

    def __init__(self, model: LearnsPrior) -> None:
        super().__init__()
        self.prior: nn.Module = model.learned_prior
        self._terms = model.prior_terms

    def terms(self, latents: Tensor, prompt: Tensor | None = None) -> PriorTerms:
        """log p(z) in nats and the loss of latents (rows, numbers), (rows,) each."""
        return self._terms(latents, prompt)

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        raise UnsupportedError("a prior has no p(x | z): use the model that it belongs to")

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {"generative": list(self.prior.parameters())}


def density_of_prior(model: LearnsPrior) -> Density:
    """Of the learned prior: "bound" where that of any of its parts is one."""
    kinds = {getattr(part, "density", "exact") for part in model.learned_prior.modules()}
    return "bound" if "bound" in kinds else "exact"


def all_but_the_prior(model: Model) -> dict[str, Tensor]:
    """The weights of a model by name, those of its learned prior left out."""
    prior: set[int] = set()
    if isinstance(model, LearnsPrior):
        module = model.learned_prior
        prior = {id(value) for value in chain(module.parameters(), module.buffers())}
    state = model.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if id(value) not in prior}
