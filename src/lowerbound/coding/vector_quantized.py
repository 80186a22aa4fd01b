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
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound.coding import code_bits, code_ranges
from lowerbound.coding.code_tables import TableCodes
from lowerbound.coding.files import container, varint
from lowerbound.coding.files.container import Container
from lowerbound.coding.lossless import CHUNK_ROWS, Progress, model_hash
from lowerbound.coding.refusals import used_codebooks
from lowerbound.coding.stack import PRECISION, CodingTable
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError
from lowerbound.models import VectorQuantizedVariationalAutoencoder
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
    coder = _Coder(model, levels)
    settings = varint.encode(min(chunk_rows, len(x))) + varint.encode(levels)
    chunks = [(coder.encode(part), zlib.crc32(symbols(part))) for part in codes.split(chunk_rows)]
    container.write(path, KIND, model_hash(model), tuple(x.shape), settings, chunks)


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
    coder = _Coder(model, levels)
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
    """Code length of codes (rows, all places) by the tables: the sum of -log2 of their shares."""
    logs = [
        prior.tables.double().log2().gather(1, part.T).sum()
        for part, prior in _by_codebook(model, codes)
    ]
    return PRECISION * codes.numel() - float(torch.stack(logs).sum())


class _Coder:
    """Codes (rows, all places) to bytes and back, one column per place of a codebook."""

    def __init__(self, model: VectorQuantizedVariationalAutoencoder, levels: int) -> None:
        self.counts = [prior.tables for prior in _priors(model)[:levels]]
        self.bits = _even_bits(self.counts)
        self.tables = [] if self.bits else list(_tables(self.counts))

    @property
    def least_bits(self) -> float:
        """Bits of the most likely codes of a row."""
        most = torch.cat([counts.amax(1) for counts in self.counts])
        return float((PRECISION - most.double().log2()).sum())

    def encode(self, codes: Tensor) -> bytes:
        columns: list[Array] = list(codes.T.numpy())
        if self.bits:
            return code_bits.encode(columns, self.bits)
        return code_ranges.encode(columns, self.tables)

    def decode(self, payload: bytes, rows: int) -> Tensor:
        if self.bits:
            columns = code_bits.decode(payload, rows, sum(map(len, self.counts)), self.bits)
        else:
            columns = code_ranges.decode(payload, rows, self.tables)
        return torch.from_numpy(np.stack(columns, 1).astype(np.int64))


def _priors(model: VectorQuantizedVariationalAutoencoder) -> list[TableCodes]:
    """Prior of each codebook, in whole numbers."""
    priors = [prior for prior in model.priors if isinstance(prior, TableCodes)]
    assert len(priors) == len(model.priors), "the model is not in whole numbers"
    return priors


def _by_codebook(
    model: VectorQuantizedVariationalAutoencoder, codes: Tensor
) -> Iterator[tuple[Tensor, TableCodes]]:
    """Codes (rows, all places) of the first codebooks, (rows, places) each, and their priors."""
    start = 0
    for prior in _priors(model):
        if start < codes.shape[1]:
            end = start + len(prior.tables)
            yield codes[:, start:end], prior
            start = end


def _even_bits(counts: Sequence[Tensor]) -> int:
    """b if every code of every table has the share 2 ** -b, otherwise 0."""
    first = int(counts[0][0, 0])
    even = all(bool((table == first).all()) for table in counts)
    return PRECISION + 1 - first.bit_length() if even else 0


def _tables(counts: Sequence[Tensor]) -> Iterator[CodingTable]:
    """One table per place of each codebook; places with a common table share the object."""
    for level in counts:
        made: dict[int, CodingTable] = {}
        for place in level:
            if place.data_ptr() not in made:
                made[place.data_ptr()] = CodingTable(place.numpy())
            yield made[place.data_ptr()]


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
