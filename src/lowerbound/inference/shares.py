r"""The bound of a row as a sum of shares: one for each feature and one for the code.

With draws z_k ~ q(z | x), log w_k = log p(x | z_k) - log q(z_k | x) / p(z_k) and W_k the weights
w_k normalized to one, the bound is exactly the sum

.. math::
    -L_K = \sum_j \underbrace{\sum_k W_k (-\log p(x_j \mid z_k))}_{\text{feature } j}
         + \underbrace{\sum_k W_k \log \frac{q(z_k \mid x)}{p(z_k)} + \mathrm{KL}(W \,\|\, 1 / K)}
           _{\text{rate}}

The rate is the cost of the code in nats. Features are in the data's own units. Where the bound of
``scores`` takes few draws, the features take all K, and the rate is what is left of that bound.

A change of the units of a column by a factor c adds log c to -log p of every row, and no row is
odder for it. In a column with an atom it adds log c to the rows beside the atom alone: so in cents
they would be odder than in euros. Therefore the values beside the atom are measured in their
standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.inference.passes import MEMORY, ChunkPlan, collected, dry_run, first_row
from lowerbound.models.base import Model
from lowerbound.networks.processor import in_precision
from lowerbound.objectives.base import allowed_samples, require_exact_densities
from lowerbound.trace import Batch, Trace

SAMPLES = 16  # K
FEW = 4  # K of rows whose weights are even by then
EVEN = 0.9  # least effective sample size of such rows, as a share of K
TERMS_COST = 4  # memory of the terms of each draw, besides the pass itself


def unit_nats(dataset: Dataset, mass: bool) -> Tensor | None:
    """The part of -log p of each cell that its unit decides in a column with an atom, (rows,
    columns), float64; None: no column has one.

    Args:
        dataset: the rows.
        mass: whether the likelihood is a probability mass, which has no unit.
    """
    columns = dataset.schema.modeled
    if mass or dataset.x.ndim != 2 or dataset.x.shape[1] != len(columns):
        return None
    units = dataset.x.double().cpu().numpy()
    each = [column.rules.log_unit(units[:, place]) for place, column in enumerate(columns)]
    nats = torch.from_numpy(np.stack(each, 1))
    if not bool(nats.any()):
        return None
    return nats if dataset.observed is None else torch.where(dataset.observed.cpu(), nats, 0.0)


def are_even(sizes: Tensor, few: int) -> Tensor:
    """In which rows ``few`` draws are enough for the bound, by their effective sample sizes."""
    return sizes >= EVEN * few


@dataclass(frozen=True)
class Shares:
    """The shares of the bound of each row; nats, float64, higher is less probable.

    Attributes:
        features: (rows, *terms): (rows, columns) for a table, (rows, C, H, W) or
            (rows, 1, H, W) for pictures.
        rate: the share of the code, (rows,); zero for an autoencoder.
    """

    features: Tensor
    rate: Tensor

    @property
    def total(self) -> Tensor:
        """-L_K, (rows,); for an autoencoder -log p(x | z = f(x))."""
        return self.features.flatten(1).sum(1) + self.rate

    def pixels(self, event_shape: tuple[int, ...]) -> Tensor:
        """For pictures (C, H, W): nats of each pixel, summed over its colors, (rows, H, W)."""
        return self.features.reshape(len(self.features), -1, *event_shape[1:]).sum(1)

    def mean(self, observed: Tensor | None = None) -> Shares:
        """The average shares, (1, *terms), of a feature over the rows that have it.

        Args:
            observed: mask of the cells, (rows, *event); None: all are.
        """
        count = torch.tensor(len(self.rate))
        if observed is not None and observed.shape == self.features.shape:
            count = observed.sum(0, keepdim=True).cpu().clamp_min(1)
        features = self.features.sum(0, keepdim=True) / count
        return Shares(features, self.rate.mean(0, keepdim=True))

    def above(self, usual: Shares, observed: Tensor | None = None) -> Shares:
        """The shares minus the average shares; 0 for cells that are not observed.

        Args:
            usual: average shares; places beyond theirs, in longer rows, have none.
            observed: mask of the cells, (rows, *event); None: all are.
        """
        average = torch.zeros_like(self.features[:1])
        size = [slice(0, length) for length in usual.features.shape]
        inside = tuple(slice(0, length) for length in average.shape)
        average[tuple(size)] = usual.features[inside]
        features = self.features - average
        if observed is not None and observed.shape == features.shape:
            features = torch.where(observed.cpu(), features, 0.0)
        return Shares(features, self.rate - usual.rate)


def shares(
    model: Model,
    dataset: Dataset,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    memory: int = MEMORY,
    unit_free: bool = True,
) -> Shares:
    """Split the bound of every row; the draws and the bound are those of ``raw_scores``.

    Args:
        model: any; without a prior there is no rate, and the reconstruction loss is split.
        dataset: the rows.
        samples: K, as for ``raw_scores``.
        seed: of the draws.
        memory: working memory in bytes.
        unit_free: leave out the units of columns with an atom; see ``unit_nats``.

    Raises:
        UnsupportedError: K > 1 and a density is missing, so there are no weights.
    """
    model = in_precision(model, dataset.x.dtype)
    footprint = dry_run(model, first_row(dataset, model))
    samples = allowed_samples(footprint.trace, samples)
    if samples > 1:
        require_exact_densities(footprint.trace, "the split of a bound of several samples")
    plan = ChunkPlan.within(max(1, memory // TERMS_COST), footprint, samples)
    units = unit_nats(dataset, model.mass) if unit_free else None

    def split(rows: slice, batch: Batch) -> tuple[Tensor, Tensor]:
        tally = _ShareTally()
        for count, trace in plan.traces(model, batch, samples, seed):
            tally.add(trace, batch, count)
        features, rate = tally.result(samples)
        if not model.mass:
            seen = None if dataset.observed is None else dataset.observed[rows]
            features = features - dataset.schema.log_slopes(dataset.x[rows], model.mass, seen)
        return features if units is None else features - units[rows], rate

    return Shares(*collected(model, dataset, plan.rows, split))


class _ShareTally:
    """Weighted sums over draws, kept relative to the largest weight so far; float64."""

    def __init__(self) -> None:
        self.top: Tensor | None = None
        self.sums: list[Tensor] = []
        self.first: list[Tensor] = []  # log weights of the first draws

    def add(self, trace: Trace, batch: Batch, samples: int) -> None:
        assert batch.x is not None
        cost = -trace.likelihood.terms(batch.x, batch.observed).double()
        cost = cost.expand(samples, *cost.shape[1:])
        weight = trace.weighted(-cost.flatten(2).sum(-1))
        self.first.extend(weight[: max(0, FEW - len(self.first))])
        top = weight.amax(0) if self.top is None else torch.maximum(self.top, weight.amax(0))
        share = torch.exp(weight - top)
        wide = share.reshape(*share.shape, *(1,) * (cost.dim() - 2))
        sums = [share.sum(0), (wide * cost).sum(0)]
        if self.top is not None:
            shrink = torch.exp(self.top - top)
            sums = [
                new + _like(shrink, new) * old for new, old in zip(sums, self.sums, strict=True)
            ]
        self.top, self.sums = top, sums

    def result(self, samples: int) -> tuple[Tensor, Tensor]:
        """-L_K in parts; the rate is -L_K minus the features."""
        assert self.top is not None
        total, cost = self.sums
        bound = self.top + total.log() - math.log(samples)
        first = torch.stack(self.first).log_softmax(0)
        even = are_even(torch.exp(-torch.logsumexp(2 * first, 0)), len(first))
        of_first = torch.logsumexp(torch.stack(self.first), 0) - math.log(len(first))
        bound = torch.where(even, of_first, bound)
        features = (cost / _like(total, cost)).cpu()
        return features, -bound.cpu() - features.flatten(1).sum(1)


def _like(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(*values.shape, *(1,) * (like.dim() - values.dim()))
