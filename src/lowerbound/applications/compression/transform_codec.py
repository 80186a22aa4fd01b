"""Pictures in a file and back: range-coded rounded coefficients of a transform coder.

The coefficients are coded under stored tables of rounded logistic variables. Only the output of the
prior's networks affects the bits. They run in whole numbers (``exact_layers``), and their output
selects one of the tables. The transform and the decoder's correction keep floating-point numbers.
The encoder runs before coding starts and the decoder after all coefficients are known, so checksums
are over the coefficients.

The settings of the kind ``transform`` are varints: the level of the step, and the side of a tile
in pixels. A larger picture is cut into tiles, row by row; each tile of each picture is a chunk. The
kind ``transform_steps`` has a third setting, the unit of a map of steps (``step_map``), which
comes before the coefficients of each chunk.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.applications.compression import container, varint
from lowerbound.applications.compression.container import Container
from lowerbound.applications.compression.exact_layers import exact_layers_in, ranges_in
from lowerbound.applications.compression.header import HASH_BYTES
from lowerbound.applications.compression.logistic_tables import (
    REACHES,
    Coded,
    Tables,
    all_counts,
    coded_by,
)
from lowerbound.applications.compression.lossless import Progress, model_hash
from lowerbound.applications.compression.picture_tiles import (
    WHOLE,
    Tile,
    side_of,
    tiles_of_pictures,
    tiles_of_side,
)
from lowerbound.applications.compression.stack import constriction
from lowerbound.applications.compression.step_map import (
    COARSEST,
    UNIT,
    TilePlan,
    check_tune,
    levels_of,
    put_map,
    take_map,
    tile_plans,
)
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.pictures.pixels import eight_bit, in_units
from lowerbound.errors import BitstreamError, OptionError, UnsupportedError
from lowerbound.models.base import Model
from lowerbound.models.powers import name_of
from lowerbound.models.transform import STEPS, KnownCoefficients, TransformCoder
from lowerbound.networks.processor import return_memory
from lowerbound.trace import Batch, Mean

HALF, HALF_BITS = 1 << 31, 16  # numbers beyond a table, written as two halves of 32 bits
KIND, WITH_STEPS = "transform", "transform_steps"
REAL_BYTES = 4  # of a real number in the settings
CALIBRATION_ROWS = 40  # pictures from which ranges of inputs are observed
CALIBRATION_NUMBERS = 2**22


def put(coder: Any, numbers: Array, coded: Coded, tables: Tables) -> None:
    """Encode numbers grouped by table, then the numbers beyond the tables."""
    entries = numbers.astype(np.int64) - coded.first  # numbers may have all 32 bits
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


def take(coder: Any, coded: Coded, tables: Tables) -> Array:
    """Decode the numbers that ``put`` encoded, int32."""
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
    """The quality of a level: 100 for the finest step, 0 for the coarsest and beyond."""
    return max(0, round(100 * (1 - level / COARSEST)))


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
    tune: str = "psnr",
) -> None:
    """Write pictures of one size, (rows, channels, height, width), model units.

    Args:
        path: output path.
        model: exported.
        x: the pictures; one channel: grey ones, which a model of colors writes too.
        level: level of the step, 0 to ``step_map.LAST``; None: the model's own.
        chunks: result of ``encoded`` at that level and tune, if it is known.
        tune: "psnr": least squared error; "ssim": most structural similarity.

    Raises:
        OptionError: there is no such tune.
    """
    level = model.level if level is None else level
    chunks = encoded(model, x, level, tune) if chunks is None else chunks
    kind, settings = _kind_and_settings(x, level, tune)
    container.write(path, kind, model_hash(model), tuple(x.shape), settings, chunks)


def file_size(x: Tensor, level: int, chunks: Sequence[tuple[bytes, int]], tune: str) -> int:
    """Bytes of the file that ``write_pictures`` writes, whose header grows with the chunks."""
    kind, settings = _kind_and_settings(x, level, tune)
    return len(container.pack(kind, bytes(HASH_BYTES), tuple(x.shape), settings, chunks))


@torch.no_grad()
def encoded(
    model: TransformCoder,
    x: Tensor,
    level: int,
    tune: str = "psnr",
    back: Array | None = None,
    shown: Collection[Tile] | None = None,
) -> list[tuple[bytes, int]]:
    """The chunks of pictures: payload, and checksum of its numbers.

    Args:
        model: exported.
        x: (rows, channels, height, width), model units or 8 bits.
        level: of the step.
        tune: "psnr" or "ssim".
        back: receives the pictures that a reader will get, (rows, height, width, channels) uint8.
        shown: the tiles that it receives; None: all.

    Raises:
        OptionError: there is no such tune.
    """
    check_tune(tune)
    colors = model.likelihood.event_shape[0]
    tables = Tables(model.counts)  # type: ignore[arg-type]
    chunks = []
    part = partial(_part, x, colors)
    for row, of_row in groupby(tiles_of_pictures(x.shape), attrgetter("row")):
        tiles = list(of_row)
        plans = tile_plans(model, partial(map, part, tiles), tune, level)
        for tile in tiles:
            wanted = back is not None and (shown is None or tile in shown)
            into = tile.in_picture(back[row]) if back is not None and wanted else None
            chunks.append(_chunk(model, part(tile), next(plans), tables, into))
            return_memory()
    return chunks


@torch.no_grad()
@container.checked
def read_pictures(file: Container, model: TransformCoder) -> Tensor:
    """Decode the pictures of a file, model units; all numbers are checked.

    Pictures that were written with one channel are grey: the mean of the model's colors.

    Raises:
        BitstreamError: the file is damaged, of another kind, or of another model.
    """
    settings = _settings(file, model, REAL_BYTES)  # before a file can ask for memory
    answer = torch.zeros(file.header.shape)
    for tile, found in _read_tiles(file, model, settings):
        tile.of(answer).copy_(found)
    return answer


@torch.no_grad()
@container.checked
def read_eight_bit(
    file: Container,
    model: TransformCoder,
    progress: Progress | None = None,
    shown: Collection[Tile] | None = None,
) -> Array:
    """``read_pictures`` in 8 bits, (rows, height, width, channels); needs far less memory.

    Args:
        file, model: as for ``read_pictures``.
        progress: called after each tile.
        shown: the tiles to read; the others stay black. None: all.

    Raises:
        BitstreamError: as for ``read_pictures``.
    """
    settings = _settings(file, model, 1)
    rows, channels, height, width = file.header.shape
    answer = np.zeros((rows, height, width, channels), np.uint8)
    for tile, found in _read_tiles(file, model, settings, progress, shown):
        tile.in_picture(answer[tile.row])[:] = eight_bit(found)[0]
    return answer


def _read_tiles(
    file: Container,
    model: TransformCoder,
    settings: tuple[int, int, int | None],
    progress: Progress | None = None,
    shown: Collection[Tile] | None = None,
) -> Iterator[tuple[Tile, Tensor]]:
    """Each tile with its pixels, (1, channels, *size), model units."""
    level, side, unit = settings
    tables = Tables(model.counts)  # type: ignore[arg-type]
    tiles = list(tiles_of_side(file.header.shape, side))
    for index, tile in enumerate(tiles):
        if shown is not None and tile not in shown:
            continue
        payload = file.payload(index)
        known, numbers = _decode_tile(model, payload, tile.size, level, unit, tables)
        file.check_symbols(index, numbers)
        yield tile, _decoded(model, known, tile.size, file.header.shape[1])
        if progress is not None:
            progress(index + 1, len(tiles))
    return_memory()


def _decoded(
    model: TransformCoder, known: KnownCoefficients, size: Sequence[int], channels: int
) -> Tensor:
    """The pixels of a tile, (1, channels, *size); one channel: the mean of the colors."""
    found = model.pictures(known, size)
    return found if channels > 1 else found.mean(1, keepdim=True)


def _part(x: Tensor, colors: int, tile: Tile) -> Tensor:
    """A tile of pictures in all colors, model units."""
    return in_units(tile.of(x)).expand(-1, colors, -1, -1)


def _chunk(
    model: TransformCoder, x: Tensor, plan: TilePlan, tables: Tables, back: Array | None
) -> tuple[bytes, int]:
    """The chunk of a tile; ``back`` receives its pixels, (height, width, channels) uint8."""
    payload, numbers, known = _encode_tile(model, x, plan, tables)
    if back is not None:
        back[:] = eight_bit(_decoded(model, known, back.shape[:2], back.shape[2]))[0]
    return payload, zlib.crc32(numbers)


def _encode_tile(
    model: TransformCoder, x: Tensor, plan: TilePlan, tables: Tables
) -> tuple[bytes, bytes, KnownCoefficients]:
    """The payload of a tile, the bytes of its numbers, and its coefficients."""
    known = model.begin(plan.level, x.shape[2:])
    wanted, numbers = model.wanted(x, known), []
    coder = constriction().stream.queue.RangeEncoder()
    if plan.entries is not None:
        entries = plan.entries.numpy().astype("<i4")
        put_map(coder, entries)
        numbers.append(entries.ravel())
    for index in range(model.turns):
        expected = model.expected(known, index)
        z = model.rounded(wanted, expected, index, plan.worth)
        numbers.append(z.flatten().numpy().astype("<i4"))
        put(coder, numbers[-1], coded_by(expected), tables)
        known = model.settle(known, index, z, expected)
    payload: bytes = coder.get_compressed().astype("<u4").tobytes()
    return payload, np.concatenate(numbers).tobytes(), known


def _decode_tile(
    model: TransformCoder,
    payload: bytes,
    size: tuple[int, int],
    level: int,
    unit: int | None,
    tables: Tables,
) -> tuple[KnownCoefficients, bytes]:
    """The coefficients of a tile, and the bytes of its numbers.

    Args:
        unit: of the map of steps; None: there is none.
    """
    if len(payload) % 4:
        raise BitstreamError("the stream is no row of 32-bit words")
    coder = constriction().stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype("u4"))
    known, numbers = model.begin(torch.tensor([level]), size), []
    try:
        if unit is not None:
            numbers.append(take_map(coder, *known.blocks))
            levels = levels_of(torch.from_numpy(numbers[0]), level, unit)
            known = model.begin(levels[None], size)
        for index in range(model.turns):
            expected = model.expected(known, index)
            numbers.append(take(coder, coded_by(expected), tables))
            z = torch.from_numpy(numbers[-1].astype(np.float32)).view(expected.location.shape)
            known = model.settle(known, index, z, expected)
    except (AssertionError, ValueError) as error:  # constriction's error for invalid data
        raise BitstreamError("the stream holds no valid numbers of this model") from error
    return known, np.concatenate([part.ravel() for part in numbers]).tobytes()


def _kind_and_settings(x: Tensor, level: int, tune: str) -> tuple[str, bytes]:
    """The kind and the settings of a file of pictures."""
    settings = varint.encode(min(level, COARSEST)) + varint.encode(side_of(x.shape))
    if tune == "ssim":
        return WITH_STEPS, settings + varint.encode(UNIT)
    return KIND, settings


def _settings(
    file: Container, model: TransformCoder, bytes_per_number: int
) -> tuple[int, int, int | None]:
    """Level, tile and unit of the map of steps (None: no map) of a file of this model.

    Raises:
        BitstreamError: it is of another model, its settings are invalid, or its pictures need more
            memory than the limit.
    """
    with_steps = file.header.kind == WITH_STEPS
    file.expect(WITH_STEPS if with_steps else KIND, model_hash(model))
    level, side, *units = file.settings(3 if with_steps else 2)
    unit = units[0] if units else None
    shape, channels = file.header.shape, model.likelihood.event_shape[0]
    if len(shape) != 4 or shape[1] not in (1, channels):
        raise BitstreamError(
            f"{file.name} claims pictures {shape}, but this model's rows have another shape"
        )
    odd = side % model.transform.block or (unit is not None and not 1 <= unit <= COARSEST)
    if level >= STEPS or not side or side > WHOLE or odd:
        raise BitstreamError(f"{file.name} has invalid settings")
    tiles = shape[0] * -(-shape[2] // side) * -(-shape[3] // side)
    if tiles != len(file.header.chunks):
        raise BitstreamError(f"{file.name} has settings that do not fit its chunks")
    needed = bytes_per_number * file.header.symbols
    untrusted.check_memory(needed, file.name, BitstreamError)
    return level, side, unit


def _copied(model: Model) -> TransformCoder:
    check_transform(model)
    exported = copy.deepcopy(model).cpu().float().eval()
    assert isinstance(exported, TransformCoder)
    exported.snaps = True
    exported.decoder.short = True
    exported.register_buffer("counts", all_counts().clone())
    return exported.requires_grad_(False)
