"""Replay: all frames that an agent has seen, with actions and outcomes, in the order of time.

::

    replay/part-0.safetensors   frames 0 .. 999
    replay/part-1.safetensors   frames 1,000 .. 2,999

Frames are appended to memory one by one. Each checkpoint writes those since the last one as a new
file, so a long run does not write all frames again and again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from lowerbound import durable, untrusted
from lowerbound.data.dataset import Dataset
from lowerbound.data.sequences.episode_kind import EpisodeForm
from lowerbound.data.sequences.frame_clips import FrameClips
from lowerbound.errors import DataError, ModelFolderError
from lowerbound.trace import Batch
from lowerbound.untrusted import folders

FOLDER = "replay"
FIRST_ROOM = 1024
COLUMNS = ("frames", "actions", "outcomes", "resets")


class EpisodeReplay:
    """Frames of episodes, one episode after another.

    Args:
        form: of the episodes.
    """

    def __init__(self, form: EpisodeForm) -> None:
        self.form, self.frame = form, form.frame
        self._count, self._written, self._files = 0, 0, 0
        levels = self.frame.levels
        dtype = torch.float32 if levels is None else torch.uint8 if levels <= 256 else torch.int32
        self._columns = {
            "frames": torch.zeros(0, *self.frame.event_shape, dtype=dtype),
            "actions": torch.zeros(0, form.actions),
            "outcomes": torch.zeros(0, 2),
            "resets": torch.zeros(0, dtype=torch.bool),
        }

    def __len__(self) -> int:
        return self._count

    def add(self, frame: Tensor, action: Tensor, reward: float, goes_on: bool, reset: bool) -> None:
        """Append a frame.

        Args:
            frame: packed, as the frame's schema packs it, (*frame).
            action: that led to it, (numbers,).
            reward: of arriving at it.
            goes_on: whether the episode did not terminate there.
            reset: whether an episode starts there.
        """
        self._make_room(self._count + 1)
        values = (frame, action, torch.tensor([reward, float(goes_on)]), torch.tensor(reset))
        for name, value in zip(COLUMNS, values, strict=True):
            self._columns[name][self._count] = value
        self._count += 1

    def check_length(self, length: int) -> None:
        """Check that there is a window of that length.

        Raises:
            DataError: there are fewer frames.
        """
        if self._count < length:
            raise DataError(
                f"the replay has {self._count:,} frames, fewer than one window of {length}: raise "
                "the steps before the first update (--prefill), or lower the window (--length)"
            )

    def batch(self, rows: int, length: int, noise: torch.Generator) -> Batch:
        """Windows that start at random frames, in model units.

        The first frame of a window is treated as the start of an episode, because the state before
        it is not known.

        Args:
            rows, length: of the windows.
            noise: source of the starts.

        Raises:
            DataError: there are fewer frames than a window has.
        """
        self.check_length(length)
        starts = torch.randint(self._count - length + 1, (rows, 1), generator=noise)
        return self.windows(starts + torch.arange(length))

    def windows(self, places: Tensor) -> Batch:
        """The frames at places, (rows, time)."""
        found = {name: values[places] for name, values in self._columns.items()}
        resets = found["resets"].clone()
        resets[:, 0] = True
        return Batch(
            x=self.frame.units(found["frames"]),
            condition=found["actions"],
            outcomes=found["outcomes"],
            resets=resets,
        )

    def clips(self) -> FrameClips:
        """All frames as clips, whose actions are those after each frame."""
        held = {name: values[: self._count] for name, values in self._columns.items()}
        done = torch.zeros_like(held["actions"])
        done[:-1] = held["actions"][1:]
        if self.form.classes:
            done = done.argmax(1, keepdim=True).float()
        return FrameClips(
            Dataset(self.frame, held["frames"], source="replay"),
            held["resets"].long().cumsum(0) - 1,
            done,
            held["outcomes"][:, 0],
            held["outcomes"][:, 1] == 0,
            self.form.classes,
        )

    @property
    def sha256(self) -> str:
        """A hash of all frames, actions and outcomes."""
        digest = hashlib.sha256()
        for name in COLUMNS:
            values = self._columns[name][: self._count].contiguous()
            digest.update(values.numpy().tobytes())
        return digest.hexdigest()

    @folders.closing
    def write(self, folder: Path) -> int:
        """Write the frames since the last call to a new file, and return the number of files.

        Raises:
            OSError: it cannot be written.
        """
        if self._written < self._count:
            directory = folder / FOLDER
            folders.make(directory)
            new = {
                name: values[self._written : self._count].contiguous()
                for name, values in self._columns.items()
            }
            durable.write_tensors(directory / f"part-{self._files}.safetensors", new)
            self._files, self._written = self._files + 1, self._count
        return self._files

    @folders.closing
    def read(self, folder: Path, files: int) -> None:
        """Read the first files that ``write`` wrote; later ones belong to no checkpoint.

        Raises:
            ModelFolderError: one is missing or damaged.
        """
        for number in range(files):
            path = folder / FOLDER / f"part-{number}.safetensors"
            try:
                content = untrusted.content(path, ModelFolderError)
                part = untrusted.tensors(content, str(path), ModelFolderError)
                with untrusted.guarded(str(path), ModelFolderError):
                    end = self._count + len(part["resets"])
                    self._make_room(end)
                    for name in COLUMNS:
                        self._columns[name][self._count : end] = part[name]
            except (OSError, ModelFolderError) as error:
                raise ModelFolderError(
                    f"the replay file {path} is missing or damaged; train again, without --resume"
                ) from error
            self._count = end
        self._files, self._written = files, self._count

    def _make_room(self, count: int) -> None:
        room = len(self._columns["resets"])
        if count <= room:
            return
        wider = max(FIRST_ROOM, count, room + room // 2)
        for name, values in self._columns.items():
            grown = values.new_zeros(wider, *values.shape[1:])
            grown[: self._count] = values[: self._count]
            self._columns[name] = grown
