r"""Returns of agents: curves over steps, their area, and interquartile means with intervals.

An agent of one seed is a curve: sums of rewards of evaluated episodes, after so many steps of the
environment. Several seeds are compared at equal steps. The interval of an interquartile mean is
that of the bootstrap which draws seeds, and episodes within each (Agarwal et al. 2021).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.evaluation.intervals import Interval
from lowerbound.fitting.control.records import AgentRecord

DRAWS = 2000
LEVELS = (2.5, 97.5)


@dataclass(frozen=True)
class Curve:
    """One seed.

    Attributes:
        steps: of the environment at each evaluation, rising.
        scores: of the episodes of each evaluation.
    """

    steps: tuple[int, ...]
    scores: tuple[tuple[float, ...], ...]

    @classmethod
    def of(
        cls, records: Sequence[AgentRecord], greedy: bool = False, source: str = "this agent"
    ) -> Curve:
        """The evaluated records of a seed.

        Args:
            records: of the seed.
            greedy: whether episodes with the likeliest actions are meant.
            source: where the records are from, for messages.

        Raises:
            DataError: none was evaluated.
        """
        found = [(r.steps, tuple(r.greedy if greedy else r.sampled)) for r in records]
        found = [(steps, scores) for steps, scores in found if scores]
        if not found:
            raise DataError(
                f"{source} was never evaluated after an update: train with --episodes above 0, and "
                "with --steps above agent.prefill"
            )
        return cls(tuple(s for s, _ in found), tuple(s for _, s in found))

    def until(self, steps: int) -> Curve:
        """The curve up to a step, where its scores lie on the line between their neighbors.

        Args:
            steps: from the first evaluation to the last.
        """
        count = bisect_right(self.steps, steps)
        if self.steps[count - 1] == steps:
            return Curve(self.steps[:count], self.scores[:count])
        before, after = self.steps[count - 1 : count + 1]
        share = (steps - before) / (after - before)
        scores = _between(self.scores[count - 1], self.scores[count], share)
        return Curve((*self.steps[:count], steps), (*self.scores[:count], scores))

    @property
    def means(self) -> Array:
        """The mean score of each evaluation."""
        return np.array([np.mean(scores) for scores in self.scores])

    def area(self, start: float) -> float:
        """The mean return from step 0, where it is ``start``, to the last evaluation."""
        steps, means = np.array([0, *self.steps]), np.array([start, *self.means])
        widths = np.diff(steps)
        return float((widths * (means[1:] + means[:-1]) / 2).sum() / steps[-1])


def _between(before: Sequence[float], after: Sequence[float], share: float) -> tuple[float, ...]:
    """Scores on the line from one evaluation to the next, rank by rank: their mean and their
    interquartile mean lie on the line too."""
    count = lcm(len(before), len(after))
    untrusted.check_memory(16 * count, "a line between two evaluations", DataError)
    first, second = (np.repeat(np.sort(each), count // len(each)) for each in (before, after))
    return tuple(((1 - share) * first + share * second).tolist())


def interquartile_mean(values: Array) -> float:
    """The mean of the middle half of the values; values on its edges count in part."""
    ordered = np.sort(np.asarray(values, float).ravel())
    count = len(ordered)
    low, high = count / 4, count - count / 4
    edges = np.arange(count + 1)
    weights = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
    return float((weights * ordered).sum() / weights.sum())


def over_seeds(scores: Sequence[Sequence[float]], seed: int = 0) -> Interval:
    """The interquartile mean of all episodes of all seeds.

    Args:
        scores: of each seed's episodes.
        seed: of the bootstrap.

    Raises:
        DataError: a seed has no episodes.
    """
    each = [np.asarray(values, float) for values in scores]
    if not each or any(not len(values) for values in each):
        raise DataError("there is a seed without evaluated episodes")
    noise, draws = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        chosen = noise.integers(len(each), size=len(each))
        drawn = [noise.choice(each[index], len(each[index])) for index in chosen]
        draws.append(interquartile_mean(np.concatenate(drawn)))
    low, high = np.percentile(draws, LEVELS)
    return Interval(interquartile_mean(np.concatenate(each)), float(low), float(high))


def area_over_seeds(curves: Sequence[Curve], start: float, seed: int = 0) -> Interval:
    """The mean area of seeds, with the bootstrap interval over seeds and episodes."""
    noise, draws = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        chosen = noise.integers(len(curves), size=len(curves))
        draws.append(np.mean([_drawn(curves[index], noise).area(start) for index in chosen]))
    low, high = np.percentile(draws, LEVELS)
    value = float(np.mean([curve.area(start) for curve in curves]))
    return Interval(value, float(low), float(high))


def _drawn(curve: Curve, noise: np.random.Generator) -> Curve:
    """The same curve with its episodes drawn again."""
    scores = tuple(tuple(noise.choice(values, len(values))) for values in curve.scores)
    return Curve(curve.steps, scores)
