"""``lowerbound control evaluate``: play episodes with a trained agent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.control.request import PlayRequest, world_of
from lowerbound.config import option
from lowerbound.data.sequences.episode_kind import frame_schema
from lowerbound.errors import OptionError, counted
from lowerbound.evaluation.intervals import Interval
from lowerbound.evaluation.returns import over_seeds
from lowerbound.fitting import Fitted
from lowerbound.fitting.control.player import Episode, play

STREAM = "final evaluation"


@dataclass(frozen=True)
class EvaluateAgentRequest(PlayRequest):
    """Play episodes with a trained agent."""

    episodes: int = option(20, "episodes with drawn actions, and as many with the likeliest")


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
    world, env = world_of(fitted, "play"), request.environment_for(fitted, STREAM)
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
