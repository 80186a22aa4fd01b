"""The marginal log-likelihood of each column, in nats per cell."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.hot_deck import hot_deck
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.base import Likelihood


@torch.no_grad()
def marginal_nats(likelihood: Likelihood, dataset: Dataset) -> Tensor:
    """Mean log p_j(x_j) of each column's observed cells, (*event,) float64, in model units.

    p_j is of the family of the column's likelihood, and is fitted to the same rows.

    Raises:
        UnsupportedError: the likelihood has no marginal of a column.
    """
    batch = dataset.all()
    alone, x = copy.deepcopy(likelihood).cpu().double(), hot_deck(batch).double()
    alone.initialize(x)
    bias = alone.initial_bias(x)
    if bias is None:
        raise UnsupportedError(f"{type(likelihood).__name__} has no marginal of a column")
    terms: Tensor = alone(bias.double()[None, None]).terms(x, batch.observed)[0]
    seen = torch.ones_like(x) if batch.observed is None else batch.observed
    return (terms * seen).sum(0) / seen.double().sum(0).clamp_min(1)
