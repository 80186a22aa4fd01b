r"""Train a temporal prior on the latents of clips: frames in the order of time.

.. math:: \log p(x_{1:T}) \ge \sum_t E_q[\log p(x_t \mid z_t)] + H(q(z_t \mid x_t)) +
    E_q[\log p(z_{1:T} \mid a_{1:T-1})]

As in ``lowerbound.fitting.prior``, encoder and decoder stay fixed, and only the last term is
trained. Whole episodes are held out for early stopping.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.frame_clips import FrameClips
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.options import PriorFit
from lowerbound.fitting.prior import TASK, learns_from_clips, with_budget, with_untrained_prior
from lowerbound.fitting.private_fit import without_release
from lowerbound.models.base import Model
from lowerbound.models.heads import LearnedPrior, density_of_prior
from lowerbound.models.powers import LearnsPrior, require
from lowerbound.objectives.base import Bound, Objective
from lowerbound.priors.temporal import TemporalPrior
from lowerbound.trace import Batch
from lowerbound.training.device import on_device
from lowerbound.training.held_out import evaluating
from lowerbound.training.loop import train
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import History, TrainingReporter


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


def fit_temporal_prior(
    fitted: Fitted,
    clips: FrameClips,
    z: Tensor,
    kind: str,
    prior_options: Mapping[str, Any] | None = None,
    training: TrainingOptions | None = None,
    *,
    sha256: str = "",
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
) -> tuple[Fitted, History]:
    """The same model with a prior that was trained on clips, and how training went.

    Args:
        fitted: a model; it stays unchanged.
        clips: frames, episodes and actions.
        z: draws from q(z | x) of the frames, (frames, draws, numbers).
        kind: name of the prior.
        prior_options: of that prior.
        training: budget, step size and the rest; its ``validation`` is a share of the episodes.
        sha256: of the latents, for the record.
        folder: where checkpoints go; None keeps none.
        resume: continue from the checkpoint in ``folder``.
        reporter: shows progress.

    Raises:
        OptionError: the model cannot have that prior, or an option is unknown.
        DataError: there are fewer than two frames in each episode.
        Interrupted: Ctrl-C.
    """
    if not learns_from_clips(with_untrained_prior(fitted, kind, prior_options or {})):
        raise OptionError(f"the prior {kind!r} is trained on rows, and not on clips")
    options = {**(prior_options or {}), "actions": clips.action_numbers}
    training = with_budget(training or TrainingOptions(), len(clips))
    made = with_untrained_prior(fitted, kind, options, training.seed)
    learning = require(made.model, LearnsPrior, TASK)
    prior = learning.learned_prior
    assert isinstance(prior, TemporalPrior)
    if max(len(span) for span in clips.spans.values()) < 2:
        raise DataError("each episode has one frame, so nothing follows: give longer clips")
    seen, unseen = clips.split(training.validation, training.seed)
    known = LatentClips.of(clips, z, seen)
    prior.start_from_clips(known.z[:, 0], known.actions, known.resets)
    on_device(made.model, training.device)
    every, fresh = LatentClips.of(clips, z, seen + unseen), LatentClips.of(clips, z, unseen)
    length = min(prior.window, len(known), len(fresh) or len(known))
    named = f"{kind} {json.dumps(options, sort_keys=True, default=str)} {sha256}"
    history = train(
        LearnedPrior(learning),
        ClipLikelihood(every, length, named),
        known.windows(length),
        training,
        validation=fresh.windows(length, length, len(known)) if unseen else None,
        folder=folder,
        resume=resume,
        reporter=reporter,
    )
    own = require(fitted.model, LearnsPrior, TASK)
    facts = PriorFit(kind, len(clips), sha256, training, **_compared(fitted, own, learning, fresh))
    made.model.eval()
    kept = without_release(made.options)
    return replace(made, options=replace(kept, prior_fit=facts, likeness=None)), history


def _compared(
    fitted: Fitted, former: LearnsPrior, made: LearnsPrior, clips: LatentClips
) -> dict[str, Any]:
    """The fields of ``PriorFit`` that compare two priors on the frames of held-out episodes."""
    found: dict[str, Any] = {
        "fitted_model": fitted.options.fitted_model,
        "former_kind": former.prior_name(fitted.options.model),
        "density": density_of_prior(made),
        "former_density": density_of_prior(former),
    }
    if not len(clips):
        return found
    after, before = log_prior_of_frames(made, clips), log_prior_of_frames(former, clips)
    found |= {"validation": float(after.mean()), "former": float(before.mean())}
    episode = clips.resets.cumsum(0) - 1
    gains = torch.stack([part.mean() for part in _apart(after - before, episode)])
    error = float(gains.std()) / math.sqrt(len(gains)) if len(gains) > 1 else None
    return {**found, "error": error, "held_out": len(clips)}


@torch.no_grad()
def log_prior_of_frames(model: LearnsPrior, clips: LatentClips) -> Tensor:
    """log p of each frame in nats, (frames,) float64: given those before it in its episode if the
    prior is temporal and knows such actions."""
    prior, z = model.learned_prior, clips.z[:, 0]
    width = 0 if clips.actions is None else clips.actions.shape[1]
    with evaluating(prior):
        if not isinstance(prior, TemporalPrior) or prior.actions != width:
            return model.prior_terms(z).log_prob.double()
        actions = None if clips.actions is None else clips.actions.unsqueeze(0)
        found = prior.log_prob_of_clips(z.unsqueeze(0), actions, clips.resets.unsqueeze(0))
    return found[0].double()


def _apart(values: Tensor, group: Tensor) -> list[Tensor]:
    return [values[group == number] for number in range(int(group.max()) + 1)]
