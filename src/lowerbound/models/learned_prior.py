"""The prior of another model, as what is trained while the rest of that model stays fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from torch import Tensor, nn
from torch.nn import Parameter

from lowerbound.distributions.density import Density
from lowerbound.errors import UnsupportedError
from lowerbound.models.base import DRAW, Model
from lowerbound.models.powers import LearnsPrior
from lowerbound.priors import PriorTerms
from lowerbound.trace import Batch, Choose, Trace


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
