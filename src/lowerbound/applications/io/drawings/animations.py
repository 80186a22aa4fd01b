"""Animations: GIF and WebP written by Pillow, MP4 and WebM by an installed ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.applications.io.files import replacing
from lowerbound.errors import DataError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from PIL.Image import Image

BY_PILLOW = (".gif", ".webp")
BY_ENCODER = (".mp4", ".webm")
ANIMATIONS = (*BY_PILLOW, *BY_ENCODER)
FRAMES_PER_SECOND = 12.0
SMALL = 320  # pixels: WebP up to this size is lossless


def write_animation(
    path: Path, frames: Sequence[Image], per_second: float = FRAMES_PER_SECOND
) -> tuple[str, ...]:
    """Write frames of one size in the format of ``path``'s suffix; GIF and WebP repeat forever.

    Raises:
        OptionError: the number of frames per second is not positive.
        UnsupportedError: MP4 or WebM without an encoder; the message explains how to install one.
    """
    if not per_second > 0:
        raise OptionError(f"--fps must be positive, not {per_second:g}")
    if path.suffix.lower() in BY_ENCODER:
        _encode(path, frames, per_second, encoder())
    else:
        _by_pillow(path, frames, per_second)
    return (str(path),)


def check_animation(path: Path) -> None:
    """Check that what writes the format of ``path``'s suffix is there, before any work is done.

    Raises:
        UnsupportedError: MP4 or WebM without an encoder; the message explains how to install one.
    """
    if path.suffix.lower() in BY_ENCODER:
        encoder()


def encoder() -> str:
    """The ffmpeg on the path; it is not a dependency, because its licence is copyleft.

    Raises:
        UnsupportedError: ffmpeg is not on the path.
    """
    found = shutil.which("ffmpeg")
    if found is None:
        raise UnsupportedError(
            "MP4 and WebM are written by ffmpeg, which is not on the path: install it (apt install "
            "ffmpeg, brew install ffmpeg, ...), or write a .gif or .webp"
        )
    return found


def _by_pillow(path: Path, frames: Sequence[Image], per_second: float) -> None:
    kind = path.suffix.lower().removeprefix(".")
    small = max(frames[0].size) <= SMALL
    how = {"lossless": small, "quality": 90} if kind == "webp" else {}
    with replacing(path) as place, place.open("wb") as file:
        frames[0].save(
            file,
            format=kind.upper(),
            save_all=True,
            append_images=list(frames[1:]),
            duration=round(1000 / per_second),
            loop=0,
            **how,
        )


def _encode(path: Path, frames: Sequence[Image], per_second: float, program: str) -> None:
    """Pipe raw frames into the encoder; players require even sides and 4:2:0."""
    width, height = (side + side % 2 for side in frames[0].size)
    with replacing(path) as place:
        command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", f"{per_second:g}", "-i", "-", "-an"]
        command += ["-pix_fmt", "yuv420p", "-f", path.suffix.lower().removeprefix("."), str(place)]
        raw = b"".join(_even(frame, width, height) for frame in frames)
        done = subprocess.run(command, input=raw, capture_output=True, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise DataError(f"{path}: {program} cannot write it: {' '.join(reason)}; use .gif")


def _even(frame: Image, width: int, height: int) -> bytes:
    """The frame as RGB bytes, its last row and column repeated where a side is odd."""
    values = np.asarray(frame.convert("RGB"))
    missing = ((0, height - values.shape[0]), (0, width - values.shape[1]), (0, 0))
    return np.pad(values, missing, mode="edge").tobytes()
