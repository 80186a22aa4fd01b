"""What trains a temporal prior on the latents of clips, after the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.frame_clips import FrameClips
from lowerbound.models import Model
from lowerbound.models.learned_prior import LearnedPrior
from lowerbound.objectives import Bound, Objective
from lowerbound.priors import TemporalPrior
from lowerbound.trace import Batch


@dataclass(frozen=True, eq=False)
class LatentClips:
    """Draws from q(z | x) of the frames of several episodes, one episode after another.

    Attributes:
        z: (frames, draws, numbers).
        actions: after each frame, (frames, numbers), or None.
        resets: True at the first frame of each episode, (frames,) bool.
    """

    z: Tensor
    actions: Tensor | None
    resets: Tensor

    @classmethod
    def of(cls, clips: FrameClips, z: Tensor, episodes: list[int]) -> LatentClips:
        """The latents of these episodes.

        Args:
            clips: all clips.
            z: of all their frames.
            episodes: numbers of episodes.
        """
        spans = clips.spans
        rows = torch.tensor([row for n in episodes for row in spans[n]], dtype=torch.long)
        actions = None if clips.actions is None else clips.actions[rows]
        return cls(z[rows], actions, clips.resets[rows])

    def __len__(self) -> int:
        return len(self.z)

    def windows(self, length: int, stride: int = 1, first: int = 0) -> Dataset:
        """The first frame of each window, (windows, 1), counted from ``first``.

        Windows may go on into the next episode, where the prior starts anew.
        """
        starts = torch.arange(0, max(len(self) - length, 0) + 1, stride)
        schema = Schema(kind="vectors", event_shape=(1,), dtype="float64")
        return Dataset(schema, (first + starts.double()).unsqueeze(1), source="clips")


class ClipLikelihood(Objective):
    r"""E_q[log p(z_1, ..., z_T)] per frame, over windows of clips and draws z ~ q(z | x).

    A row of a batch is the first frame of a window. Each visit takes one of the draws of each frame
    at random; outside training the first counts.

    Args:
        clips: all of them, those to train on first.
        length: frames of a window.
        prior: name and options of the prior and hash of the latents, so that a checkpoint of others
            is not continued.
    """

    z: Tensor
    actions: Tensor | None
    resets: Tensor

    def __init__(self, clips: LatentClips, length: int, prior: str = "") -> None:
        super().__init__()
        self.length = length
        self.prior = prior
        self.register_buffer("z", clips.z, persistent=False)
        self.register_buffer("actions", clips.actions, persistent=False)
        self.register_buffer("resets", clips.resets, persistent=False)

    def forward(self, model: Model, batch: Batch) -> Bound:
        assert isinstance(model, LearnedPrior)
        assert isinstance(model.prior, TemporalPrior)
        frames = batch.filled.long() + torch.arange(self.length, device=batch.filled.device)
        draws = self.z.shape[1]
        visit = torch.randint(draws, frames.shape, device=frames.device) if self.training else 0
        actions = None if self.actions is None else self.actions[frames]
        terms = model.prior.terms_of_clips(self.z[frames, visit], actions, self.resets[frames])
        value = terms.log_prob.detach()
        return Bound(value, -value, value.new_zeros(0, len(value)), terms.loss.mean())
