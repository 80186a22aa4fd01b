"""Files of sound: clips and rows of samples as .wav files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.io.files import fill_folder
from lowerbound.applications.io.rows import NPZ, ROW_FILES, Files, RebuiltItems, RowFiles
from lowerbound.coding.sound_codes import SoundCoder
from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import SUFFIX, read_clips, write_wav
from lowerbound.data.pictures.folders import OnError
from lowerbound.errors import OptionError
from lowerbound.models import Model

SUFFIXES = (SUFFIX, NPZ, "")


@ROW_FILES.register("audio")
class SoundFiles(RowFiles):
    """Sound as .wav files; an .npz file holds the rows as one array."""

    suffixes = SUFFIXES
    written = f"sound is written as one {SUFFIX}, as .npz, or into a folder (a name without suffix)"

    def _write(self, path: Path, x: Tensor, rounded: bool, extra: Mapping[str, Any]) -> Files:
        return write_sounds(path, list(self.schema.decode(x)), self.schema.sample_rate or 1)

    def write_folder(self, path: Path, x: Tensor, *, rounded: bool) -> Files:
        return write_sound_folder(path, list(self.schema.decode(x)), self.schema.sample_rate or 1)

    def rebuild(
        self, model: Model, source: str, path: Path, on_error: OnError
    ) -> RebuiltItems | None:
        """Write the clips as a model of codes decodes them, each at its own length."""
        coder = None if path.suffix.lower() == NPZ else SoundCoder.found(model)
        if coder is None:
            return None
        clips = read_clips(source, self.schema.sample_rate, on_error)
        signal = torch.from_numpy(clips.joined)
        made = coder.signal(coder.codes(signal), len(signal))
        error, spread = (signal - made).double().square().mean(), signal.double().var(correction=0)
        kept = float(1 - error / spread) if spread > 0 else float("nan")
        files = write_sounds(path, clips.cut(made.numpy()), clips.rate, clips.names)
        return RebuiltItems(len(clips.samples), kept, files)


def check_clips_output(path: Path) -> None:
    """Check the suffix of an output of clips; one array cannot hold clips of different lengths.

    Raises:
        OptionError: the suffix is unknown; the message names those that can be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{path}: {SoundFiles.written}")
    if path.suffix.lower() == NPZ:
        raise OptionError(f"{path}: clips differ in length; write one .wav, or a folder of them")


def write_sounds(
    path: Path, clips: Sequence[Array], rate: int, names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Write clips, (length,) amplitudes each, end to end into one .wav, or as files in a folder.

    Args:
        path: NAME.wav, or a folder.
        clips: at least one.
        rate: samples per second.
        names: names of the files in a folder (default: their numbers).
    """
    if path.suffix.lower() == SUFFIX:
        write_wav(path, np.concatenate(clips), rate)
        return (str(path),)
    return write_sound_folder(path, clips, rate, names)


def write_sound_folder(
    path: Path, clips: Sequence[Array], rate: int, names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Write clips as files in a folder, whatever its name; see ``write_sounds``."""
    files = list(names) or [f"{index:05d}{SUFFIX}" for index in range(len(clips))]

    def write(place: Path) -> Files:
        for name, clip in zip(files, clips, strict=True):
            write_wav(place / name, clip, rate)
        return tuple(str(place / name) for name in files)

    return fill_folder(path, write)
