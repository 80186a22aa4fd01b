"""Clips: frames in the order of time, with the episode of each, the action after it, and what it
brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.loading import load
from lowerbound.data.npz import open_arrays
from lowerbound.data.pictures.folders import OnError
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError

EPISODES = ("episode", "episodes", "ep")
ACTIONS = ("action", "actions", "act")
REWARDS = ("reward", "rewards")
ENDS = ("terminated", "terminal")
CLASSES = "action_classes"  # number of classes of an action that is a class
MOST_CLASSES = 2**24  # float32, in which actions are kept, has these whole numbers


_BESIDE = ("episode", "actions", "rewards", "terminated")  # fields with an entry for each frame


@dataclass(frozen=True, eq=False)
class FrameClips:
    """Frames of several episodes, one episode after another.

    Attributes:
        frames: rows in the order of time.
        episode: number of the episode of each frame, (frames,) long.
        actions: what was done after each frame, (frames, numbers) float32; None: not known.
        rewards: of arriving at each frame, (frames,) float32; None: not known.
        terminated: True at a frame where its episode ended of itself, and not at a limit of time,
            (frames,) bool; None: not known.
        classes: of an action that is a class, whose one number is the class; 0: numbers.

    Raises:
        DataError: lengths differ, an action or a reward is not finite, an action is not one of the
            classes, or an episode is interrupted by another.
    """

    frames: Dataset
    episode: Tensor
    actions: Tensor | None = None
    rewards: Tensor | None = None
    terminated: Tensor | None = None
    classes: int = 0

    def __post_init__(self) -> None:
        for name in _BESIDE:
            value = getattr(self, name)
            if value is not None and len(value) != len(self.frames):
                raise DataError(f"{len(self.frames)} frames but {len(value)} rows of {name}")
        if self.actions is not None and not bool(self.actions.isfinite().all()):
            raise DataError("an action is not a finite number: leave its episode out")
        if self.rewards is not None and not bool(self.rewards.isfinite().all()):
            raise DataError("a reward is not a finite number: leave its episode out")
        if self.classes and self.actions is not None:
            _check_classes(self.actions, self.classes)
        counts = Counter(self.episode[self.resets].tolist())
        again = sorted(number for number, count in counts.items() if count > 1)
        if again:
            raise DataError(
                f"the frames of episode {listed(again)} are not one after another: sort the frames "
                "by episode and time, or give each part a number of its own"
            )

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def resets(self) -> Tensor:
        """True at the first frame of each episode, (frames,) bool."""
        first = torch.ones(len(self.episode), dtype=torch.bool)
        first[1:] = self.episode[1:] != self.episode[:-1]
        return first

    @property
    def spans(self) -> dict[int, range]:
        """The frames of each episode, by its number."""
        starts = torch.nonzero(self.resets).flatten().tolist()
        ends = [*starts[1:], len(self)]
        numbers = self.episode[starts].tolist()
        return {n: range(a, b) for n, a, b in zip(numbers, starts, ends, strict=True)}

    @property
    def action_numbers(self) -> int:
        """Numbers of an action; 0: there are none."""
        return 0 if self.actions is None else self.actions.shape[1]

    def of(self, episodes: Sequence[int]) -> FrameClips:
        """The clips of these episodes, in this order.

        Raises:
            OptionError: there is no such episode.
        """
        spans = self.spans
        absent = [number for number in episodes if number not in spans]
        if absent:
            raise OptionError(
                f"there is no episode {listed(absent)}; there are {listed(list(spans))}"
            )
        rows = torch.tensor([row for number in episodes for row in spans[number]], dtype=torch.long)
        beside = {name: getattr(self, name) for name in _BESIDE}
        kept: dict[str, Any] = {
            name: None if each is None else each[rows] for name, each in beside.items()
        }
        return replace(self, frames=self.frames.subset(rows), **kept)

    def split(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        """Numbers of the episodes to train on, and of a share that is held out, drawn at random.

        Nothing is held out of a single episode.
        """
        numbers = list(self.spans)
        if share <= 0 or len(numbers) < 2:
            return numbers, []
        count = min(max(1, round(share * len(numbers))), len(numbers) - 1)
        order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))
        chosen = set(order[:count].tolist())
        seen = [number for i, number in enumerate(numbers) if i not in chosen]
        return seen, [number for i, number in enumerate(numbers) if i in chosen]


def read_frame_clips(
    source: Any, schema: Schema | None = None, on_error: OnError = "raise"
) -> FrameClips:
    """Read the frames, episodes and actions of an .npz file.

    Keys: frames as in ``load`` (``frames``, ``obs``, ``x`` ...), ``episode``, ``episodes`` or
    ``ep``, and, if known, ``action``, ``actions`` or ``act``, ``reward`` or ``rewards``,
    ``terminated`` or ``terminal``, and ``action_classes``, the number of classes of an action.

    Args:
        source: the file; clips in memory are returned as they are.
        schema: of a fitted model; None: learned from the frames.
        on_error: as of ``load``.

    Raises:
        DataError: the file cannot be read, its frames are not those of the schema, or it has no
            episode numbers.
    """
    if isinstance(source, FrameClips):
        return source
    path = Path(source).expanduser()
    known = None if schema is None else replace(schema, condition=None)
    frames = load(path if path.exists() else source, schema=known, on_error=on_error)
    found = _arrays(path) if path.suffix.lower() == ".npz" and path.is_file() else {}
    episode = next((found[key] for key in EPISODES if key in found), None)
    if episode is None:
        raise DataError(
            f"{source} has no episode numbers: clips are an .npz file with an array 'episode', the "
            "number of the episode of each frame, beside 'frames' and, if known, 'action'"
        )
    if episode.dtype.kind not in "iu" or episode.ndim != 1:
        raise DataError(
            f"{source}: episode is {episode.dtype} of shape {episode.shape}; it needs a whole "
            "number for each frame"
        )
    actions = next((_matrix(found[key], path) for key in ACTIONS if key in found), None)
    return FrameClips(
        frames,
        torch.from_numpy(episode.astype(np.int64)),
        actions,
        _column(found, REWARDS, path, np.float32),
        _column(found, ENDS, path, np.bool_),
        _class_count(found.get(CLASSES), path),
    )


def _class_count(given: Array | None, path: Path) -> int:
    """The number of classes of an action; 0: it is none.

    Raises:
        DataError: it is no whole number above zero.
    """
    if given is None or given.shape != ():
        return 0
    if given.dtype.kind not in "iu" or not 0 < int(given) < MOST_CLASSES:
        raise DataError(
            f"{path}: {CLASSES} is {given}; it needs the number of classes, a whole number from 1"
        )
    return int(given)


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays of a file beside the frames."""
    keys = (*EPISODES, *ACTIONS, *REWARDS, *ENDS, CLASSES)
    with open_arrays(path) as arrays:
        return {key: arrays[key] for key in keys if key in arrays}


