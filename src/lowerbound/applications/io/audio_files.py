"""Sound for people: clips and rows of samples as .wav files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.audio.clips import SUFFIX, write_wav
from lowerbound.errors import OptionError

Array = np.ndarray[Any, Any]
SUFFIXES = (SUFFIX, ".npz", "")


def check_output(path: Path) -> None:
    """Refuse an output name that says nothing we write, before any work is done.

    Raises:
        OptionError: names what is written of sound.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(
            f"{path}: sound is written as one {SUFFIX}, as .npz, or into a folder (a name without "
            "suffix)"
        )


def check_clips_output(path: Path) -> None:
    """The same for clips that differ in length, which no array holds.

    Raises:
        OptionError: names what is written of them.
    """
    check_output(path)
    if path.suffix.lower() == ".npz":
        raise OptionError(f"{path}: clips differ in length; write one .wav, or a folder of them")


def write_sounds(
    path: Path, clips: Sequence[Array], rate: int, names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Write clips, (length,) amplitudes each: end to end into one .wav, or one each in a folder.

    Args:
        path: NAME.wav, or a folder.
        clips: at least one.
        rate: samples per second.
        names: of the files in a folder; their number unless given.
    """
    if path.suffix.lower() == SUFFIX:
        write_wav(path, np.concatenate(clips), rate)
        return (str(path),)
    files = list(names) or [f"{index:05d}{SUFFIX}" for index in range(len(clips))]
    for name, clip in zip(files, clips, strict=True):
        write_wav(path / name, clip, rate)
    return tuple(str(path / name) for name in files)
