"""What an agent sees: ``control video`` shows it, reconstructed and dreamt; ``encode`` gives codes.

``lowerbound control encode`` writes codes or states of the frames of clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.drawings import ANIMATIONS
from lowerbound.applications.common.files import replacing
from lowerbound.applications.common.film import SHEET, check_outputs, joined_frames, write_film
from lowerbound.applications.common.rows import NPZ
from lowerbound.applications.common.sources import unconditioned
from lowerbound.applications.control.agent_environment import environment_for, world_of
from lowerbound.applications.control.player import Player
from lowerbound.applications.control.replay import EpisodeReplay
from lowerbound.applications.control.requests import (
    LAST,
    EncodeClipsRequest,
    VideoRequest,
)
from lowerbound.data.arrays import Array
from lowerbound.data.sequences.episode_kind import actions_before, frame_schema
from lowerbound.data.sequences.frame_clips import FrameClips, read_frame_clips
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.evaluation.samples.frame_errors import FrameErrors, about_ratio
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.frames import Horizon, check_actions, predict_frames
from lowerbound.models.powers import WorldModel
from lowerbound.trace import Batch

MOST_EPISODES = 200  # played to find episodes that are long enough


@dataclass(frozen=True)
class EncodeClipsReport(WrittenReport):
    """Encoded clips.

    Attributes:
        frames: how many.
        numbers: of a code or state.
        kind: "codes", of single frames, or "states", of each frame and those before it.
    """

    frames: int
    numbers: int
    kind: str

    def text(self) -> str:
        return f"{self.kind} of {self.frames:,} frames, {self.numbers} numbers each: {self.where}"


def control_encode(
    request: EncodeClipsRequest, reporter: Reporter, fitted: Fitted
) -> EncodeClipsReport:
    """Encode clips: E[z | frame] by a model of single frames, states (h, z) by a world model.

    Raises:
        DataError: the clips cannot be read, or have other frames, or other actions than a world
            model's.
        UnsupportedError: the model has no encoder.
    """
    path = Path(request.output)
    if path.suffix.lower() != ".npz":
        raise OptionError(f"{path}: codes are written as .npz")
    clips = read_frame_clips(request.data, frame_schema(unconditioned(fitted)))
    world = isinstance(fitted.model, WorldModel)
    with seeded(request.seed):
        codes = _states(fitted, clips, reporter) if world else _codes(fitted, clips)
    arrays = {"state" if world else "z": codes, "episode": clips.episode.numpy()}
    for name, values in (
        ("action", clips.actions),
        ("reward", clips.rewards),
        ("terminated", clips.terminated),
    ):
        if values is not None:
            arrays[name] = values.numpy()
    with replacing(path) as place, place.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    kind = "states" if world else "codes"
    return EncodeClipsReport(
        **written((str(path),)), frames=len(clips), numbers=codes.shape[1], kind=kind
    )


def _codes(fitted: Fitted, clips: FrameClips) -> Array:
    mean: Array = encode_rows(fitted.model, clips.frames).mean.numpy()
    return mean


@torch.no_grad()
def _states(fitted: Fitted, clips: FrameClips, reporter: Reporter) -> Array:
    """States of all frames, episode by episode, (frames, numbers).

    Raises:
        DataError: the clips have other actions than the model.
    """
    assert isinstance(fitted.model, WorldModel)
    check_actions(fitted.model.actions, clips.classes or clips.action_numbers)
    actions = actions_before(clips) if clips.actions is not None else None
    found = []
    for number, span in enumerate(clips.spans.values()):
        rows = torch.arange(span.start, span.stop)
        x = clips.frames.batch(rows).filled.unsqueeze(0)
        done = None if actions is None else actions[rows].unsqueeze(0)
        trace = fitted.model(Batch(x, condition=done))
        found.append(trace.states.features[0, 0])
        reporter.advance("encoding", number + 1, len(clips.spans))
    states: Array = torch.cat(found).numpy()
    return states


@dataclass(frozen=True)
class VideoReport(WrittenReport):
    """A film.

    Attributes:
        windows: episodes on it.
        ratio: squared error of the dream over that of the last frame seen, repeated.
    """

    windows: int
    ratio: float

    def text(self) -> str:
        episodes = counted(self.windows, "episode")
        return f"{self.where}: {episodes}; dream, {about_ratio(self.ratio)}"


def control_video(request: VideoRequest, reporter: Reporter, fitted: Fitted) -> VideoReport:
    """Play, and let the model dream the same actions from the first frames on.

    Columns are the truth, the reconstruction of each frame, the dream (the mean of 16 draws), one
    draw of it, the last frame seen, and the error of the dream.

    Raises:
        UnsupportedError: the model has no actor.
        DataError: no episode is long enough.
    """
    if not 1 <= request.windows <= LAST:
        raise OptionError(f"--windows is from 1 to {LAST}, not {request.windows}")
    horizon = Horizon(request.context, request.frames, every=10**9)
    world_of(fitted, "dream")
    schema = frame_schema(fitted.schema)
    name = request.output
    if not schema.data_kind.pictures:
        raise OptionError(
            "films need pictures, and this agent sees numbers: train with --pixels 64, or write "
            "numbers by lowerbound predict-frames -o frames.npz"
        )
    if Path(name).suffix.lower() == NPZ:
        raise OptionError(
            f"{name}: a film is written as {', '.join(ANIMATIONS)}, or as a {SHEET} sheet; "
            f"lowerbound predict-frames writes {NPZ}"
        )
    check_outputs((name,), schema)
    clips = _long_episodes(request, fitted, horizon.length, reporter)
    found = list(predict_frames(fitted.model, clips, horizon, draws=1, seed=request.seed))
    errors = FrameErrors()
    for part in found:
        errors.add(part)
    files = write_film(Path(request.output), joined_frames(found), request.fps)
    return VideoReport(**written(files), windows=request.windows, ratio=errors.ratio()[0])


def _long_episodes(
    request: VideoRequest, fitted: Fitted, length: int, reporter: Reporter
) -> FrameClips:
    """The first episodes that are long enough.

    Raises:
        DataError: there are too few.
    """
    world = world_of(fitted, "dream")
    env = environment_for(request, fitted, "video")
    player, replay = Player(world, env.frame, request.greedy), EpisodeReplay(env.form)
    nothing, kept = torch.zeros(env.actions), list[int]()
    with seeded(request.seed):
        for number in range(MOST_EPISODES):
            seen, over, steps = env.reset(), False, 1
            player.start()
            replay.add(seen, nothing, 0.0, True, True)
            while not over and steps < length:
                action = player.act(seen)
                arrival = env.step(action)
                replay.add(arrival.frame, action, arrival.reward, not arrival.terminated, False)
                seen, over = arrival.frame, arrival.terminated or arrival.truncated
                steps += 1
            if steps >= length:
                kept.append(number)
                reporter.advance("playing", len(kept), request.windows)
            if len(kept) == request.windows:
                return replay.clips().of(kept)
    raise DataError(
        f"{len(kept)} of {MOST_EPISODES} episodes have {length} frames: lower --frames or --context"
    )
