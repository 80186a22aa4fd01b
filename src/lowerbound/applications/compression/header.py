"""The header of an ``.lbz`` file. ``docs/format.md`` is the specification.

The reader trusts no number before it is checked, and no number makes it take more memory than the
file's size justifies. ``read`` goes from front to back, never past the end, and computes a
CRC32. It interprets the numbers only if this CRC32 agrees.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import BinaryIO

from lowerbound._version import __version__
from lowerbound.applications.compression import varint
from lowerbound.errors import BitstreamError, OptionError, unknown

MAGIC = b"LBZ\x1a"
VERSION = 1
FLAGS = 0
"""No flag has a meaning yet."""

KINDS: Mapping[str, int] = MappingProxyType(
    {
        "bits_back": 1,
        "vector_quantized": 3,
        "transform": 4,
        "audio": 5,
        "bits_back_tiles": 6,
        "stored": 7,
        "transform_steps": 8,
    }
)
RESERVED: Mapping[str, int] = MappingProxyType(
    {
        "hyperprior": 2,
    }
)
"""Numbers of kinds that no version writes yet."""

HASH_BYTES = 8
MOST_DIMENSIONS = 8
MOST_SETTINGS = 4096
MOST_CHUNKS = 65_536
MOST_SYMBOLS = 2**31

_FIXED = struct.Struct(f"<BH{HASH_BYTES}s")  # kind, flags, model hash
_CRC = struct.Struct("<I")
_LEAST_ENTRY = 1 + 2 * _CRC.size  # smallest entry: a length of one byte and two checksums
_UPGRADE = "update it: pip install --upgrade lowerbound"


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """Header of a chunk: bytes of its payload, CRC32 of these and of the symbols."""

    length: int
    payload_crc: int
    symbols_crc: int


@dataclass(frozen=True)
class Header:
    """Metadata of a file.

    Attributes:
        kind: name of the coder, in ``KINDS``.
        model_hash: the first 8 bytes of the SHA-256 of the exported integer model.
        shape: shape of the decoded array, rows first.
        settings: at most 4,096 bytes; the kind defines their meaning.
        chunks: in the order of their payloads; the kind defines their division of rows.
    """

    kind: str
    model_hash: bytes
    shape: tuple[int, ...]
    settings: bytes
    chunks: tuple[ChunkEntry, ...]

    @property
    def symbols(self) -> int:
        """Number of values in the decoded array."""
        return prod(self.shape)


def pack(header: Header, most_symbols: int = MOST_SYMBOLS) -> bytes:
    """The bytes of a header, including its own CRC32.

    Raises:
        OptionError: ``read`` would refuse it, or a number does not fit its field.
    """
    _check_writable(header, most_symbols)
    parts = [
        MAGIC,
        bytes([VERSION]),
        _FIXED.pack(KINDS[header.kind], FLAGS, header.model_hash),
        varint.encode(len(header.shape)),
        *map(varint.encode, header.shape),
        varint.encode(len(header.settings)),
        header.settings,
        varint.encode(len(header.chunks)),
        *map(_pack_entry, header.chunks),
    ]
    front = b"".join(parts)
    return front + _CRC.pack(zlib.crc32(front))


def read(stream: BinaryIO, size: int, name: str, most_symbols: int = MOST_SYMBOLS) -> Header:
    """Read the header at the front of ``stream``, and check it against the ``size`` of the whole.

    The stream then stands at the first payload, and the payloads fill the rest of the file.

    Raises:
        BitstreamError: a check fails; the message begins with ``name``.
    """
    front = _Front(stream, size, name)
    _check_beginning(front)
    number, flags, model_hash = _FIXED.unpack(front.take(_FIXED.size))
    shape = tuple(front.varint() for _ in range(front.count("dimensions", MOST_DIMENSIONS)))
    settings = front.take(front.count("bytes of settings", MOST_SETTINGS))
    chunks = _read_entries(front)
    found = front.crc
    if front.crc32() != found:
        raise damaged(name, "its header does not match its checksum")
    kind = _kind(name, number, flags)
    header = Header(kind, model_hash, shape, settings, chunks)
    # refuse headers that are intact but invalid or harmful
    if not header.shape or 0 in header.shape:
        raise BitstreamError(f"{name} holds no numbers: its shape is {header.shape}; encode again")
    if not header.chunks:
        raise BitstreamError(f"{name} has no chunks, so nothing to decode; encode the data again")
    if header.symbols > most_symbols:
        raise BitstreamError(
            f"{name} declares {header.symbols:,} numbers, and at most {most_symbols:,} are read; "
            "raise most_symbols if you trust its source"
        )
    _check_lengths(header, name, front.left)
    return header


def damaged(name: str, how: str) -> BitstreamError:
    """Error for bytes that differ from the written ones."""
    return BitstreamError(f"{name} is damaged: {how}; restore the file from an intact copy")


def cut_short(name: str, how: str) -> BitstreamError:
    """Error for missing bytes at the end."""
    return BitstreamError(f"{name} is cut short: {how}; copy the file again")


class _Front:
    """Bytes from the start of a stream, and their CRC32 so far."""

    def __init__(self, stream: BinaryIO, size: int, name: str) -> None:
        self.stream, self.left, self.name = stream, size, name
        self.crc = 0

    def take(self, count: int) -> bytes:
        found = self.stream.read(count) if count <= self.left else b""
        if len(found) != count:  # also if the file is cut while it is read
            raise cut_short(self.name, "its header does not end")
        self.left -= count
        self.crc = zlib.crc32(found, self.crc)
        return found

    def varint(self) -> int:
        spelled = self.take(1)
        while spelled[-1] >= 0x80 and len(spelled) <= varint.LONGEST:
            spelled += self.take(1)
        try:
            return varint.decode(spelled)
        except ValueError as error:
            raise damaged(self.name, f"a number in its header is {error}") from error

    def count(self, what: str, most: int) -> int:
        value = self.varint()
        if value > most:
            raise damaged(
                self.name, f"its header declares {value:,} {what}, and at most {most:,} are allowed"
            )
        return value

    def crc32(self) -> int:
        (value,) = _CRC.unpack(self.take(_CRC.size))
        return int(value)


def _check_beginning(front: _Front) -> None:
    """Check the format and its version."""
    name = front.name
    if not front.left:
        raise BitstreamError(f"{name} is empty; copy the file again")
    magic = front.take(min(front.left, len(MAGIC)))
    if not MAGIC.startswith(magic):
        raise BitstreamError(f"{name} is not compressed data of lowerbound; check the name")
    if len(magic) < len(MAGIC):
        raise cut_short(name, "its header does not end")
    (version,) = front.take(1)
    if version < 1:
        raise damaged(name, "no format has version 0")
    if version > VERSION:
        raise BitstreamError(
            f"{name} is in format {version}, and this version of lowerbound ({__version__}) reads "
            f"formats up to {VERSION}; {_UPGRADE}"
        )


def _read_entries(front: _Front) -> tuple[ChunkEntry, ...]:
    count = front.count("chunks", MOST_CHUNKS)
    if count * _LEAST_ENTRY > front.left:
        raise cut_short(front.name, f"its header ends before the list of its {count} chunks")
    return tuple(ChunkEntry(front.varint(), front.crc32(), front.crc32()) for _ in range(count))


def _pack_entry(entry: ChunkEntry) -> bytes:
    crcs = _CRC.pack(entry.payload_crc) + _CRC.pack(entry.symbols_crc)
    return varint.encode(entry.length) + crcs


def _kind(name: str, number: int, flags: int) -> str:
    """The kind's name; for unknown kinds and flags, the error suggests an update."""
    if flags & ~FLAGS:
        raise BitstreamError(
            f"{name} has flags 0x{flags:04x}, which this version of lowerbound ({__version__}) "
            f"does not know; {_UPGRADE}"
        )
    for kind, its_number in KINDS.items():
        if its_number == number:
            return kind
    names = {reserved: f", {kind!r}" for kind, reserved in RESERVED.items()}
    raise BitstreamError(
        f"{name} is of kind {number}{names.get(number, '')}, which this version of lowerbound "
        f"({__version__}) cannot decode; {_UPGRADE}"
    )


