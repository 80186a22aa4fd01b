"""``lowerbound control video``: what an agent sees, reconstructs and dreams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.control.request import PlayRequest, world_of
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io.drawings.animations import ANIMATIONS
from lowerbound.applications.io.drawings.film import SHEET, check_outputs, joined_frames, write_film
from lowerbound.applications.io.rows import NPZ
from lowerbound.config import option
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.episode_kind import frame_schema
from lowerbound.data.sequences.frame_clips import FrameClips
from lowerbound.data.sequences.replay import EpisodeReplay
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.evaluation.samples.frame_errors import FrameErrors, about_ratio
from lowerbound.fitting import Fitted
from lowerbound.fitting.control.player import Player
from lowerbound.inference.frames import Horizon, predict_frames

MOST_EPISODES = 200  # played to find episodes that are long enough
LAST = 4  # most windows of a film


@dataclass(frozen=True)
class VideoRequest(PlayRequest):
    """Film an agent and its dreams."""

    output: str = option(
        REQUIRED, "film (.gif, .webp, .mp4) or sheet (.png) to write", short="-o", metavar="FILM"
    )
    context: int = option(5, "frames that the model sees before it dreams")
    frames: int = option(45, "frames of the dream")
    windows: int = option(2, f"episodes side by side, at most {LAST}")
    greedy: bool = option(False, "likeliest actions instead of drawn ones")
    fps: float = option(8.0, "frames per second")


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
    _check_output(request.output, schema)
    clips = _long_episodes(request, fitted, horizon.length, reporter)
    found = list(predict_frames(fitted.model, clips, horizon, draws=1, seed=request.seed))
    errors = FrameErrors()
    for part in found:
        errors.add(part)
    files = write_film(Path(request.output), joined_frames(found), request.fps)
    return VideoReport(**written(files), windows=request.windows, ratio=errors.ratio()[0])


def _check_output(name: str, schema: Schema) -> None:
    """Check that the file is a film or a sheet, and that the frames are pictures.

    Raises:
        OptionError: they are not.
    """
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


def _long_episodes(
    request: VideoRequest, fitted: Fitted, length: int, reporter: Reporter
) -> FrameClips:
    """The first episodes that are long enough.

    Raises:
        DataError: there are too few.
    """
    world = world_of(fitted, "dream")
    env = request.environment_for(fitted, "video")
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
