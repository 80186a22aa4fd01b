r"""Rows as codes in a file; the decoder reconstructs the rows approximately.

::

    rows ──encoder──> codes ──tables──> payload ──the same tables──> codes ──decoder──> rows

The settings of the kind ``vector_quantized`` are varints: rows per chunk, and number of codebooks,
the coarsest first. A code costs -log2 of its share in the table; with a uniform
prior over K codes, this is log2 K bits. Checksums are over the codes and not the rows, because
the decoder uses floating-point numbers, whose last digit may differ between machines.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.compression import code_ranges, container, varint
from lowerbound.applications.compression.code_coders import coder_of
from lowerbound.applications.compression.container import Container
from lowerbound.applications.compression.lossless import CHUNK_ROWS, Progress, model_hash
from lowerbound.errors import BitstreamError
from lowerbound.inference.codes import used_codebooks
from lowerbound.models.vq_vae import VectorQuantizedVariationalAutoencoder
from lowerbound.priors.codes import CodePrior
from lowerbound.trace import Batch

KIND = "vector_quantized"
PASS_ROWS = 256


def write_rows(
    path: Path,
    model: VectorQuantizedVariationalAutoencoder,
    x: Tensor,
    *,
    codebooks: int | None = None,
    chunk_rows: int = CHUNK_ROWS,
    progress: Progress | None = None,
) -> None:
    """Write rows in model units, (rows, *event), as a file of codes.

    Args:
        path: output path.
        model: with priors in whole numbers.
        x: the rows.
        codebooks: number of codebooks to use, the coarsest first; None: all.
        chunk_rows: rows per stream.
        progress: called with (rows done, rows).

    Raises:
        OptionError: the model has fewer codebooks.
        OSError: the file cannot be written.
    """
    levels = used_codebooks(codebooks, len(model.quantizers))
    codes = quantized(model, x, levels, progress)
    coder = coder_of(model, levels)
    settings = varint.encode(min(chunk_rows, len(x))) + varint.encode(levels)
    chunks = []
    for rows in codes.split(chunk_rows):
        parts = [part for part, _ in _by_codebook(model, rows)]
        chunks.append((coder.encode(parts), zlib.crc32(symbols(rows))))
    container.write(path, KIND, model_hash(model), tuple(x.shape), settings, chunks)


@container.checked
def read_rows(
    file: Container,
    model: VectorQuantizedVariationalAutoencoder,
    progress: Progress | None = None,
) -> Tensor:
    """Decode a file's codes to rows, (rows, *event), model units.

    Raises:
        BitstreamError: the file is damaged, of another kind, or of another model.
    """
    codes = read_codes(file, model)
    parts = []
    for part in codes.split(PASS_ROWS):
        parts.append(reconstructed(model, part))
        if progress is not None:
            progress(sum(map(len, parts)), len(codes))
    return torch.cat(parts)


@container.checked
def read_codes(file: Container, model: VectorQuantizedVariationalAutoencoder) -> Tensor:
    """The codes of a file, (rows, all places); all numbers are checked.

    Raises:
        BitstreamError: the file is damaged, of another kind, or of another model.
    """
    file.expect(KIND, model_hash(model))
    rows, *event = file.header.shape
    if tuple(event) != tuple(model.likelihood.event_shape):
        raise BitstreamError(
            f"{file.name} claims rows of {event} numbers, but this model's rows have another shape"
        )
    chunk_rows, levels = _read_settings(file, model)
    coder = coder_of(model, levels)
    parts = []
    for index, start in enumerate(range(0, rows, chunk_rows)):
        count, payload = min(chunk_rows, rows - start), file.payload(index)
        if count * coder.least_bits > 8 * (len(payload) + code_ranges.SPARE):
            raise BitstreamError(f"{file.name} claims more rows than its bytes can hold")
        part = coder.decode(payload, count)
        file.check_symbols(index, symbols(part))
        parts.append(part)
    return torch.cat(parts)


@torch.no_grad()
def quantized(
    model: VectorQuantizedVariationalAutoencoder,
    x: Tensor,
    codebooks: int,
    progress: Progress | None = None,
) -> Tensor:
    """The codes of rows from the first codebooks, (rows, all places), int64.

    The order is by codebook, then by place, as in a file. All passes have one batch size.
    """
    parts: list[Tensor] = []
    model = copy.copy(model)
    model.depth = codebooks
    for start in range(0, len(x), PASS_ROWS):
        found = model.quantize(Batch(x[start : start + PASS_ROWS]))
        parts.append(torch.cat([codes.flatten(1) for codes in found], 1))
        if progress is not None:
            progress(min(start + PASS_ROWS, len(x)), len(x))
    return torch.cat(parts)


@torch.no_grad()
def reconstructed(model: VectorQuantizedVariationalAutoencoder, codes: Tensor) -> Tensor:
    """The likelihood's mean for codes (rows, all places) of the first codebooks, (rows, *event)."""
    by_level = [
        part.unflatten(1, prior.shape).unsqueeze(0) for part, prior in _by_codebook(model, codes)
    ]
    mean: Tensor = model.decode(model.vectors(by_level)).mean[0]
    return mean


def symbols(codes: Tensor) -> bytes:
    """Codes of 32 bits each, little-endian: row by row, codebook by codebook, place by place."""
    return codes.numpy().astype("<u4").tobytes()


def bits_of(model: VectorQuantizedVariationalAutoencoder, codes: Tensor) -> float:
    """Code length of codes (rows, all places): the sum of -log2 of their probabilities."""
    parts = [part for part, _ in _by_codebook(model, codes)]
    return coder_of(model, len(parts)).bits(parts)


def _by_codebook(
    model: VectorQuantizedVariationalAutoencoder, codes: Tensor
) -> Iterator[tuple[Tensor, CodePrior]]:
    """Codes (rows, all places) of the first codebooks, (rows, places) each, and their priors."""
    start = 0
    for prior in model.priors:
        assert isinstance(prior, CodePrior)
        if start < codes.shape[1]:
            end = start + math.prod(prior.shape)
            yield codes[:, start:end], prior
            start = end


def _read_settings(
    file: Container, model: VectorQuantizedVariationalAutoencoder
) -> tuple[int, int]:
    """Rows per chunk and number of codebooks.

    Raises:
        BitstreamError: they are invalid, or do not fit the chunks.
    """
    chunk_rows, levels = file.settings(2)
    chunks = -(-file.header.shape[0] // chunk_rows) if chunk_rows else 0
    if chunks != len(file.header.chunks) or not 1 <= levels <= len(model.quantizers):
        raise BitstreamError(f"{file.name} has settings that do not fit its chunks or the model")
    return chunk_rows, levels