def _check_lengths(header: Header, name: str, left: int) -> None:
    """Check that the payloads end at the end of the file."""
    for number, entry in enumerate(header.chunks, 1):
        if entry.length > left:
            raise cut_short(
                name,
                f"chunk {number} of {len(header.chunks)} should have {entry.length} bytes and "
                f"{left} are left",
            )
        left -= entry.length
    if left:
        raise damaged(name, f"{left} bytes follow its last chunk")


def _check_writable(header: Header, most_symbols: int) -> None:
    if header.kind not in KINDS:
        raise unknown("kind of compressed data", header.kind, KINDS)
    _require(len(header.model_hash) == HASH_BYTES, f"a model hash has {HASH_BYTES} bytes")
    _require(1 <= len(header.shape) <= MOST_DIMENSIONS, f"1 to {MOST_DIMENSIONS} dimensions")
    fits = all(1 <= size <= varint.MOST for size in header.shape)
    _require(fits, f"each dimension is from 1 to {varint.MOST:,}, not {header.shape}")
    _require(
        header.symbols <= most_symbols,
        f"a file holds at most {most_symbols:,} numbers, and these are {header.symbols:,}: "
        "split the rows over several files",
    )
    _require(len(header.settings) <= MOST_SETTINGS, f"settings have at most {MOST_SETTINGS} bytes")
    _require(1 <= len(header.chunks) <= MOST_CHUNKS, f"a file has 1 to {MOST_CHUNKS:,} chunks")
    for entry in header.chunks:
        fits = all(
            0 <= value <= varint.MOST
            for value in (entry.length, entry.payload_crc, entry.symbols_crc)
        )
        _require(fits, f"a chunk's length and checksums are below 2^32, not {entry}")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise OptionError(otherwise)
