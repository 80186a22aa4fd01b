r"""Gain of a model over the marginal of each column, in nats.

.. math:: g_j = \mathbb{E}_q[\log p(x_j \mid z)] - \log p_j(x_j)

per observed cell; p_j is the column's marginal in the family of its likelihood. The sum over the
columns minus the rate is the gain of the bound over independent columns. If the gain of a column
is zero, the code ignores it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.inference.passes import MEMORY, ChunkPlan, collected, keyed_draw
from lowerbound.likelihoods.base import marginal_nats
from lowerbound.models.base import Model
from lowerbound.trace import Batch

DRAWS = 16
IGNORED = 0.01  # nats per cell; smaller gains are noise


@dataclass(frozen=True)
class ColumnShares:
    """Mean nats per observed cell of each column, in the data's own units; higher is better.

    Attributes:
        names: names of the columns.
        nats: E_q[log p(x_j | z)].
        marginal: log p_j(x_j) by the column's marginal.
    """

    names: tuple[str, ...]
    nats: tuple[float, ...]
    marginal: tuple[float, ...]

    @property
    def gains(self) -> tuple[float, ...]:
        """g_j of each column."""
        return tuple(a - b for a, b in zip(self.nats, self.marginal, strict=True))

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns on which the code has no information."""
        return tuple(n for n, gain in zip(self.names, self.gains, strict=True) if gain < IGNORED)


def column_shares(
    model: Model, dataset: Dataset, *, seed: int = 0, memory: int = MEMORY
) -> ColumnShares:
    """The gains of the columns on held-out rows.

    Raises:
        UnsupportedError: the rows have no columns, or the likelihood no marginal of each.
    """
    names = [column.name for column in dataset.schema.modeled]
    likelihood = model.declared_likelihood if names else None
    if likelihood is None:
        raise UnsupportedError("only rows of columns have shares of columns")
    plan = ChunkPlan.of(model, dataset, DRAWS, memory)

    def seen_terms(_: slice, batch: Batch) -> tuple[Tensor, ...]:
        emission = model(batch, keyed_draw(batch, DRAWS, seed)).likelihood
        assert batch.x is not None
        seen = torch.ones_like(batch.x) if batch.observed is None else batch.observed
        # a likelihood may also model why a cell is missing: no share of the observed cells
        terms = emission.terms(batch.x, batch.observed).double().mean(0) * seen
        slopes = dataset.schema.log_slopes(batch.x, model.mass, batch.observed).to(terms) * seen
        return tuple(part.sum(0, keepdim=True) for part in (terms, slopes, seen.double()))

    total, slopes, count = (
        part.sum(0) for part in collected(model, dataset, plan.rows, seen_terms)
    )
    count = count.clamp_min(1)
    units = slopes / count  # that convert from model units
    marginal = marginal_nats(likelihood, dataset).to(units) + units
    return ColumnShares(
        tuple(names), tuple((total / count + units).tolist()), tuple(marginal.tolist())
    )
