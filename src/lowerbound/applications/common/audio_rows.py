"""Files of sound: clips and rows of samples as .wav files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.common.files import fill_folder
from lowerbound.applications.common.rows import (
    NPZ,
    ROW_FILES,
    Files,
    NoisyRows,
    RebuiltItems,
    Reconstructed,
    Restored,
    RowFiles,
)
from lowerbound.applications.common.table_rows import numbered_path
from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import SUFFIX, is_audio, read_clips, write_wav
from lowerbound.data.audio.kind import rows_of
from lowerbound.data.pictures.folders import OnError
from lowerbound.errors import OptionError
from lowerbound.inference.sound_codes import SoundCoder
from lowerbound.models.base import Model


@ROW_FILES.register("audio")
class SoundFiles(RowFiles):
    """Sound as .wav files; an .npz file holds the rows as one array."""

    suffixes = (SUFFIX, NPZ, "")
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

    def cells_of(self, source: str, path: Path, on_error: OnError) -> Any:
        """The clips of files of sound, unless the output is an array of rows."""
        if path.suffix.lower() == NPZ or not is_audio(source):
            return None
        return read_clips(source, self.schema.sample_rate, on_error)

    def _write_reconstruction(self, path: Path, part: Reconstructed) -> Files:
        """The clips in ``part.cells`` keep their names and lengths."""
        if part.cells is None:
            return super()._write_reconstruction(path, part)
        signal = self.schema.decode(part.mean, rounded=False).reshape(-1)
        return write_sounds(path, part.cells.cut(signal), part.cells.rate, part.cells.names)

    def read_noisy(self, source: str, on_error: OnError) -> NoisyRows:
        """As ``RowFiles.read_noisy``, with the clips that were cut into the rows."""
        if not is_audio(source):
            return super().read_noisy(source, on_error)
        clips = read_clips(source, self.schema.sample_rate, on_error)
        return NoisyRows(rows_of(clips, self.schema).x.numpy(), cells=clips)

    def write_clean(
        self,
        path: Path,
        given: Array,
        clean: Array,
        drawn: Sequence[Array],
        ids: Files | None = None,
        cells: Any = None,
    ) -> Files:
        """As ``RowFiles.write_clean``; the clips in ``cells`` keep their names and lengths."""
        if cells is None or path.suffix.lower() == NPZ:
            return super().write_clean(path, given, clean, drawn, ids)
        stacks = [cells.cut(rows.reshape(-1)) for rows in (clean, *drawn)]
        return _write_stacks(path, stacks, self.schema.sample_rate or 1, cells.names)

    def _write_restored(self, path: Path, rows: Restored) -> Files:
        stacks = [list(some) for some in (rows.answer, *rows.drawn)]
        return _write_stacks(path, stacks, self.schema.sample_rate or 1)


def _write_stacks(
    path: Path, stacks: Sequence[Sequence[Array]], rate: int, names: Sequence[str] = ()
) -> Files:
    """Write clips and draws of them; draws add their number to the name of the file."""
    if path.suffix.lower() == SUFFIX:
        places = [path, *(numbered_path(path, number) for number in range(1, len(stacks)))]
        return sum((write_sounds(*pair, rate) for pair in zip(places, stacks, strict=True)), ())
    every = [clip for clips in stacks for clip in clips]
    return write_sound_folder(path, every, rate, _names(names or _numbers(stacks[0]), len(stacks)))


def _names(names: Sequence[str], stacks: int) -> list[str]:
    """The file of each clip, of all stacks: by its name, or by its number if names collide."""
    found = [
        name if not stack else str(numbered_path(Path(name), stack))
        for stack in range(stacks)
        for name in names
    ]
    if len({name.lower() for name in found}) == len(found):
        return found
    return _names(_numbers(names), stacks)


def _numbers(clips: Sequence[Any]) -> list[str]:
    return [f"{index:05d}{SUFFIX}" for index in range(len(clips))]


def check_clips_output(path: Path) -> None:
    """Check the suffix of an output of clips; one array cannot hold clips of different lengths.

    Raises:
        OptionError: the suffix is unknown; the message names those that can be written.
    """
    if path.suffix.lower() not in (SUFFIX, ""):
        raise OptionError(
            f"{path}: clips, which differ in length, are written as one {SUFFIX}, or into a folder "
            "(a name without suffix)"
        )


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
    files = list(names) or _numbers(clips)

    def write(place: Path) -> Files:
        for name, clip in zip(files, clips, strict=True):
            write_wav(place / name, clip, rate)
        return tuple(str(place / name) for name in files)

    return fill_folder(path, write)
