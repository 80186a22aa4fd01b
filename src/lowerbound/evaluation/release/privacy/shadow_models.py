"""Membership inference with shadow models: how a synthesizer behaves with and without a row.

The synthesizer is trained several times, on random halves of the rows. For each row, the distance
to the nearest released row is compared between the trainings with it and those without it. One
training is then attacked with what the others show (LiRA: Carlini et al. 2022), and each of them is
attacked once. This needs the synthesizer, not only its output, and is stronger than attacks on one
released table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.evaluation.release.coded_columns import CodedColumns
from lowerbound.evaluation.release.privacy.membership import TINY, Membership
from lowerbound.evaluation.release.privacy.neighbors import nearest_distances

FitAndSample = Callable[[Any, int, int], Any]
"""(training rows as a frame, number of rows to draw, seed) to released rows as a frame."""

FEWEST_MODELS = 4
LEAST_SPREAD = 1e-3


def shadow_membership(
    fit_and_sample: FitAndSample, rows: Any, *, models: int = 10, seed: int = 0
) -> Membership:
    """Train shadow models and attack each of them with the others.

    Args:
        fit_and_sample: trains the synthesizer and draws rows.
        rows: frame of rows, all of them attacked; each is in half of the trainings.
        models: number of trainings.
        seed: of the halves and, counted up, of the trainings.

    Raises:
        OptionError: fewer than 4 trainings.
    """
    if models < FEWEST_MODELS:
        raise OptionError(f"shadow models: at least {FEWEST_MODELS} are needed, not {models}")
    codes = CodedColumns.learn(rows)
    targets = codes.coordinates(codes.encode(rows))[0]
    random = np.random.default_rng(seed)
    inside = random.permuted(np.arange(models)[:, None].repeat(len(rows), 1) < models // 2, axis=0)
    scores = np.empty((models, len(rows)))
    for model in range(models):
        training = rows[inside[model]]
        released = fit_and_sample(training, len(training), seed + model)
        others = codes.coordinates(codes.encode(released))[0]
        scores[model] = -np.log(nearest_distances(targets, others)[:, 0] + TINY)
    found = likelihood_ratios(scores, inside, seed)
    row = np.broadcast_to(np.arange(len(rows)), scores.shape)
    clusters = (row[inside], row[~inside])
    return Membership.of("shadow models", found[inside], found[~inside], clusters=clusters)


def likelihood_ratios(scores: Array, inside: Array, seed: int = 0) -> Array:
    """log of p(score | in) / p(score | out), (models, rows), from the other models.

    Both are normal distributions, with the means of a row and one standard deviation for all rows.
    Of the other models as many are used with the row as without it. If all were, the attacked model
    would always leave one fewer on its own side, whose mean would be the less certain one: the
    ratios would then be wrong for members and others in opposite directions.

    Args:
        scores: score of each row in each training, (models, rows).
        inside: whether the row was in this training, (models, rows).
        seed: of the choice among the other models.
    """
    random = np.random.default_rng(seed)
    each = min(int(side.sum(0).min()) for side in (inside, ~inside)) - 1
    found = np.empty_like(scores)
    for model in range(len(scores)):
        order: Array = np.asarray(random.random(scores.shape))
        order[model] = np.inf
        own = []
        for side in (inside, ~inside):
            used = np.where(side, order, np.inf).argsort(0)[:each]
            own.append(_normal(np.take_along_axis(scores, used, 0), scores[model]))
        found[model] = own[0] - own[1]
    return found


def _normal(scores: Array, at: Array) -> Array:
    """log density of each row's number, from its scores, (models, rows)."""
    mean = scores.mean(0)
    spread = max(float((scores - mean).std()), LEAST_SPREAD)
    return np.asarray(-0.5 * ((at - mean) / spread) ** 2 - np.log(spread))
