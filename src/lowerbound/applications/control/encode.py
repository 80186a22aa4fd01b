"""``lowerbound control encode``: codes or states of the frames of clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.form import REQUIRED, FolderDataRequest
from lowerbound.applications.io.files import replacing
from lowerbound.applications.io.sources import unconditioned
from lowerbound.config import option
from lowerbound.data import FrameClips, read_frame_clips
from lowerbound.data.arrays import Array
from lowerbound.data.sequences.episode_kind import actions_before, frame_schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.frames import check_actions
from lowerbound.models import WorldModel
from lowerbound.trace import Batch


@dataclass(frozen=True)
class EncodeClipsRequest(FolderDataRequest):
    """Turn frames into codes or states."""

    output: str = option(REQUIRED, "file to write (.npz)", short="-o", metavar="OUT")
    seed: int = option(0, "of the draws of states")


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
