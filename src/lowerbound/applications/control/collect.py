"""``lowerbound control collect``: episodes of an environment as clips in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.files import replacing
from lowerbound.applications.common.form import PROCESSOR
from lowerbound.applications.control.agent_environment import environment_of, typed, world_of
from lowerbound.applications.control.environments import Environment
from lowerbound.applications.control.player import Player
from lowerbound.applications.control.replay import EpisodeReplay
from lowerbound.applications.control.requests import CollectRequest
from lowerbound.data.sequences.frame_clips import CLASSES, FrameClips
from lowerbound.distributions.one_hot import uniform_actions
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, counted
from lowerbound.fitting import folder as model_folder
from lowerbound.training.randomness import generator

EVERY = 100  # steps between two updates of the progress


@dataclass(frozen=True)
class CollectReport(WrittenReport):
    """Collected episodes.

    Attributes:
        steps: of the environment.
        frames: written; each episode has one more than steps.
        episodes: begun, of which the last may be unfinished.
        score: mean sum of rewards of finished episodes; NaN if none is finished.
    """

    steps: int
    frames: int
    episodes: int
    score: float

    def text(self) -> str:
        score = f", mean return {self.score:.3g}" if np.isfinite(self.score) else ""
        steps, episodes = counted(self.steps, "step"), counted(self.episodes, "episode")
        return f"{steps}, {episodes}{score}: {self.where}"


def control_collect(request: CollectRequest, reporter: Reporter) -> CollectReport:
    """Act in an environment, and write frames, actions and rewards.

    Raises:
        OptionError: the environment or the file's suffix is not supported.
        KeyboardInterrupt: the steps so far are written.
        MissingExtraError: a library is not installed.
    """
    path = Path(request.output)
    if path.suffix.lower() != ".npz":
        raise OptionError(f"{path}: clips are written as .npz")
    if request.greedy and request.agent is None:
        raise OptionError("--greedy is for the actions of an agent: give --agent too")
    if request.steps < 1:
        raise OptionError(f"--steps must be at least 1, not {request.steps}")
    env = Environment(request.seen, request.seed, "collect")
    player = None
    if request.agent is not None:
        fitted = model_folder.read(Path(request.agent), PROCESSOR)
        own = environment_of(fitted)
        if own != request.seen:
            raise OptionError(
                f"{request.agent} was trained in {typed(own)}, and not in {typed(request.seen)}: "
                "give the former"
            )
        player = Player(world_of(fitted, "play"), env.frame, request.greedy)
    replay, scores = EpisodeReplay(env.form), list[float]()
    try:
        _collect(env, player, request, reporter, replay, scores)
    except KeyboardInterrupt:
        if not len(replay):
            raise
        place = path.with_suffix(".unfinished.npz") if path.exists() else path
        clips = replay.clips()
        write_clips(place, clips)
        steps = len(replay) - int(clips.episode[-1]) - 1
        raise KeyboardInterrupt(
            f"interrupted; {steps:,} of {request.steps:,} steps are in {place}"
        ) from None
    write_clips(path, replay.clips())
    env.close()
    return CollectReport(
        **written((str(path),)),
        steps=request.steps,
        frames=len(replay),
        episodes=env.episode,
        score=float(np.mean(scores)) if scores else float("nan"),
    )


def write_clips(path: Path, clips: FrameClips) -> None:
    """Write clips as an .npz file that ``read_frame_clips`` reads."""
    arrays = {
        "frames": clips.frames.schema.decode(clips.frames.schema.units(clips.frames.x)),
        "episode": clips.episode.numpy(),
    }
    if clips.actions is not None:
        done = clips.actions.numpy()
        arrays["action"] = done[:, 0].astype(np.int64) if clips.classes else done
    if clips.classes:
        arrays[CLASSES] = np.array(clips.classes)
    if clips.rewards is not None:
        arrays["reward"] = clips.rewards.numpy()
    if clips.terminated is not None:
        arrays["terminated"] = clips.terminated.numpy()
    with replacing(path) as place, place.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _collect(
    env: Environment,
    player: Player | None,
    request: CollectRequest,
    reporter: Reporter,
    replay: EpisodeReplay,
    scores: list[float],
) -> None:
    """Act, and add the frames, and the sums of rewards of finished episodes."""
    form, score = env.form, 0.0
    noise, nothing = generator(request.seed, "collect"), torch.zeros(form.actions)
    seen = None
    with seeded(request.seed):
        for step in range(request.steps):
            if seen is None:
                seen, score = env.reset(), 0.0
                replay.add(seen, nothing, 0.0, True, True)
                if player is not None:
                    player.start()
            action = (
                uniform_actions(1, form.actions, form.classes, noise)[0]
                if player is None
                else player.act(seen)
            )
            arrival = env.step(action)
            replay.add(arrival.frame, action, arrival.reward, not arrival.terminated, False)
            seen, score = arrival.frame, score + arrival.reward
            if arrival.terminated or arrival.truncated:
                scores.append(score)
                seen = None
            if (step + 1) % EVERY == 0 or step + 1 == request.steps:
                reporter.advance("acting", step + 1, request.steps)
