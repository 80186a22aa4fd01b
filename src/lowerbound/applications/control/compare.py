"""``control evaluate`` and ``control compare``: agents at equal steps of the environment.

An agent of one seed is a curve: sums of rewards of evaluated episodes, after so many steps of the
environment. Several seeds are compared at equal steps, by the curves, their area and interquartile
means. The interval of an interquartile mean is that of the bootstrap which draws seeds, and
episodes within each (Agarwal et al. 2021).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound import untrusted
from lowerbound.applications.common.application import Report, Reporter, WrittenReport, written
from lowerbound.applications.common.files import replacing
from lowerbound.applications.control.agent_environment import environment_for, world_of
from lowerbound.applications.control.player import AgentRecord, Episode, play, read_records
from lowerbound.applications.control.requests import (
    CompareAgentsRequest,
    EvaluateAgentRequest,
)
from lowerbound.data.arrays import Array
from lowerbound.data.sequences.episode_kind import frame_schema
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.report.figure_style import color_of, legend, new_figure, style, to_png
from lowerbound.fitting.fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = 2000  # of the bootstrap
LEVELS = (2.5, 97.5)  # percentiles of its interval
STREAM = "final evaluation"  # of seeds of episodes


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
        draws.append(
            np.mean([_drawn_returns(curves[index], noise).area(start) for index in chosen])
        )
    low, high = np.percentile(draws, LEVELS)
    value = float(np.mean([curve.area(start) for curve in curves]))
    return Interval(value, float(low), float(high))


def _drawn_returns(curve: Curve, noise: np.random.Generator) -> Curve:
    """The same curve with its episodes drawn again."""
    scores = tuple(tuple(noise.choice(values, len(values))) for values in curve.scores)
    return Curve(curve.steps, scores)


@dataclass(frozen=True)
class EvaluateAgentReport(Report):
    """Played episodes.

    Attributes:
        environment: its name.
        sampled, greedy: sums of rewards, with drawn actions and with the likeliest.
        sampled_middle, greedy_middle: interquartile means with 95 % intervals over episodes.
        steps: mean length of an episode.
    """

    environment: str
    sampled: tuple[float, ...]
    greedy: tuple[float, ...]
    sampled_middle: Interval
    greedy_middle: Interval
    steps: float

    def text(self) -> str:
        lines = [f"{self.environment}, {counted(len(self.sampled), 'episode')} each"]
        for name, scores, middle in (
            ("drawn actions", self.sampled, self.sampled_middle),
            ("likeliest actions", self.greedy, self.greedy_middle),
        ):
            lines.append(
                f"  {name:18} mean {np.mean(scores):.3g}  interquartile mean {middle.value:.3g} "
                f"[{middle.low:.3g}, {middle.high:.3g}]  least {min(scores):.3g}  most "
                f"{max(scores):.3g}"
            )
        return "\n".join(lines)


def control_evaluate(
    request: EvaluateAgentRequest, reporter: Reporter, fitted: Fitted
) -> EvaluateAgentReport:
    """Play episodes that training did not see.

    Raises:
        UnsupportedError: the model has no actor.
        OptionError: fewer than one episode, or the user must name the environment.
    """
    if request.episodes < 1:
        raise OptionError(f"--episodes must be at least 1, not {request.episodes}")
    world, env = world_of(fitted, "play"), environment_for(request, fitted, STREAM)
    found: dict[bool, list[Episode]] = {False: [], True: []}
    for greedy, episodes in found.items():
        for number in range(request.episodes):
            seed = request.seed + number
            episodes += play(world, env, frame_schema(fitted.schema), 1, greedy=greedy, seed=seed)
            done = number + 1 + greedy * request.episodes
            reporter.advance("playing", done, 2 * request.episodes)
    env.close()
    scores = {greedy: tuple(e.score for e in episodes) for greedy, episodes in found.items()}
    return EvaluateAgentReport(
        env.options.name,
        scores[False],
        scores[True],
        over_seeds([scores[False]]),
        over_seeds([scores[True]]),
        float(np.mean([e.steps for episodes in found.values() for e in episodes])),
    )


@dataclass(frozen=True)
class ComparedAgent:
    """One kind of agent.

    Attributes:
        name: of it.
        seeds: number of folders.
        steps: that all compared agents have made.
        last: interquartile mean of the returns after these steps, with a 95 % interval; between
            two evaluations it lies on the line from one to the next.
        area: mean return from step 0 to there, with a 95 % interval.
    """

    name: str
    seeds: int
    steps: int
    last: Interval
    area: Interval


@dataclass(frozen=True)
class CompareAgentsReport(WrittenReport):
    """Agents, the highest return first."""

    agents: tuple[ComparedAgent, ...]

    def text(self) -> str:
        width = max(len(agent.name) for agent in self.agents)
        lines = [f"returns after {self.agents[0].steps:,} steps"]
        lines += [
            f"  {agent.name:{width}}  {_said(agent.last)}  area {_said(agent.area)}  "
            f"({counted(agent.seeds, 'seed')})"
            for agent in self.agents
        ]
        return "\n".join([*lines, *self.files])


def control_compare(request: CompareAgentsRequest, reporter: Reporter) -> CompareAgentsReport:
    """Compare agents by the evaluations of their training.

    Raises:
        OptionError: a folder has no records, two agents have one name, or the figure's suffix is
            not supported.
        DataError: an agent was never evaluated.
    """
    if request.output is not None and Path(request.output).suffix.lower() != ".png":
        raise OptionError(f"{request.output}: learning curves are drawn as .png")
    named = _named(request.agents)
    records = {name: [read_records(f) for f in folders] for name, folders in named.items()}
    _note_environments(records, reporter)
    curves = {
        name: [
            Curve.of(each, request.greedy, str(folder))
            for each, folder in zip(records[name], folders, strict=True)
        ]
        for name, folders in named.items()
    }
    steps = min(curve.steps[-1] for each in curves.values() for curve in each)
    late = max(curve.steps[0] for each in curves.values() for curve in each)
    if late > steps:
        raise OptionError(
            f"one agent was trained for {steps:,} steps, and another was first evaluated after "
            f"{late:,}: train or evaluate them alike"
        )
    cut = {name: [curve.until(steps) for curve in each] for name, each in curves.items()}
    found = [
        ComparedAgent(
            name,
            len(each),
            steps,
            over_seeds([curve.scores[-1] for curve in each], request.seed),
            area_over_seeds(each, request.start, request.seed),
        )
        for name, each in cut.items()
    ]
    files: tuple[str, ...] = ()
    if request.output is not None:
        files = _drawn(Path(request.output), curves)
    ranked = sorted(found, key=lambda agent: -agent.last.value)
    return CompareAgentsReport(agents=tuple(ranked), **written(files))


def _named(agents: tuple[str, ...]) -> dict[str, list[Path]]:
    """The folders of each name.

    Raises:
        OptionError: a name has no folder, or is given twice.
    """
    found: dict[str, list[Path]] = {}
    for agent in agents:
        name, equals, folders = agent.partition("=")
        paths = [Path(f) for f in (folders if equals else agent).split(",") if f]
        if not paths:
            raise OptionError(f"{agent!r} names no folder: give NAME=FOLDER,FOLDER,...")
        name = name if equals else Path(agent).stem
        if name in found:
            raise OptionError(
                f"two agents have the name {name!r}: give NAME=FOLDER,FOLDER,... for the seeds of "
                "one agent, and each agent a NAME= of its own"
            )
        found[name] = paths
    return found


def _note_environments(
    records: Mapping[str, Sequence[Sequence[AgentRecord]]], reporter: Reporter
) -> None:
    """Say so if the agents acted in different environments."""
    found = {
        name: sorted({each[-1].environment for each in seeds if each} - {""})
        for name, seeds in records.items()
    }
    if len({place for places in found.values() for place in places}) > 1:
        named = [f"{name}: {', '.join(places)}" for name, places in found.items() if places]
        reporter.say(
            f"note: returns of different environments are not on one scale ({'; '.join(named)}): "
            "compare agents of one environment"
        )


def _drawn(path: Path, curves: Mapping[str, Sequence[Curve]]) -> tuple[str, ...]:
    """Write learning curves."""
    with replacing(path) as place:
        place.write_bytes(to_png(learning_curves(curves)))
    return (str(path),)


def learning_curves(
    curves: Mapping[str, Sequence[Curve]], title: str = "Returns while learning"
) -> Figure:
    """Returns over steps by agent: a thin line for each seed, a thick one for their mean."""
    drawing = new_figure(6.4, 4.2, title)
    axes = style(drawing.subplots(), "", "steps of the environment", "return", True)
    for number, (name, each) in enumerate(curves.items()):
        color = color_of(number)
        for curve in each:
            axes.plot(curve.steps, curve.means, color=color, linewidth=0.7, alpha=0.5)
        shared = sorted(set.intersection(*(set(curve.steps) for curve in each)))
        rows = [[curve.means[curve.steps.index(step)] for step in shared] for curve in each]
        axes.plot(shared, np.mean(rows, 0), color=color, linewidth=2, label=name)
    legend(axes, loc="upper left")
    return drawing


def _said(interval: Interval) -> str:
    return f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
