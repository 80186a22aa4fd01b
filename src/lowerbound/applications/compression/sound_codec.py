"""Clips of sound as codes in a file; the decoder reconstructs the clips approximately.

::

    clips ──end to end──> signal ──> codes ──whole-number tables──> payload
    payload ──> codes ──> signal ──> clips

The settings of the kind ``audio`` are varints: samples per second, number of codebooks (the
coarsest of the model's), and frames per chunk. The first chunk holds the length of each clip as a
varint. Each other chunk is a stack of words (``stack``) with the codes of its frames, one
codebook under the next. Symbols are the lengths as stored, and the codes. The sound is not
checked, because floating-point numbers may differ in the last digit between machines.

A code costs -log2 of its share in the table of its codebook. This table is the model's prior over
all places together, in whole numbers from the first step on: see ``CodePrior.tally``. A prior whose
codes depend on each other has no such table. The frames of a chunk are then cut into rows as long
as those of training, and coded as rows are: see ``context_models``.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound import untrusted
from lowerbound.applications.compression import container, context_models, stack, varint
from lowerbound.applications.compression.code_ranges import SPARE
from lowerbound.applications.compression.container import KIND, Container, clip_lengths
from lowerbound.applications.compression.context_models import (
    WholeCodes,
    in_whole_numbers,
    least_bits,
)
from lowerbound.applications.compression.lossless import model_hash
from lowerbound.applications.compression.stack import CodingTable, Stack, whole_shares
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError
from lowerbound.inference.sound_codes import SoundCoder
from lowerbound.models.base import Model
from lowerbound.models.vq_vae import VectorQuantizedVariationalAutoencoder
from lowerbound.priors.codes import CodePrior

CHUNK_FRAMES = 1 << 15
CODE = np.dtype("<u4")


class FrameCoder(ABC):
    """Codes of frames to bytes and back."""

    @abstractmethod
    def encode(self, codes: Tensor) -> bytes:
        """The bytes of codes, (frames, codebooks)."""

    @abstractmethod
    def decode(self, payload: bytes, frames: int) -> Tensor:
        """The codes, (frames, codebooks).

        Raises:
            BitstreamError: the bytes name no such codes.
        """


def frame_coder(model: VectorQuantizedVariationalAutoencoder, codebooks: int) -> FrameCoder:
    """The coder of the first codebooks of a model of sound."""
    priors = [prior for prior in model.priors if isinstance(prior, CodePrior)][:codebooks]
    whole = [each for each in map(in_whole_numbers, priors) if each is not None]
    return ContextFrames(whole) if whole else TableFrames(code_tables(model, codebooks))


class TableFrames(FrameCoder):
    """Codes under one table of each codebook.

    Args:
        tables: of each codebook.
    """

    def __init__(self, tables: Sequence[CodingTable]) -> None:
        self.tables = tables

    def encode(self, codes: Tensor) -> bytes:
        return encoded(codes, self.tables)

    def decode(self, payload: bytes, frames: int) -> Tensor:
        return decoded(payload, frames, self.tables)


class ContextFrames(FrameCoder):
    """Codes that depend on each other, in rows of as many frames as the prior has places.

    Args:
        priors: of each codebook, all of one map.
    """

    def __init__(self, priors: Sequence[WholeCodes]) -> None:
        self.priors = priors
        (self.places,) = priors[0].shape

    def encode(self, codes: Tensor) -> bytes:
        padded = F.pad(codes, (0, 0, 0, -len(codes) % self.places))
        levels = [each.unflatten(0, (-1, self.places)) for each in padded.unbind(1)]
        return context_models.encode(levels, self.priors, self._last(len(codes)))

    def decode(self, payload: bytes, frames: int) -> Tensor:
        least = frames * sum(least_bits(prior.codes) for prior in self.priors)
        if least > 8 * (len(payload) + SPARE):
            raise BitstreamError("the stream claims more frames than its bytes can hold")
        rows = -(-frames // self.places)
        levels = context_models.decode(payload, rows, self.priors, self._last(frames))
        return torch.stack([each.flatten()[:frames] for each in levels], 1)

    def _last(self, frames: int) -> int:
        """Frames of the last row."""
        return (frames - 1) % self.places + 1


def code_tables(model: VectorQuantizedVariationalAutoencoder, codebooks: int) -> list[CodingTable]:
    """The table of each used codebook, shared by all frames."""
    priors = [prior for prior in model.priors if isinstance(prior, CodePrior)]
    return [CodingTable(whole_shares(prior.tally().numpy())) for prior in priors[:codebooks]]


def encoded(codes: Tensor, tables: Sequence[CodingTable]) -> bytes:
    """Codes (frames, codebooks) as a stack of words."""
    empty = Stack(np.zeros(0, np.uint32))
    for level, table in zip(reversed(codes.unbind(1)), reversed(tables), strict=True):
        empty.push_table(level.numpy(), table)
    return stack.to_bytes(empty.words())


def decoded(payload: bytes, frames: int, tables: Sequence[CodingTable]) -> Tensor:
    """The codes, (frames, codebooks), of a stack of words.

    Raises:
        BitstreamError: the stack is invalid.
    """
    words = stack.from_bytes(payload) if payload else np.zeros(0, np.uint32)
    full = Stack(words)
    levels = [torch.from_numpy(full.pop_table(frames, table).astype(np.int64)) for table in tables]
    return torch.stack(levels, 1)


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
