"""Membership inference: does a released table reveal which rows it was made from?

An attack gives a score to each row, higher where the row seems to be a training row. Training
rows are compared with a control group, rows of the same source that were not used. AUROC 0.5:
the attack fails. 1: every training row is recognized.

- ``distance``: the nearest released row is near. It needs no further data.
- ``density``: the released rows are denser here than the source, log p_S(x) - log p_R(x), with
  kernel densities (DOMIAS: van Breugel et al. 2023). R are reference rows of the same source, which
  neither the training nor the control group has.
- ``relative distance``: the same with the densities of nearest neighbors, log r_R(x) - log r_S(x).

With shadow models the synthesizer is trained several times, on random halves of the rows. For each
row, the distance to the nearest released row is compared between the trainings with it and those
without it. One training is then attacked with what the others show (LiRA: Carlini et al. 2022), and
each of them is attacked once. This needs the synthesizer, not only its output, and is stronger than
attacks on one released table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.applications.release.attacks import nearest_distances, squared_distances
from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.samples.column_judge import (
    AtFalsePositives,
    CodedColumns,
    area_interval,
    at_false_positives,
)

ALLOWED = (0.01, 0.001)  # rates of false positives
TINY = 1e-6  # distance, for the logarithm
FitAndSample = Callable[[Any, int, int], Any]
"""(training rows as a frame, number of rows to draw, seed) to released rows as a frame."""

FEWEST_MODELS = 4
LEAST_SPREAD = 1e-3  # standard deviation of scores around their means


@dataclass(frozen=True)
class Membership:
    """How well one attack recognizes training rows.

    Attributes:
        attack: its name.
        area: AUROC with its 95 % interval.
        members, controls: rows in either group.
        tails: true positives at 1 % and at 0.1 % false positives; those that the control group is
            too small for are left out.
    """

    attack: str
    area: Interval
    members: int
    controls: int
    tails: tuple[AtFalsePositives, ...]

    @classmethod
    def of(
        cls,
        attack: str,
        members: Array,
        controls: Array,
        *,
        clusters: tuple[Array, Array] | None = None,
    ) -> Membership:
        """The figures of the scores of both groups, (rows,); clusters as for ``area``."""
        tails = [at_false_positives(members, controls, allowed) for allowed in ALLOWED]
        found = tuple(tail for tail in tails if tail is not None)
        area = area_interval(members, controls, clusters)
        return cls(attack, area, len(members), len(controls), found)


def membership(
    members: Array, controls: Array, synthetic: Array, seed: int = 0
) -> tuple[Membership, ...]:
    """Attack a released table.

    Args:
        members: coordinates of training rows, (rows, width).
        controls: of rows of the same source that were not used; half of them become the reference.
        synthetic: of the released rows.
        seed: of the halves.
    """
    order = np.random.default_rng(seed).permutation(len(controls))
    reference, tested = np.array_split(controls[order], 2)
    near = [-nearest_distances(rows, synthetic)[:, 0] for rows in (members, controls)]
    relative = [relative_distance(rows, synthetic, reference) for rows in (members, tested)]
    dense = [density_ratio(rows, synthetic, reference) for rows in (members, tested)]
    return (
        Membership.of("distance", *near),
        Membership.of("relative distance", *relative),
        Membership.of("density", *dense),
    )


def relative_distance(rows: Array, synthetic: Array, reference: Array) -> Array:
    """log of the distance to the nearest reference row over that to the nearest released row."""
    near, usual = (nearest_distances(rows, others)[:, 0] for others in (synthetic, reference))
    return np.asarray(np.log(usual + TINY) - np.log(near + TINY))


def density_ratio(rows: Array, synthetic: Array, reference: Array) -> Array:
    """log p_S(x) - log p_R(x), (rows,), with Gaussian kernels, wide where R is sparse."""
    width = kernel_widths(rows, reference)
    return log_density(rows, synthetic, width) - log_density(rows, reference, width)


def kernel_widths(rows: Array, reference: Array) -> Array:
    """A quarter of the distance of each row to its nearest reference row.

    It is at least a tenth of its median, because equal rows have no distance. A fixed width would
    hide copies where rows are dense, and see nothing where they are sparse.
    """
    part = 0.25 * nearest_distances(rows, reference)[:, 0]
    positive = part[part > 0]
    least = 0.1 * float(np.median(positive)) if len(positive) else 1.0
    return np.maximum(part, least)


def log_density(rows: Array, centers: Array, width: Array) -> Array:
    """log of the mean over centers c of exp(-|x - c|^2 / 2 width(x)^2), (rows,); unnormalized."""
    from scipy.special import logsumexp

    found = np.empty(len(rows))
    for part, squared in squared_distances(rows, centers):
        squared /= -2 * width[part, None] ** 2
        found[part] = logsumexp(squared, axis=1)
    return np.asarray(found - np.log(len(centers)))


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
