"""Rows in a file and back, without loss: streams of bits-back coding in a container.

The settings of the kind ``bits_back`` are varints: rows per chunk, and the plan's numbers. Each
chunk has this number of rows, the last one the remainder. Pictures of any size are cut into tiles
of the model's size:

::

    pictures ──cut──> tiles ──lossless──> file ──> tiles ──joined──> pictures

Tiles at the right and bottom repeat the picture's border, and joining cuts it off. In the kind
``bits_back_tiles`` the first chunk holds (height, width) of each picture as varints, and its
symbols are the same bytes. Rows are the tiles, picture by picture, row by row.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.compression import container, varint
from lowerbound.applications.compression.bits_back import (
    LEAST_SEED,
    MOST_DIVISOR,
    StackPlan,
    Stream,
    decode_rows,
    encode_rows,
    symbols,
)
from lowerbound.applications.compression.container import Container
from lowerbound.applications.compression.header import HASH_BYTES, MOST_SETTINGS
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError
from lowerbound.models.base import Model

TILES_KIND = "bits_back_tiles"
Size = tuple[int, int]  # (height, width)
KIND = "bits_back"
CHUNK_ROWS = 1 << 16
Progress = Callable[[int, int], None]


def tiles_in(size: Size, side: Size) -> int:
    """Number of tiles of ``side`` that cover a picture of ``size``."""
    return -(-size[0] // side[0]) * -(-size[1] // side[1])


def cut(picture: Array, side: Size) -> Array:
    """The tiles of a picture (height, width, channels), (n, *side, channels)."""
    around = [(0, -length % part) for length, part in zip(picture.shape, side, strict=False)]
    whole = np.pad(picture, [*around, (0, 0)], mode="edge")
    down, across = (length // part for length, part in zip(whole.shape, side, strict=False))
    parts = whole.reshape(down, side[0], across, side[1], -1).swapaxes(1, 2)
    return parts.reshape(down * across, *side, -1)


def joined(tiles: Array, size: Size) -> Array:
    """Join tiles to the picture of ``size``, (*size, channels)."""
    _, high, wide, channels = tiles.shape
    down, across = -(-size[0] // high), -(-size[1] // wide)
    parts = tiles.reshape(down, across, high, wide, channels).swapaxes(1, 2)
    return parts.reshape(down * high, across * wide, channels)[: size[0], : size[1]]


def pack_sizes(sizes: Sequence[Size]) -> bytes:
    """Sizes of pictures as varints."""
    return b"".join(varint.encode(length) for size in sizes for length in size)


def read_sizes(file: Container) -> list[Size]:
    """(height, width) of each picture of a file.

    The number of tiles must equal that in the header, so no picture is larger than its tiles.

    Raises:
        BitstreamError: the sizes are damaged, or do not fit the tiles.
    """
    rows, *event = file.header.shape
    if len(event) != 3 or file.header.chunks[0].length > 2 * varint.LONGEST * rows:
        raise BitstreamError(f"{file.name} claims more pictures than it has tiles")
    payload = file.payload(0)
    file.check_symbols(0, payload)
    try:
        numbers = varint.decode_all(payload)
    except ValueError as error:
        raise BitstreamError(f"{file.name} has pictures with invalid sizes") from error
    if len(numbers) % 2 or 0 in numbers:
        raise BitstreamError(f"{file.name} has pictures with invalid sizes")
    sizes = list(zip(numbers[::2], numbers[1::2], strict=True))
    if sum(tiles_in(size, (event[1], event[2])) for size in sizes) != rows:
        raise BitstreamError(f"{file.name} has pictures whose sizes do not fit its {rows:,} tiles")
    return sizes


def model_hash(model: Model) -> bytes:
    """The first 8 bytes of the SHA-256 of an exported model's tensors, in the order of their names:
    name, type, sizes and little-endian values of each."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        values = value.numpy()
        digest.update(f"{name} {values.dtype.name} {values.shape}\n".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:HASH_BYTES]


