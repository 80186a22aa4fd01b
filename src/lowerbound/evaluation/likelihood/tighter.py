"""Tighter bounds than L_K on all rows: a larger K, or annealing, on rows spread over the data.

Pairing carries the result on the subset over to all rows: the mean difference on the same rows has
a small error, because what rows have in common cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lowerbound.config import to_mapping
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.inference.annealed_bounds import bracket
from lowerbound.inference.annealing import AnnealingOptions, anneal
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import Progress
from lowerbound.inference.scores import Scores
from lowerbound.models.base import Model


@dataclass(frozen=True)
class Carried:
    """L of a large K on all rows = L of a small K on all + the mean paired difference on some.

    Attributes:
        samples: the large K.
        rows: number of rows that measured the difference.
        difference: large minus small K, nats per row.
        bound: their sum on all rows, nats per row; the two errors are added as if independent.
    """

    samples: int
    rows: int
    difference: Estimate
    bound: Estimate


@dataclass(frozen=True)
class CrossCheck:
    """Annealed importance sampling and L_K on the same rows, with an error bracket.

    Attributes:
        rows: number of rows.
        options: temperatures, chains, transitions.
        bound: the annealed lower bound on log p(x), nats per row.
        gain: its paired difference to L_K of the same rows.
        simulated_lower, simulated_upper: both bounds on as many rows simulated from the model.
        gap: their paired difference, which is at least the error of annealing on such rows.
        acceptance: mean acceptance probability of the transitions on the real rows.
    """

    rows: int
    options: AnnealingOptions
    bound: Estimate
    gain: Estimate
    simulated_lower: Estimate
    simulated_upper: Estimate
    gap: Estimate
    acceptance: float

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        return to_mapping(self)


def carry_over(
    model: Model,
    dataset: Dataset,
    scores: Scores,
    samples: int,
    rows: int,
    *,
    progress: Progress | None = None,
) -> Carried:
    """L of K = ``samples`` on all rows, from ``rows`` of them.

    Args:
        model: model of the scores.
        dataset: the scored rows.
        scores: scores of a small K, on all of them.
        samples: the large K.
        rows: number of rows for the large K.
        progress: called with (rows done, rows).
    """
    index = spread_rows(len(dataset), rows)
    few = dataset.subset(index)
    protocol = scores.protocol
    expensive = score(
        model,
        few,
        samples=samples,
        seed=protocol.seed,
        precision=protocol.precision,
        progress=progress,
    )
    difference = Estimate.of(expensive.bound - scores.bound[index])
    return Carried(samples, len(few), difference, _sum(Estimate.of(scores.bound), difference))


def cross_check(
    model: Model,
    dataset: Dataset,
    scores: Scores,
    options: AnnealingOptions,
    rows: int,
    *,
    progress: Progress | None = None,
) -> CrossCheck:
    """Anneal some of the rows, and bracket the error on as many rows simulated from the model.

    Args:
        model: model of the scores.
        dataset: the scored rows.
        scores: scores of all of them.
        options: temperatures, chains, transitions.
        rows: number of rows to anneal.
        progress: called with (rows done, rows).

    Raises:
        UnsupportedError: the model cannot be annealed.
    """
    index = spread_rows(len(dataset), rows)
    few = dataset.subset(index)
    annealed = anneal(model, few, options, progress=progress)
    simulated = bracket(model, few, options, progress=progress)
    return CrossCheck(
        rows=len(few),
        options=options,
        bound=Estimate.of(annealed.bound),
        gain=Estimate.of(annealed.bound - scores.bound[index]),
        simulated_lower=Estimate.of(simulated.lower),
        simulated_upper=Estimate.of(simulated.upper),
        gap=simulated.gap,
        acceptance=float(annealed.acceptance.mean()),
    )


def _sum(a: Estimate, b: Estimate) -> Estimate:
    errors = (a.standard_error, b.standard_error)
    if errors[0] is None or errors[1] is None:
        return Estimate(a.mean + b.mean, None)
    return Estimate(a.mean + b.mean, math.hypot(errors[0], errors[1]))
