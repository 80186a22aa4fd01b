r"""Prediction of the next frames of clips, in latent space.

.. math:: x_{1:N} \to z_t = E_q[z \mid x_t] \to z_{N+1}, \dots, z_{N+K} \sim p(\cdot \mid z_{1:N},
    a_{1:N+K-1}) \to E[x_t \mid z_t]

The path of means, in which each mean takes the place of a draw, has a small squared error; draws
show what may happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.arrays import listed
from lowerbound.data.sequences.frame_clips import FrameClips
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.passes import MEMORY, Progress, as_taken, evaluation_mode
from lowerbound.models import Decodes, Encodes, LearnsPrior, Model, require
from lowerbound.priors import TemporalPrior

TASK = "predict frames"
BYTES_PER_VALUE = 16


@dataclass(frozen=True)
class Horizon:
    """Which frames are seen and which are predicted.

    Attributes:
        context: frames that are seen.
        frames: frames that are predicted after these.
        every: frames from the start of one window to the start of the next.

    Raises:
        OptionError: a number is below 1.
    """

    context: int = 10
    frames: int = 10
    every: int = 10

    def __post_init__(self) -> None:
        for name in ("context", "frames", "every"):
            if getattr(self, name) < 1:
                raise OptionError(f"--{name} must be at least 1, not {getattr(self, name)}")

    @property
    def length(self) -> int:
        """Frames of a window."""
        return self.context + self.frames

    def windows(self, clips: FrameClips) -> list[tuple[int, int]]:
        """(episode, first frame of the window within it) of every window.

        Raises:
            DataError: an episode is shorter than a window.
        """
        short = {n: len(span) for n, span in clips.spans.items() if len(span) < self.length}
        if short:
            raise DataError(
                f"episode {listed(list(short))} has {min(short.values())} frames, and --context "
                f"{self.context} with --frames {self.frames} needs {self.length}: lower them, or "
                "choose longer episodes with --episodes"
            )
        return [
            (number, start)
            for number, span in clips.spans.items()
            for start in range(0, len(span) - self.length + 1, self.every)
        ]


@dataclass(frozen=True, eq=False)
class PredictedFrames:
    """Predictions of some windows, in model units, on the CPU.

    Attributes:
        episode: of each window, (windows,) long.
        start: first frame of each window within its episode, (windows,) long.
        truth: (windows, context + frames, *event).
        reconstruction: of each frame from its own code, shape of ``truth``.
        mean: frames on the path of means, (windows, frames, *event).
        draws: (draws, windows, frames, *event).
    """

    episode: Tensor
    start: Tensor
    truth: Tensor
    reconstruction: Tensor
    mean: Tensor
    draws: Tensor

    @property
    def context(self) -> int:
        """Frames that are seen."""
        return self.truth.shape[1] - self.mean.shape[1]

    @property
    def future(self) -> Tensor:
        """The true frames that are predicted, (windows, frames, *event)."""
        return self.truth[:, self.context :]

    @property
    def last(self) -> Tensor:
        """The last frame that is seen, as the prediction of each frame after it."""
        return self.truth[:, self.context - 1 : self.context].expand_as(self.mean)


def temporal_prior(model: Model) -> TemporalPrior:
    """The temporal prior of a model that encodes and decodes.

    Raises:
        UnsupportedError: it has none; the message names the command that trains one.
    """
    require(model, Encodes, TASK)
    require(model, Decodes, TASK)
    prior = require(model, LearnsPrior, TASK).learned_prior
    if not isinstance(prior, TemporalPrior):
        raise UnsupportedError(
            f"the prior of this model, {type(prior).__name__}, treats frames as independent: "
            "lowerbound prior MODEL CLIPS --kind recurrent trains one that predicts frames"
        )
    return prior


def check_actions(prior: TemporalPrior, clips: FrameClips) -> None:
    """Check that clips have the actions that a prior was trained with.

    Raises:
        DataError: they have none, or of another width.
    """
    if clips.action_numbers == prior.actions:
        return
    found = _numbers(clips.action_numbers) if clips.action_numbers else "no actions"
    if not prior.actions:
        raise DataError(
            f"the prior was trained on clips without actions, and the clips have {found}: leave "
            "the array 'action' out, or train the prior on clips with actions"
        )
    raise DataError(
        f"the prior was trained on actions of {_numbers(prior.actions)}, and the clips have "
        f"{found}: give them as an array 'action' of shape (frames, numbers)"
    )


def _numbers(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def predict_frames(
    model: Model,
    clips: FrameClips,
    horizon: Horizon | None = None,
    *,
    draws: int = 0,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Progress | None = None,
) -> Iterator[PredictedFrames]:
    """Predictions of all windows, some windows at a time.

    The memory decides how many; it changes no prediction.

    Args:
        model: with a temporal prior.
        clips: frames, episodes and actions.
        horizon: which frames are seen and predicted.
        draws: how many draws of the future of each window.
        seed: of the draws.
        memory: working memory in bytes, about.
        progress: called with the windows done and all windows.

    Raises:
        UnsupportedError: the model has no temporal prior.
        DataError: an episode is too short, or the actions are not those of the prior.
        OptionError: fewer than 0 draws.
    """
    horizon, prior = horizon or Horizon(), temporal_prior(model)
    if draws < 0:
        raise OptionError(f"--draws is a number of draws, 0 or more, not {draws}")
    check_actions(prior, clips)
    windows = horizon.windows(clips)
    z = as_taken(encode_rows(model, clips.frames).mean, model)
    frame = clips.frames.schema.dimension * BYTES_PER_VALUE
    together = max(1, memory // (frame * (2 * horizon.length + (draws + 1) * horizon.frames)))
    noise = torch.Generator().manual_seed(seed)
    for first in range(0, len(windows), together):
        part = windows[first : first + together]
        yield _predicted(model, prior, clips, z, part, horizon, draws, noise)
        if progress is not None:
            progress(first + len(part), len(windows))


@torch.no_grad()
def _predicted(
    model: Model,
    prior: TemporalPrior,
    clips: FrameClips,
    z: Tensor,
    windows: list[tuple[int, int]],
    horizon: Horizon,
    draws: int,
    noise: torch.Generator,
) -> PredictedFrames:
    spans = clips.spans
    rows = torch.tensor([spans[number][start] for number, start in windows])
    rows = rows.unsqueeze(1) + torch.arange(horizon.length)
    truth = clips.frames.batch(rows.flatten()).filled.unflatten(0, tuple(rows.shape)).cpu()
    shape = (draws, horizon.frames, prior.latent_dim)
    # window by window, because the random numbers of a tensor depend on its size
    each = torch.stack([torch.randn(shape, generator=noise) for _ in windows], 1)
    pushed = torch.cat([torch.zeros(1, len(windows), *shape[1:]), each])
    with evaluation_mode(model):
        found = futures(prior, z, clips.actions, rows, horizon, as_taken(pushed, model))
        frames = [_decoded(model, path) for path in found]
        own = _decoded(model, z[rows])
    number, start = torch.tensor(windows).unbind(1)
    drawn = torch.stack(frames[1:]) if draws else frames[0].new_zeros(0, *frames[0].shape)
    return PredictedFrames(number, start, truth, own, frames[0], drawn)


def futures(
    prior: TemporalPrior,
    z: Tensor,
    actions: Tensor | None,
    rows: Tensor,
    horizon: Horizon,
    noise: Tensor,
) -> Tensor:
    """Latents of the frames after the context, (paths, windows, frames, latent_dim).

    Args:
        prior: of the latents.
        z: latents of all frames, (frames, latent_dim).
        actions: after each of them, or None.
        rows: frames of each window, (windows, context + frames).
        horizon: which frames are seen and predicted.
        noise: standard normal noise of each path, shape of the answer; zeros give the means.
    """
    seen, later = rows[:, : horizon.context], rows[:, horizon.context :]
    given = None if actions is None else as_taken(actions, prior)
    memory = prior.observe(z[seen], None if given is None else given[seen]).memory
    paths = len(noise)
    done = None if given is None else given[later].repeat(paths, 1, 1)
    found: Tensor = prior.push(memory.repeated(paths), noise.flatten(0, 1), done)
    return found.unflatten(0, (paths, -1))  # type: ignore[no-any-return]


def _decoded(model: Model, z: Tensor) -> Tensor:
    """E[x | z] of latents (windows, frames, latent_dim), on the CPU."""
    decodes = require(model, Decodes, TASK)
    means = [decodes.decode(window.unsqueeze(0)).mean[0].cpu() for window in z]
    return torch.stack(means)
