r"""Prediction of the next frames of clips, in latent space.

.. math:: x_{1:N} \to z_t = E_q[z \mid x_t] \to z_{N+1}, \dots, z_{N+K} \sim p(\cdot \mid z_{1:N},
    a_{1:N+K-1}) \to E[x_t \mid z_t]

The path of means, in which each mean takes the place of a draw, has a small squared error; draws
show what may happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lowerbound.data.arrays import listed
from lowerbound.data.sequences.episode_kind import actions_before
from lowerbound.data.sequences.frame_clips import FrameClips
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.passes import MEMORY, Progress, as_taken, evaluation_mode, placed
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, LearnsPrior, WorldModel, require
from lowerbound.priors.temporal import TemporalPrior
from lowerbound.trace import Batch, Draw

TASK = "predict frames"
BYTES_PER_VALUE = 16
DREAMS = 16  # draws of a world model whose mean is the prediction


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
            least, most = min(short.values()), max(short.values())
            which = f"episode {next(iter(short))} has"
            if len(short) > 1:
                which = f"episodes {listed(list(short))} have"
            raise DataError(
                f"{which} {f'{least} to {most}' if most > least else least} frames, and --context "
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


def check_actions(numbers: int, here: int) -> None:
    """Check that clips have the actions that a model was trained with.

    Args:
        numbers: of an action of the model.
        here: numbers of an action of the clips.

    Raises:
        DataError: they have none, or of another width.
    """
    if here == numbers:
        return
    found = _numbers(here) if here else "no actions"
    if not numbers:
        raise DataError(
            f"the prior was trained on clips without actions, and the clips have {found}: leave "
            "the array 'action' out, or train the prior on clips with actions"
        )
    raise DataError(
        f"the prior was trained on actions of {_numbers(numbers)}, and the clips have "
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
    horizon = horizon or Horizon()
    if draws < 0:
        raise OptionError(f"--draws is a number of draws, 0 or more, not {draws}")
    predictor: _Predictor = (
        _Dreams(model, clips) if isinstance(model, WorldModel) else _Latents(model, clips)
    )
    windows = horizon.windows(clips)
    frame = clips.frames.schema.dimension * BYTES_PER_VALUE
    together = max(1, memory // (frame * (2 * horizon.length + (draws + 1) * horizon.frames)))
    noise = torch.Generator().manual_seed(seed)
    for first in range(0, len(windows), together):
        part = windows[first : first + together]
        yield _predicted(predictor, part, horizon, draws, noise)
        if progress is not None:
            progress(first + len(part), len(windows))


class _Predictor(Protocol):
    """What predicts frames: a temporal prior of latents, or a world model."""

    clips: FrameClips

    def frames(
        self, rows: Tensor, horizon: Horizon, draws: int, noise: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """(reconstruction, prediction and draws) of windows, (windows, context + frames, *event)
        and (1 + draws, windows, frames, *event), on the CPU.

        Args:
            rows: frames of each window, (windows, context + frames).
            horizon: which frames are seen and predicted.
            draws: how many draws of the future.
            noise: source of the draws, window by window.
        """


@torch.no_grad()
def _predicted(
    predictor: _Predictor,
    windows: list[tuple[int, int]],
    horizon: Horizon,
    draws: int,
    noise: torch.Generator,
) -> PredictedFrames:
    clips, spans = predictor.clips, predictor.clips.spans
    rows = torch.tensor([spans[number][start] for number, start in windows])
    rows = rows.unsqueeze(1) + torch.arange(horizon.length)
    truth = clips.frames.batch(rows.flatten()).filled.unflatten(0, tuple(rows.shape)).cpu()
    own, found = predictor.frames(rows, horizon, draws, noise)
    number, start = torch.tensor(windows).unbind(1)
    return PredictedFrames(number, start, truth, own, found[0], found[1:])


class _Latents:
    """A temporal prior of the latents of single frames.

    Raises:
        UnsupportedError: the model has none.
        DataError: the actions are not those of the prior.
    """

    def __init__(self, model: Model, clips: FrameClips) -> None:
        self.model, self.clips, self.prior = model, clips, temporal_prior(model)
        check_actions(self.prior.actions, clips.action_numbers)
        self.z = as_taken(encode_rows(model, clips.frames).mean, model)

    def frames(
        self, rows: Tensor, horizon: Horizon, draws: int, noise: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        shape = (draws, horizon.frames, self.prior.latent_dim)
        # window by window, because the random numbers of a tensor depend on its size
        each = torch.stack([torch.randn(shape, generator=noise) for _ in rows], 1)
        pushed = as_taken(torch.cat([torch.zeros(1, *each.shape[1:]), each]), self.model)
        with evaluation_mode(self.model):
            found = futures(self.prior, self.z, self.clips.actions, rows, horizon, pushed)
            frames = torch.stack([_decoded(self.model, path) for path in found])
            return _decoded(self.model, self.z[rows]), frames


class _Dreams:
    """A world model, whose state after the context is continued by its prior.

    The prediction is the mean of ``DREAMS`` draws of the future: codes have no path of means.

    Raises:
        DataError: the actions are not those of the model.
    """

    def __init__(self, model: WorldModel, clips: FrameClips) -> None:
        self.model, self.clips = model, clips
        check_actions(model.actions, clips.classes or clips.action_numbers)
        self.actions = actions_before(clips) if model.actions else None

    def frames(
        self, rows: Tensor, horizon: Horizon, draws: int, noise: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(self.model, Model)
        found = []
        with evaluation_mode(self.model):
            for window in rows:  # one by one, so that the memory changes no draw
                seed = int(torch.randint(2**31, (1,), generator=noise))
                with seeded(seed):
                    found.append(self._window(window, horizon.context, draws))
        own, paths = zip(*found, strict=True)
        return torch.cat(own), torch.cat(paths, 1)

    def _window(self, window: Tensor, context: int, draws: int) -> tuple[Tensor, Tensor]:
        assert isinstance(self.model, Model)
        frames = self.clips.frames.batch(window).filled.unsqueeze(0)
        actions = None if self.actions is None else self.actions[window].unsqueeze(0)
        seen = placed(Batch(frames, condition=actions), self.model)
        frames, actions = seen.filled, seen.condition
        whole = self.model(seen).likelihood.mean[0]
        first = None if actions is None else actions[:, :context]
        later = None if actions is None else actions[:, context:]
        state = self.model(Batch(frames[:, :context], condition=first)).state
        resets = torch.zeros(1, frames.shape[1] - context, dtype=torch.bool, device=frames.device)
        ahead = Batch(condition=later, resets=resets, state=state)
        means = self.model(ahead, Draw(max(DREAMS, draws))).likelihood.mean
        return whole.cpu(), torch.cat([means.mean(0, keepdim=True), means[:draws]]).cpu()


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
