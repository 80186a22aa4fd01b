r"""Clips of sound as codes in a file; the decoder reconstructs the clips approximately.

::

    clips ──end to end──> signal ──> codes ──whole-number tables──> payload ──> codes ──> signal ──> clips

The settings of the kind ``audio`` are varints: samples per second, number of codebooks (the
coarsest of the model's), and frames per chunk. The first chunk holds the length of each clip as a
varint. Each other chunk is a stack of words (``stack``) with the codes of its frames, one
codebook under the next. Symbols are the lengths as stored, and the codes. The sound is not
checked, because floating-point numbers may differ in the last digit between machines.

A code costs -log2 of its share in the table of its codebook. This table is the model's prior over
all places together, in whole numbers from the first step on: see ``CodePrior.tally``.

A prior whose codes depend on each other has no such table. The frames of a chunk are then cut into
rows as long as those of training, and coded as rows are: see ``context_codes``.
"""  # noqa: E501

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.coding.files import container, varint
from lowerbound.coding.files.clip_lengths import KIND, clip_lengths
from lowerbound.coding.files.container import Container
from lowerbound.coding.frame_coders import FrameCoder, frame_coder
from lowerbound.coding.lossless import model_hash
from lowerbound.coding.sound_codes import SoundCoder
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError
from lowerbound.models import Model

CHUNK_FRAMES = 1 << 15
CODE = np.dtype("<u4")


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded content of a file of sound.

    Attributes:
        clips: amplitudes of each, (length,) float32.
        rate: samples per second.
    """

    clips: tuple[Array, ...]
    rate: int

    @property
    def joined(self) -> Array:
        """All clips end to end."""
        return np.concatenate(self.clips)


def write_clips(
    path: Path,
    model: Model,
    clips: Sequence[Array],
    rate: int,
    *,
    codebooks: int | None = None,
    chunk_frames: int = CHUNK_FRAMES,
) -> None:
    """Write clips, each (length,) amplitudes, as a file of codes.

    Args:
        path: output path.
        model: fitted on sound, on the CPU.
        clips: at least one, none of them empty.
        rate: their samples per second.
        codebooks: number of codebooks to use, the coarsest first; None: all.
        chunk_frames: frames per stream.

    Raises:
        UnsupportedError: the model does not turn sound into codes.
        OptionError: the model has fewer codebooks.
        OSError: the file cannot be written.
    """
    coder = SoundCoder.of(model)
    signal = torch.from_numpy(np.concatenate(clips))
    codes = coder.codes(signal, codebooks)
    frames = frame_coder(coder.model, codes.shape[1])
    lengths = b"".join(varint.encode(len(clip)) for clip in clips)
    chunks = [(lengths, zlib.crc32(lengths))]
    for part in codes.split(chunk_frames):
        chunks.append((frames.encode(part), zlib.crc32(symbols(part))))
    settings = b"".join(map(varint.encode, (rate, codes.shape[1], min(chunk_frames, len(codes)))))
    container.write(path, KIND, model_hash(model), (len(signal), 1), settings, chunks)


@container.checked
def read_clips(file: Container, model: Model) -> Decoded:
    """Decode a file's codes to clips; all numbers are checked.

    Raises:
        BitstreamError: the file is damaged, of another kind, or of another model, or its sound
            needs more memory than the limit.
    """
    file.expect(KIND, model_hash(model))  # before a model without codes of sound is refused
    coder = SoundCoder.of(model)
    lengths = clip_lengths(file)
    rate, codebooks, chunk_frames = _read_settings(file, len(coder.quantizers))
    samples = file.header.shape[0]
    # a stack of no words holds any number of first codes, so the payload bounds no length
    untrusted.check_memory(coder.memory(samples, codebooks), file.name, BitstreamError)
    frames = frame_coder(coder.model, codebooks)
    codes = _read_codes(file, frames, coder.frames(samples), chunk_frames)
    signal = coder.signal(codes, samples).numpy()
    return Decoded(tuple(np.split(signal, np.cumsum(lengths)[:-1])), rate)


def symbols(codes: Tensor) -> bytes:
    """Codes (frames, codebooks) as bytes for the checksum: each a u32, frame by frame."""
    return codes.numpy().astype(CODE).tobytes()


def _read_settings(file: Container, most: int) -> tuple[int, int, int]:
    """Samples per second, codebooks and frames per chunk.

    Raises:
        BitstreamError: no encoder writes such settings.
    """
    rate, codebooks, chunk_frames = file.settings(3)
    if not rate or not chunk_frames or not 1 <= codebooks <= most:
        raise BitstreamError(f"{file.name} has settings that do not fit this model")
    return rate, codebooks, chunk_frames


def _read_codes(file: Container, coder: FrameCoder, frames: int, chunk_frames: int) -> Tensor:
    """All codes of a file, (frames, codebooks).

    Raises:
        BitstreamError: they differ from the written codes.
    """
    starts = range(0, frames, chunk_frames)
    if len(starts) != len(file.header.chunks) - 1:
        raise BitstreamError(f"{file.name} has settings that do not fit its chunks")
    parts = []
    for index, start in enumerate(starts, 1):
        part = coder.decode(file.payload(index), min(chunk_frames, frames - start))
        file.check_symbols(index, symbols(part))
        parts.append(part)
    return torch.cat(parts)