def _matrix(actions: Array, path: Path) -> Tensor:
    """Actions as (frames, numbers) float32."""
    if actions.dtype.kind not in "buif" or actions.ndim not in (1, 2):
        raise DataError(
            f"{path}: the actions are {actions.dtype} of shape {actions.shape}; they need numbers, "
            "(frames,) or (frames, numbers)"
        )
    columns = actions[:, None] if actions.ndim == 1 else actions
    return torch.from_numpy(columns.astype(np.float32))


def _column(
    found: Mapping[str, Array], keys: Sequence[str], path: Path, dtype: type[np.generic]
) -> Tensor | None:
    """A number for each frame; None: the file has none."""
    key = next((key for key in keys if key in found), None)
    if key is None:
        return None
    values = found[key]
    if values.dtype.kind not in "buif" or values.ndim != 1:
        raise DataError(
            f"{path}: {key} is {values.dtype} of shape {values.shape}; it needs one number for "
            "each frame"
        )
    return torch.from_numpy(values.astype(dtype))


def _check_classes(actions: Tensor, classes: int) -> None:
    """Check that actions are classes.

    Raises:
        DataError: one is not.
    """
    wrong = (actions != actions.round()) | (actions < 0) | (actions >= classes)
    if actions.shape[1] != 1 or bool(wrong.any()):
        raise DataError(
            f"action_classes is {classes}, so an action is one whole number from 0 to "
            f"{classes - 1}, and the actions have shape {tuple(actions.shape)} and values from "
            f"{float(actions.min()):g} to {float(actions.max()):g}"
        )
