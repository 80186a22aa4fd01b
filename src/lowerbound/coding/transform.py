"""Write pictures to a file and read them: range-coded rounded coefficients of a transform coder.

Only the output of the prior's networks affects the bits. They run in whole numbers
(``lowerbound.coding.whole_numbers.exact_layers``), and their output selects one of the tables that
are stored with the model. The transform and the decoder's correction keep floating-point numbers.
The encoder runs before coding starts and the decoder after all coefficients are known, so
checksums are over the coefficients.

The settings of the kind ``transform`` are varints: the level of the step, and the side of a tile
in pixels. A larger picture is cut into tiles, row by row; each tile of each picture is a chunk.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.coding.files import container, varint
from lowerbound.coding.files.container import Container
from lowerbound.coding.lossless import Progress, model_hash
from lowerbound.coding.stack import constriction
from lowerbound.coding.whole_numbers.layer_ranges import exact_layers_in, ranges_in
from lowerbound.coding.whole_numbers.logistic_tables import (
    REACHES,
    Coded,
    Tables,
    all_counts,
    coded_by,
)
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.errors import BitstreamError, OptionError, UnsupportedError
from lowerbound.models import Model, TransformCoder, name_of
from lowerbound.models.known_coefficients import KnownCoefficients
from lowerbound.models.transform import STEPS
from lowerbound.trace import Batch, Mean

KIND = "transform"
COARSEST = STEPS - 1  # level of the step; 0 is the finest
TILE = 1024  # pixels of a side
MOST_NUMBERS = 2**28  # of a file's pictures
CALIBRATION_ROWS = 40
CALIBRATION_NUMBERS = 2**22
HALF, HALF_BITS = 1 << 31, 16  # numbers beyond a table, written as two halves of 32 bits


def is_transform(model: Model) -> bool:
    """Whether the model can write pictures with this module."""
    return isinstance(model, TransformCoder)


def check_transform(model: Model) -> None:
    """Raise UnsupportedError if the model cannot write pictures with this module."""
    if not is_transform(model):
        raise UnsupportedError(f"{name_of(model)} is no transform coder")


@torch.no_grad()
def export_transform(model: Model, rows: Dataset, seed: int = 0) -> TransformCoder:
    """Copy the model, with its prior in whole numbers, to the CPU in evaluation mode.

    Args:
        model: a transform coder.
        rows: training rows, which calibrate the ranges of the layers' inputs.
        seed: not used, because nothing is drawn.
    """
    exported = _copied(model)
    few = rows.thinned(min(CALIBRATION_ROWS, max(1, CALIBRATION_NUMBERS // rows.schema.dimension)))
    x = few.all().filled
    with ranges_in(exported.contexts) as ranges:
        for level in range(0, STEPS, STEPS // 4):
            exported.level = level
            exported(Batch(x), Mean())
    exported.level = model.level  # type: ignore[assignment]
    exact_layers_in(exported.contexts, ranges)
    return exported


def bare_transform(model: Model) -> TransformCoder:
    """Structure of an exported model, into which its tensors can be loaded."""
    exported = _copied(model)
    exact_layers_in(exported.contexts, {})
    return exported


def quality_of(level: int) -> int:
    """The quality of a level of the step: 100 for the finest level, 0 for the coarsest."""
    return round(100 * (1 - level / COARSEST))


def level_of(quality: int) -> int:
    """The level of a quality.

    Raises:
        OptionError: it is not from 0 to 100.
    """
    if not 0 <= quality <= 100:
        raise OptionError(f"quality is from 0 to 100, not {quality}")
    return round((1 - quality / 100) * COARSEST)


def invents(model: Model) -> bool:
    """Whether decoded pictures have texture that the decoder added."""
    return isinstance(model, TransformCoder) and model.decoder.grain is not None


def write_pictures(
    path: Path,
    model: TransformCoder,
    x: Tensor,
    level: int | None = None,
    chunks: Sequence[tuple[bytes, int]] | None = None,
) -> None:
    """Write pictures of one size, (rows, channels, height, width), model units.

    Args:
        path: output path.
        model: exported.
        x: the pictures; one channel: grey ones, which a model of colors writes too.
        level: level of the step; None: the model's own.
        chunks: result of ``encoded`` at that level, if it is known.
    """
    level = model.level if level is None else level
    chunks = encoded(model, x, level) if chunks is None else chunks
    settings = varint.encode(level) + varint.encode(TILE)
    container.write(path, KIND, model_hash(model), tuple(x.shape), settings, chunks)


@torch.no_grad()
def encoded(model: TransformCoder, x: Tensor, level: int) -> list[tuple[bytes, int]]:
    """The chunks of pictures: payload, and checksum of its coefficients."""
    x = x.expand(-1, model.likelihood.event_shape[0], -1, -1)
    tables = Tables(model.counts)  # type: ignore[arg-type]
    return [_encode_tile(model, tile.of(x), level, tables) for tile in _tiles(x.shape, TILE)]


@torch.no_grad()
@container.checked
def read_pictures(
    file: Container, model: TransformCoder, progress: Progress | None = None
) -> Tensor:
    """Decode the pictures of a file, model units; all numbers are checked.

    Pictures that were written with one channel are grey: the mean of the model's colors.

    Raises:
        BitstreamError: the file is damaged, of another kind, or of another model.
    """
    level, side = _settings(file, model)
    rows, channels, height, width = file.header.shape
    tables = Tables(model.counts)  # type: ignore[arg-type]
    answer = torch.zeros(rows, model.likelihood.event_shape[0], height, width)
    tiles = list(_tiles(file.header.shape, side))
    for index, tile in enumerate(tiles):
        payload = file.payload(index)
        known, numbers = _decode_tile(model, payload, tile.size, level, tables)
        file.check_symbols(index, numbers)
        tile.of(answer).copy_(model.pictures(known, tile.size))
        if progress is not None:
            progress(index + 1, len(tiles))
    return answer if channels > 1 else answer.mean(1, keepdim=True)


@dataclass(frozen=True)
class _Tile:
    """A part of one picture."""

    row: int
    top: int
    left: int
    size: tuple[int, int]

    def of(self, x: Tensor) -> Tensor:
        """The part, (1, channels, *size), a view."""
        down, across = self.size
        rows = x[self.row : self.row + 1]
        return rows[:, :, self.top : self.top + down, self.left : self.left + across]


def _tiles(shape: Sequence[int], side: int) -> Iterator[_Tile]:
    rows, _, height, width = shape
    for row, top, left in product(range(rows), range(0, height, side), range(0, width, side)):
        yield _Tile(row, top, left, (min(side, height - top), min(side, width - left)))


def _encode_tile(model: TransformCoder, x: Tensor, level: int, tables: Tables) -> tuple[bytes, int]:
    size = (x.shape[2], x.shape[3])
    known = model.begin(torch.tensor([level]), size)
    wanted, numbers = model.wanted(x, known), []
    coder = constriction().stream.queue.RangeEncoder()
    for index in range(model.turns):
        expected = model.expected(known, index)
        z = model.rounded(wanted, expected, index)
        numbers.append(z.flatten().numpy().astype("<i4"))
        _put(coder, numbers[-1], coded_by(expected), tables)
        known = model.settle(known, index, z, expected)
    payload: bytes = coder.get_compressed().astype("<u4").tobytes()
    return payload, zlib.crc32(np.concatenate(numbers).tobytes())


def _decode_tile(
    model: TransformCoder,
    payload: bytes,
    size: tuple[int, int],
    level: int,
    tables: Tables,
) -> tuple[KnownCoefficients, bytes]:
    if len(payload) % 4:
        raise BitstreamError("the stream is no row of 32-bit words")
    coder = constriction().stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype("u4"))
    known, numbers = model.begin(torch.tensor([level]), size), []
    for index in range(model.turns):
        expected = model.expected(known, index)
        try:
            numbers.append(_take(coder, coded_by(expected), tables))
        except (AssertionError, ValueError) as error:  # constriction's error for invalid data
            raise BitstreamError("the stream holds no valid numbers of this model") from error
        z = torch.from_numpy(numbers[-1].astype(np.float32)).view(expected.location.shape)
        known = model.settle(known, index, z, expected)
    return known, np.concatenate(numbers).tobytes()


def _put(coder: Any, numbers: Array, coded: Coded, tables: Tables) -> None:
    """Encode numbers grouped by table, then the numbers beyond the tables."""
    entries = numbers.astype(np.int64) - coded.first
    last = 2 * REACHES[coded.table] + 1
    beyond = (entries < 0) | (entries >= last)
    order, parts = _by_table(coded.table)
    ordered = np.where(beyond, last, entries).astype(np.int32)[order]
    for table, part in parts:
        coder.encode(ordered[part], tables[table].model)
    far = numbers[beyond].astype(np.int64) + HALF
    if len(far):
        halves = np.concatenate([far >> HALF_BITS, far & ((1 << HALF_BITS) - 1)])
        coder.encode(halves.astype(np.int32), _uniform())


def _take(coder: Any, coded: Coded, tables: Tables) -> Array:
    """Decode the numbers that ``_put`` encoded, int32."""
    order, parts = _by_table(coded.table)
    found = [coder.decode(tables[table].model, part.stop - part.start) for table, part in parts]
    entries = np.empty(len(order), np.int64)
    entries[order] = np.concatenate([np.empty(0, np.int32), *found])
    beyond = entries > 2 * REACHES[coded.table]
    numbers = entries + coded.first
    count = int(beyond.sum())
    if count:
        high, low = coder.decode(_uniform(), 2 * count).astype(np.int64).reshape(2, count)
        numbers[beyond] = (high << HALF_BITS) + low - HALF
    return numbers.astype("<i4")


def _by_table(tables: Array) -> tuple[Array, list[tuple[int, slice]]]:
    """An order that groups numbers by table, and the slice of each table."""
    order = np.argsort(tables.astype(np.int16), kind="stable")  # radix sort, by far the fastest
    ordered = tables[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
    parts = map(slice, starts, [*starts[1:], len(order)])
    return order, list(zip(ordered[starts].tolist(), parts, strict=True))


def _uniform() -> Any:
    return constriction().stream.model.Uniform(1 << HALF_BITS)


def _settings(file: Container, model: TransformCoder) -> tuple[int, int]:
    """Level and tile of a file of this model.

    Raises:
        BitstreamError: it is of another model, or its settings are invalid.
    """
    file.expect(KIND, model_hash(model))
    level, side = file.settings(2)
    shape, channels = file.header.shape, model.likelihood.event_shape[0]
    if len(shape) != 4 or shape[1] not in (1, channels) or file.header.symbols > MOST_NUMBERS:
        raise BitstreamError(
            f"{file.name} claims pictures {shape}, but this model's rows have another shape"
        )
    if level >= STEPS or not side or side > TILE or side % model.transform.block:
        raise BitstreamError(f"{file.name} has invalid settings")
    tiles = shape[0] * -(-shape[2] // side) * -(-shape[3] // side)
    if tiles != len(file.header.chunks):
        raise BitstreamError(f"{file.name} has settings that do not fit its chunks")
    return level, side


def _copied(model: Model) -> TransformCoder:
    check_transform(model)
    exported = copy.deepcopy(model).cpu().float().eval()
    assert isinstance(exported, TransformCoder)
    exported.snaps = True
    exported.register_buffer("counts", all_counts().clone())
    return exported.requires_grad_(False)