def write_rows(
    path: Path,
    model: Model,
    x: Tensor,
    *,
    sizes: Sequence[Size] = (),
    chunk_rows: int = CHUNK_ROWS,
    progress: Progress | None = None,
) -> None:
    """Write rows in model units, (rows, *event), as a file.

    Args:
        path: output path.
        model: in whole numbers.
        x: the rows, on the likelihood's levels.
        sizes: sizes of the pictures whose tiles the rows are; empty: rows are rows.
        chunk_rows: rows per stream; each stream has starting costs.
        progress: called with (rows done, rows).

    Raises:
        UnsupportedError: the model's latents take too many bits.
        OSError: the file cannot be written.
    """
    streams = _streams(model, x, chunk_rows, progress)
    settings = varint.encode(min(chunk_rows, len(x))) + streams[0].plan.to_bytes()
    chunks = [(stream.payload, stream.checksum) for stream in streams]
    if sizes:
        listed = pack_sizes(sizes)
        chunks.insert(0, (listed, zlib.crc32(listed)))
    kind = TILES_KIND if sizes else KIND
    container.write(path, kind, model_hash(model), tuple(x.shape), settings, chunks)


@container.checked
def read_rows(file: Container, model: Model, progress: Progress | None = None) -> Tensor:
    """The rows of a file, (rows, *event), model units; all numbers are checked.

    For a file of pictures of any size, these are the tiles.

    Raises:
        BitstreamError: the file is damaged, of another kind, or of another model.
    """
    tiled = file.header.kind == TILES_KIND
    file.expect(TILES_KIND if tiled else KIND, model_hash(model))
    rows, *event = file.header.shape
    if tuple(event) != tuple(model.likelihood.event_shape):  # type: ignore[union-attr, arg-type]
        raise BitstreamError(
            f"{file.name} claims rows of {event} numbers, but this model's rows have another shape"
        )
    if tiled:
        read_sizes(file)
    first = int(tiled)
    chunk_rows, plan = _read_settings(file, first)
    parts = []
    for index, start in enumerate(range(0, rows, chunk_rows), first):
        count = min(chunk_rows, rows - start)
        heard = _of_chunk(progress, start, rows)
        part = decode_rows(model, file.payload(index), count, plan, progress=heard)
        file.check_symbols(index, symbols(model, part))
        parts.append(part)
    return torch.cat(parts)


def _streams(model: Model, x: Tensor, chunk_rows: int, progress: Progress | None) -> list[Stream]:
    """One stream per chunk, all by the same plan: that of the chunk with the largest need."""
    plan: StackPlan | None = None
    while True:
        found = []
        for start in range(0, len(x), chunk_rows):
            heard = _of_chunk(progress, start, len(x))
            stream = encode_rows(model, x[start : start + chunk_rows], plan=plan, progress=heard)
            if plan is not None and stream.plan != plan:
                plan = stream.plan
                break
            plan = stream.plan
            found.append(stream)
        else:
            return found


def _of_chunk(
    progress: Progress | None, before: int, rows: int
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, bits: progress(before + done, rows)


def _read_settings(file: Container, first: int) -> tuple[int, StackPlan]:
    """Rows per chunk and the plan; streams begin at chunk ``first``.

    Raises:
        BitstreamError: they are invalid, or do not fit the chunks.
    """
    chunk_rows, seed, divisor, *ramp = file.settings(3, MOST_SETTINGS)
    rows, streams = file.header.shape[0], file.header.chunks[first:]
    chunks = -(-rows // chunk_rows) if chunk_rows else 0
    if chunks != len(streams) or seed < LEAST_SEED or divisor > MOST_DIVISOR:
        raise BitstreamError(f"{file.name} has settings that do not fit its chunks")
    if seed * 4 > max(entry.length for entry in streams) or sum(ramp) > chunk_rows:
        raise BitstreamError(f"{file.name} declares a longer start than its content")
    return chunk_rows, StackPlan(seed, divisor, tuple(ramp))
