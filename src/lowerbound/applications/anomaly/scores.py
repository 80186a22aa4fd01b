r"""Anomaly scores of rows by a model of normal rows; higher is more anomalous.

.. math::
    \text{bound: } -L_K(x) \qquad
    \text{reconstruction: } -\log p(x \mid z = \mathbb{E}_q[z]) \qquad
    \text{latent: } \sqrt{\|x - \hat{x}\|^2 + \|\hat{x} - \hat{x}_{(k)}\|^2}

The first two are nats per row in the data's own units. The third is the distance to the k-th
nearest reference row through the codes: from the row to its decoded mean code, and from there to
the decoded mean code of the neighbor, with each feature in standard deviations. Distances between
the codes themselves have no unit of the data. Every model that encodes and decodes has the last
two, with or without a prior, with one level or several. How new rows are compared with normal rows,
and the other scores, are in ``reference``.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.anomaly.neighbors import distinct
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    Progress,
    check_samples,
    collected,
    dry_run,
    first_row,
)
from lowerbound.inference.reconstruction import MEAN_COST
from lowerbound.inference.scores import Scores
from lowerbound.inference.shares import FEW, SAMPLES, are_even, unit_nats
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.models.base import Model
from lowerbound.networks.processor import in_precision
from lowerbound.objectives.base import allowed_samples
from lowerbound.trace import Batch, Emission, Mean

MOST_LEVELS = 32  # of an unordered column with one coordinate for each level


@dataclass(frozen=True)
class Rebuilt:
    """Rows and their reconstructions through the mean code.

    ``row`` and ``place`` are coordinates for distances, (rows, numbers): the data's own units, and
    for a categorical column the probabilities of its levels.

    Attributes:
        log_loss: -log p(x | z = mean code), nats per row in the data's own units, (rows,).
        row: the row itself, with the decoded value in hidden cells.
        place: the decoded mean code.
    """

    log_loss: Array
    row: Array
    place: Array


@torch.no_grad()
def rebuild(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> Rebuilt:
    """Encode each row to its mean code and decode it; float64."""
    model = in_precision(model, dataset.x.dtype)
    plan = ChunkPlan.of(model, dataset, memory=max(1, memory // MEAN_COST))

    def through_mean(_: slice, batch: Batch) -> list[Tensor]:
        emission = model(batch, Mean()).likelihood
        loss = -emission.log_prob(batch.filled, batch.observed)[0].double()
        return [loss, *map(torch.from_numpy, _numbers(emission, batch, dataset.schema))]

    losses, row, place = collected(model, dataset, plan.rows, through_mean)
    nats = losses - dataset.log_jacobian(model.mass)
    return Rebuilt(nats.numpy(), row.numpy(), place.numpy())


def _numbers(emission: Emission, batch: Batch, schema: Schema) -> tuple[Array, Array]:
    """(coordinates of the rows, of their reconstructions), (rows, numbers) each.

    Rows between which there is no distance have the same coordinates.
    """
    if not schema.columns and not bool(schema.metric.any()):
        return np.zeros((len(batch), 1)), np.zeros((len(batch), 1))
    mean, x = emission.mean[0].double(), batch.filled.double()
    if batch.observed is not None:
        x = torch.where(batch.observed, x, mean)
    if not schema.columns:
        return x.flatten(1).cpu().numpy(), mean.flatten(1).cpu().numpy()
    before, after = (schema.data_kind.features(schema, values) for values in (x, mean))
    pairs = []
    for place, column in enumerate(schema.modeled):
        row = column.rules.coordinates(before[:, place])
        if column.rules.ordered or not column.levels:
            pairs.append((row, column.rules.coordinates(after[:, place])))
        elif isinstance(emission, MixedEmission) and row.shape[1] <= MOST_LEVELS:
            pairs.append((row, emission.probabilities(place)[0].double().cpu().numpy()))
    if not pairs:
        pairs = [(np.zeros((len(x), 1)), np.zeros((len(x), 1)))]
    row, decoded = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
    return row, decoded


@dataclass(frozen=True)
class RawScores:
    """Scores of rows before they are compared with normal rows; float64.

    Attributes:
        bound: -L_K, nats, (rows,), see ``unit_free``; None if the model has no prior.
        reconstruction: -log p(x | z = mean code), nats, (rows,).
        row, place: coordinates of the row and of its decoded mean code, (rows, numbers).
        unseen: the cells with values that the fit did not see, as in ``Dataset``; None: there
            are none.
        hidden: mask of the other cells that are not observed, (rows, features); None: there are
            none, or rows have no fixed features.
        broken: nats of the formulas that the row breaks, and of the lookups that it breaks and no
            known row does; and of other dependencies, (rows, 2); None: none are known.
    """

    bound: Array | None
    reconstruction: Array
    row: Array
    place: Array
    unseen: Array | None = None
    hidden: Array | None = None
    broken: Array | None = None

    def __len__(self) -> int:
        return len(self.reconstruction)

    def rows(self, index: Array) -> RawScores:
        """The scores of some rows."""

        def some(values: Array | None) -> Array | None:
            return None if values is None else values[index]

        return RawScores(
            some(self.bound),
            self.reconstruction[index],
            self.row[index],
            self.place[index],
            some(self.unseen),
            some(self.hidden),
            some(self.broken),
        )


def raw_scores(
    model: Model,
    dataset: Dataset,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Progress | None = None,
    unit_free: bool = True,
) -> RawScores:
    """Bound, reconstruction and coordinates of every row, independent of the other rows.

    Equal rows are scored once.

    Args:
        model: any; without a prior there is no bound.
        dataset: the rows.
        samples: most draws K of the bound; ``FEW`` are used where their weights are even, and 1
            where a density of the model is only a lower bound.
        seed: of the draws.
        memory: working memory in bytes.
        progress: called with (rows done, rows).
        unit_free: leave out the units of columns with an atom; see ``unit_nats``.

    Raises:
        UnsupportedError: a density is missing.
    """
    unseen = None if dataset.unseen is None else dataset.unseen.cpu().numpy()
    hidden = _hidden(dataset)
    once = distinct(dataset)
    if once is not None:
        dataset, place = once
        found = raw_scores(
            model,
            dataset,
            samples=samples,
            seed=seed,
            memory=memory,
            progress=progress,
            unit_free=unit_free,
        )
        return replace(found.rows(place), unseen=unseen, hidden=hidden)
    model = in_precision(model, dataset.x.dtype)  # one copy for all passes
    trace, bound = dry_run(model, first_row(dataset, model)).trace, None
    if trace.steps:  # without a prior there is no bound
        check_samples(samples)
        with warnings.catch_warnings():  # anomalies often have uneven weights
            warnings.filterwarnings("ignore", "the median effective sample size")
            most = allowed_samples(trace, samples)
            bound = -_log_likelihood(model, dataset, most, seed, memory, progress)
        if progress is not None:  # with even weights, the work ends early
            progress(len(dataset), len(dataset))
    rebuilt = rebuild(model, dataset, memory=memory)
    cells = unit_nats(dataset, model.mass) if unit_free else None
    nats = 0.0 if cells is None else cells.sum(1).numpy()
    bound = None if bound is None else bound - nats
    return RawScores(bound, rebuilt.log_loss - nats, rebuilt.row, rebuilt.place, unseen, hidden)


def _log_likelihood(
    model: Model, dataset: Dataset, most: int, seed: int, memory: int, progress: Progress | None
) -> Array:
    """log p(x), or L_K where the model does not have it, nats, (rows,).

    K is ``FEW`` in rows whose weights are even by then, and ``most`` in the others.
    """
    few, total = min(FEW, most), len(dataset)
    rest, after_few = most - few, total * few // most

    def draw(rows: Dataset, samples: int, first: int, done: int, until: int) -> Scores:
        """Scores of rows; the progress goes from ``done`` to ``until`` of all rows."""

        def advance(scored: int, some: int) -> None:
            if progress is not None:
                progress(done + scored * (until - done) // some, total)

        return score(
            model, rows, samples=samples, seed=seed, first=first, memory=memory, progress=advance
        )

    found = draw(dataset, few, 0, 0, after_few)
    if found.log_marginal is not None:
        return found.log_marginal.numpy()
    bound = found.bound.numpy()
    # of a deterministic posterior, one draw was taken
    uneven = (~are_even(found.effective_sample_size, found.samples)).nonzero().flatten()
    if rest and len(uneven):
        index = uneven.numpy()
        further = draw(dataset.subset(uneven), rest, few, after_few, total)
        sums = math.log(few) + bound[index], math.log(rest) + further.bound.numpy()
        bound[index] = np.logaddexp(*sums) - math.log(most)
    return bound


def _hidden(dataset: Dataset) -> Array | None:
    """Mask of the cells that are missing, without those with values that the fit did not see."""
    if dataset.observed is None or dataset.schema.data_kind.grouped:
        return None
    hidden = ~dataset.observed
    if dataset.unseen is not None:
        columns = dataset.schema.columns
        modeled = [place for place, column in enumerate(columns) if column.modeled]
        hidden = hidden & ~dataset.unseen_cells[:, modeled]
    return hidden.flatten(1).cpu().numpy()
