"""Anomaly scores of many rows with bounded memory: normal rows are thinned, others go in parts.

Scores need two float64 coordinates for each number of a row. A table has few; a folder of pictures
would need many times its own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.inference.anomaly.broken import NormalDependencies
from lowerbound.inference.anomaly.explanation import Shares, shares
from lowerbound.inference.anomaly.reference import MOST_REFERENCES, Reference, votes_for
from lowerbound.inference.anomaly.scores import RawScores, raw_scores
from lowerbound.inference.anomaly.units import SAMPLES
from lowerbound.inference.anomaly.unseen import unseen_costs
from lowerbound.inference.passes import Progress
from lowerbound.models import Model

USUAL_ROWS = 1_000  # rows for the average share of a feature
PART_NUMBERS = 2**22  # numbers whose coordinates are in memory at once
REFERENCE_NUMBERS = 2**23  # of the normal rows
LEAST_REFERENCES = 500  # rows, however large


def learn_reference(
    model: Model,
    seen: Dataset,
    fresh: Dataset | None = None,
    *,
    usual: Shares | None = None,
    clean: bool = True,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Reference:
    """The reference by normal rows, evenly spaced ones where there are many.

    Args:
        model: that scores them.
        seen: training rows.
        fresh: held-out normal rows; None: the tails are those of training rows.
        usual: average shares of normal rows, which missing cells add; None: nothing.
        clean: whether no anomalies were fitted on.
        samples, seed: as for ``raw_scores``.

    Raises:
        DataError: fewer than two rows.
        UnsupportedError: a density is missing.
    """
    most = max(LEAST_REFERENCES, REFERENCE_NUMBERS // _numbers(seen))

    def raw(rows: Dataset, most: int) -> RawScores:
        return raw_scores(model, rows.thinned(most), samples=samples, seed=seed)

    return Reference.of(
        raw(seen, min(most, MOST_REFERENCES)),
        None if fresh is None else raw(fresh, most),
        votes=votes_for(seen, clean),
        unseen=unseen_costs(seen),
        usual=None if usual is None else usual.features.flatten().numpy(),
        dependencies=NormalDependencies.of(seen, fresh) if clean else None,
    )


def usual_shares(model: Model, rows: Dataset, *, samples: int = SAMPLES, seed: int = 0) -> Shares:
    """The average share of each feature, from some of the rows."""
    some = rows.thinned(USUAL_ROWS)
    return shares(model, some, samples=samples, seed=seed).mean(some.observed)


def compared(
    model: Model,
    reference: Reference,
    rows: Dataset,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Array]:
    """Every score of the rows, "combined" first, (rows,) each; higher is more anomalous.

    Args:
        model: that scores them.
        reference: normal rows, with which they are compared.
        rows: of the same schema.
        samples, seed: as for ``raw_scores``.
        progress: called with (rows done, rows).

    Raises:
        DataError: there are no rows.
        UnsupportedError: a density is missing.
    """
    parts = []
    for first, part in _parts(rows):

        def add(done: int, _: int, first: int = first) -> None:
            if progress is not None:
                progress(first + done, len(rows))

        raw = raw_scores(
            model,
            part,
            samples=samples,
            seed=seed,
            progress=add,
            unit_free=reference.unit_free,
        )
        if reference.dependencies is not None:
            raw = replace(raw, broken=reference.dependencies.nats(part))
        parts.append(reference.components(raw))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _parts(rows: Dataset) -> Iterator[tuple[int, Dataset]]:
    """(number of the first row, some rows), in order; at least one part."""
    size = max(1, PART_NUMBERS // _numbers(rows))
    if len(rows) <= size:
        yield 0, rows
        return
    for first in range(0, len(rows), size):
        yield first, rows.subset(range(first, min(first + size, len(rows))))


def _numbers(rows: Dataset) -> int:
    return max(1, rows.schema.dimension)
