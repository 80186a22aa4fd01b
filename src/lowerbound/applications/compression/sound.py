"""Clips of sound as small files of codes, and what is heard of them: see ``lowerbound.coding``.

The model itself is what decodes: files carry its hash, and are read with the folder as it was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.base import Report
from lowerbound.applications.io.audio_files import check_clips_output, write_sounds
from lowerbound.coding.files.container import Container, open_container
from lowerbound.coding.sound import Decoded, read_clips, write_clips
from lowerbound.coding.sound_codes import SoundCoder
from lowerbound.coding.stack import constriction
from lowerbound.data.audio import clips as audio
from lowerbound.data.audio.clips import Clips
from lowerbound.data.pictures.folders import OnError
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.model_folder import folder as model_folder

BITS = 16  # of a sample as telephones and discs have it


@dataclass(frozen=True)
class SoundReport(Report):
    """A file of sound was written.

    Attributes:
        file: where.
        clips: how many.
        sound_seconds: of all clips.
        bytes: of the file.
        header_bytes: of these.
        raw_bytes: the samples in 16 bits each.
        kilobits_per_second: of the file.
        codebooks: that were used.
        codec: the model's name in the file.
        seconds: it took.
    """

    file: str
    clips: int
    sound_seconds: float
    bytes: int
    header_bytes: int
    raw_bytes: int
    kilobits_per_second: float
    codebooks: int
    codec: str
    seconds: float

    def text(self) -> str:
        return (
            f"{self.clips:,} clips, {self.sound_seconds:,.1f} s of sound, in {self.bytes:,} bytes, "
            f"{self.kilobits_per_second:.2f} kbit/s with {self.codebooks} codebooks, "
            f"{self.raw_bytes / self.bytes:.1f} times smaller: {self.file}\n"
            f"lossy: what comes back sounds like it; keep the model folder, codec {self.codec}"
        )


def compress_sound(
    fitted: Fitted, data: str, path: Path, codebooks: int | None, on_error: OnError, part: str
) -> SoundReport:
    """Write the clips of a .wav file or a folder as one file.

    Raises:
        UnsupportedError: the model does not turn sound into codes.
        DataError: the data is no sound of the model's sample rate.
        OptionError: there are not so many codebooks, or a part is asked for.
    """
    began = time.perf_counter()
    clips, used = asked_clips(fitted, data, codebooks, on_error, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clips(path, fitted.model, clips.samples, clips.rate, codebooks=used)
    file = open_container(path)
    seconds = sum(clips.lengths) / clips.rate
    return SoundReport(
        file=str(path),
        clips=len(clips.samples),
        sound_seconds=seconds,
        bytes=file.size,
        header_bytes=file.overhead,
        raw_bytes=sum(clips.lengths) * BITS // 8,
        kilobits_per_second=file.size * 8 / seconds / 1000,
        codebooks=used,
        codec=file.header.model_hash.hex(),
        seconds=time.perf_counter() - began,
    )


def asked_clips(
    fitted: Fitted, data: str, codebooks: int | None, on_error: OnError, part: str
) -> tuple[Clips, int]:
    """(the clips to compress, with how many codebooks).

    Raises:
        UnsupportedError, DataError, OptionError: as of ``compress_sound``.
    """
    if part != "all":
        raise OptionError("sound is compressed clip by clip, whole: leave --part out")
    constriction()  # named before any work is done, where it is missing
    used = SoundCoder.of(fitted.model).levels(codebooks)
    return audio.read_clips(data, fitted.schema.sample_rate, on_error), used


def heard(model: Path, file: Container) -> Decoded:
    """What comes back of a file of sound.

    Raises:
        BitstreamError: it is damaged, or was compressed with another model.
    """
    return read_clips(file, model_folder.read(model).model)


def decompress_sound(model: Path, file: Container, path: Path) -> tuple[int, tuple[str, ...]]:
    """(how many clips, the files written).

    Raises:
        BitstreamError: as of ``heard``.
        OptionError: the output's name makes no sense.
    """
    check_clips_output(path)
    found = heard(model, file)
    return len(found.clips), write_sounds(path, found.clips, found.rate)
