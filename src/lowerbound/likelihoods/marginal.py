"""The marginal log-likelihood of each column, in nats per cell."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.hot_deck import hot_deck
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.base import Likelihood

CHUNK = 256  # rows


@torch.no_grad()
def marginal_terms(likelihood: Likelihood, training: Dataset, dataset: Dataset) -> Tensor:
    """log p_j(x_j) of each cell, (rows, *event) float64, in model units; zero where hidden.

    p_j is of the family of the column's likelihood.

    Args:
        likelihood: of a fitted model; it is not changed.
        training: the rows that p_j is fitted to.
        dataset: the rows that are scored.

    Raises:
        UnsupportedError: the likelihood has no marginal of a column.
    """
    alone, x = copy.deepcopy(likelihood).cpu().double(), hot_deck(training.all()).double()
    if x.shape[1:] != alone.event_shape:
        raise UnsupportedError("the likelihood is of a part of a row, not of a row")
    alone.initialize(x)
    bias = alone.initial_bias(x)
    if bias is None:
        raise UnsupportedError("the likelihood has no marginal of a column")
    found = []
    for rows in torch.arange(len(dataset)).split(CHUNK):
        batch = dataset.batch(rows)
        parameters = bias.double().expand(1, len(rows), *bias.shape)
        terms = alone(parameters).terms(batch.filled.double(), batch.observed)[0]
        found.append(terms if batch.observed is None else terms * batch.observed)
    return torch.cat(found)


def marginal_nats(likelihood: Likelihood, dataset: Dataset) -> Tensor:
    """Mean log p_j(x_j) of each column's observed cells, (*event,) float64, in model units.

    p_j is fitted to the same rows.

    Raises:
        UnsupportedError: the likelihood has no marginal of a column.
    """
    counts = dataset.mask.double().sum(0).clamp_min(1)
    return marginal_terms(likelihood, dataset, dataset).sum(0) / counts
