"""Windows of episodes as a data set: a row is some frames in a row, with actions and rewards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array, as_array
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import DATA_KINDS, DataKind
from lowerbound.data.npz import array_names
from lowerbound.data.raw import RawData
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.frame_clips import EPISODES, FrameClips, read_frame_clips
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError

KIND = "episodes"


@dataclass(frozen=True)
class EpisodeForm:
    """What is known of episodes beside the length of a window.

    Attributes:
        schema: of a frame, JSON-like.
        actions: numbers of an action as a model sees it: one for each class if it is a class.
        classes: of an action that is a class; 0: an action is numbers.
        rewards: whether rewards and ends are known.
        environment: that an agent acts in, JSON-like; empty: it is not known.
    """

    schema: Mapping[str, Any] = field(default_factory=dict)
    actions: int = 0
    classes: int = 0
    rewards: bool = False
    environment: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema) -> EpisodeForm:
        """The form in a schema of windows."""
        return from_mapping(cls, schema.details)

    @classmethod
    def frame_of(cls, schema: Schema) -> Schema:
        """The schema of a frame in a schema of windows."""
        return cls.of(schema).frame

    @staticmethod
    def fits(schema: Schema) -> bool:
        """Whether rows are windows of episodes."""
        return isinstance(schema.data_kind, EpisodeKind)

    @property
    def frame(self) -> Schema:
        """The schema of a frame."""
        return Schema.from_mapping(self.schema)

    def of_windows(self, windows: Windows) -> Schema:
        """The schema of windows of such episodes."""
        frame = self.frame
        return Schema(
            kind=KIND,
            event_shape=(windows.length, *frame.event_shape),
            levels=frame.levels,
            white=frame.white,
            dtype=frame.dtype,
            missing=frame.missing,
            windows=windows,
            details=to_mapping(self),
        )

    @classmethod
    def learned(cls, clips: FrameClips) -> EpisodeForm:
        """The form of clips."""
        numbers = clips.classes or clips.action_numbers
        frame = clips.frames.schema.to_mapping()
        return cls(frame, numbers, clips.classes, clips.rewards is not None)


@DATA_KINDS.register(KIND)
class EpisodeKind(DataKind):
    """Windows (time, *frame) of episodes. A window may go on in the next episode."""

    model = "recurrent_state_space"

    def takes(self, source: Any, reading: Reading) -> bool:
        if reading.windows is None and (
            reading.schema is None or not EpisodeForm.fits(reading.schema)
        ):
            return False
        return isinstance(source, FrameClips) or not array_names(source).isdisjoint(EPISODES)

    def load(self, source: Any, reading: Reading) -> Dataset:
        """Read frames, episodes, actions and rewards, and cut them into windows.

        Raises:
            DataError: the file cannot be read, or differs from the schema.
        """
        refused = "label", "split", "spectrograms", "image_size", "resize", "levels"
        reading.refuse(source, *refused)
        known = reading.schema
        frame = None if known is None else EpisodeForm.frame_of(known)
        clips = read_frame_clips(source, frame, reading.on_error)
        windows = reading.windows or (known.windows if known is not None else None)
        assert windows is not None
        windows = replace(windows, varied=False)
        if known is None:
            return windows_of(clips, EpisodeForm.learned(clips).of_windows(windows))
        if windows.length != known.event_shape[0]:
            raise DataError(
                f"the model was fitted on windows of {known.event_shape[0]} frames, not "
                f"{windows.length}: leave the length out"
            )
        return windows_of(clips, replace(known, windows=windows))

    def learn(self, raw: RawData, how: Reading) -> Schema:
        raise DataError("windows are cut from episodes: give an .npz file with 'episode'")

    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        values, frame = as_array(raw), EpisodeForm.frame_of(schema)
        if values.ndim < 3 or values.shape[1] != schema.event_shape[0]:
            raise DataError(
                f"expected windows of {schema.event_shape[0]} frames, found an array of shape "
                f"{values.shape}"
            )
        packed, observed = frame.pack(values.reshape(-1, *values.shape[2:]))
        shape = (len(values), schema.event_shape[0])
        return packed.unflatten(0, shape), None if observed is None else observed.unflatten(
            0, shape
        )

    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        frame = EpisodeForm.frame_of(schema)
        leading = units.shape[: units.ndim - len(frame.event_shape)]
        values = frame.decode(units.reshape(-1, *frame.event_shape), rounded)
        return values.reshape(*leading, *values.shape[1:])

    def log_slopes(self, schema: Schema, x: Tensor) -> Tensor:
        frame = EpisodeForm.frame_of(schema)
        each: Tensor = frame.data_kind.log_slopes(frame, x.flatten(0, 1))
        if len(each) == 1:
            return each.expand(schema.event_shape).unsqueeze(0)
        apart: Tensor = each.unflatten(0, tuple(x.shape[:2]))
        return apart

    def report_style(self, schema: Schema) -> str:
        return ""

    def describe(self, schema: Schema) -> str:
        form = EpisodeForm.of(schema)
        frame = form.frame.data_kind.describe(form.frame)
        return f"windows of {schema.event_shape[0]} frames, each {frame}"

    def default_latent_dim(self, schema: Schema) -> int | None:
        return None


def frame_schema(schema: Schema) -> Schema:
    """The schema of single frames: that of the rows, or of a frame of windows of episodes."""
    return EpisodeForm.frame_of(schema) if EpisodeForm.fits(schema) else schema


def windows_of(clips: FrameClips, schema: Schema) -> Dataset:
    """Cut clips into windows.

    Args:
        clips: frames, episodes, actions and rewards.
        schema: of the windows.

    Raises:
        DataError: the actions are not those of the schema, there are too few frames, or the windows
            need more memory than the limit.
    """
    form, windows = EpisodeForm.of(schema), schema.windows
    assert windows is not None
    if (clips.classes, clips.classes or clips.action_numbers) != (form.classes, form.actions):
        raise DataError(
            f"the model was fitted on actions of {form.actions} numbers and {form.classes} classes,"
            f" and these have {clips.action_numbers} and {clips.classes}"
        )
    frames, resets = clips.frames, clips.resets
    cell = frames.x[:1].nbytes * (1 if frames.observed is None else 2)
    cells = windows.cells(len(clips))
    # place, action and outcomes of each frame of each window, and the actions of the clips
    needed = cells * (cell + 20.0 + 4 * form.actions) + 4.0 * len(clips) * form.actions
    untrusted.check_memory(needed, frames.source or "windows of clips", DataError)
    places = torch.from_numpy(windows.places(len(clips)))
    return Dataset(
        schema,
        frames.x[places],
        observed=None if frames.observed is None else frames.observed[places],
        condition=actions_before(clips)[places] if form.actions else None,
        outcomes=outcomes_of(clips)[places] if form.rewards else None,
        resets=resets[places],
        source=frames.source,
    )


def actions_before(clips: FrameClips) -> Tensor:
    """The action that led to each frame, (frames, numbers) float32, zeros at the first of each
    episode; a class as one-hot.

    Raises:
        DataError: they need more memory than the limit.
    """
    assert clips.actions is not None
    done = clips.actions
    numbers = clips.classes or clips.action_numbers
    untrusted.check_memory(4.0 * len(done) * numbers, "an action of each frame", DataError)
    before = torch.zeros(len(done), numbers)
    if clips.classes:
        before[1:].scatter_(1, done[:-1].long(), 1.0)
    else:
        before[1:] = done[:-1]
    before[clips.resets] = 0.0
    return before


def outcomes_of(clips: FrameClips) -> Tensor:
    """Reward and 1 if the episode goes on, (frames, 2) float32; NaN where an end is unknown."""
    assert clips.rewards is not None
    ends = clips.terminated
    on = torch.full_like(clips.rewards, torch.nan) if ends is None else (~ends).float()
    return torch.stack([clips.rewards, on], 1)
