"""Packed content: what it takes in memory is counted while it is unpacked, and not believed.

::

    opened(path) ──> gzip, bz2 or xz ──> Counted ──> whoever reads
                                           │
                         memory of the blocks so far > limit: refused

Sizes that a packed file declares may be wrong, so nothing here depends on them alone.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from lowerbound import untrusted
from lowerbound.errors import LowerboundError

BLOCK = 1 << 20  # bytes unpacked at once
OPENERS: dict[str, Callable[..., IO[Any]]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
"""Readers of packed files by suffix; each unpacks no more than it is asked for."""
BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error)  # errors of reading a damaged file
BROKEN_ZIP = (
    *(ValueError, OSError, EOFError, RuntimeError, struct.error),  # RuntimeError: encrypted
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error),
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of others, Python unpacks whole blocks
END, LOCATOR, LONG_END = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"  # of the directory
END_BYTES, LOCATOR_BYTES, LONG_END_BYTES = 22, 20, 76  # the last with the locator after it
MOST_COMMENT = 1 << 16  # bytes after the end
Cost = Callable[[bytes], float]
BYTES_OF_ENTRY = 12.0  # of memory, for a byte of the directory


class Counted(io.RawIOBase):
    """The bytes of a file, whose cost in memory is counted as they are read.

    Args:
        file: to read, unpacked.
        what: it is, as the message names it.
        error: that is raised when the cost is above the limit of ``untrusted.memory``.
        cost: the memory that a block takes for whoever reads it, bytes; None: no block is kept.
        packed: the file that ``file`` unpacks, from whose place the whole cost is estimated.
        instead: what else a person can do.
    """

    def __init__(
        self,
        file: IO[bytes],
        what: str,
        error: untrusted.Fault,
        cost: Cost | None = None,
        packed: BinaryIO | None = None,
        instead: str = "",
    ) -> None:
        self._file, self._what, self._error, self._cost = file, what, error, cost
        self._packed, self._instead = packed, instead
        self._limit, self._taken = untrusted.memory_limit(), 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        block = self._file.read(min(size, BLOCK))
        if self._cost is not None:
            self._taken += self._cost(block)
        if self._taken > self._limit:
            untrusted.check_memory(self._taken / self.share, self._what, self._error, self._instead)
        return block

    def release(self) -> None:
        """Count from zero: what was read is in memory no longer."""
        self._taken = 0.0

    def close(self) -> None:
        self._file.close()
        if self._packed is not None:
            self._packed.close()
        super().close()

    @property
    def share(self) -> float:
        """The fraction of the packed bytes that is read, above 0."""
        packed = self._file if self._packed is None else self._packed
        size = max(os.fstat(packed.fileno()).st_size, 1)
        return min(max(packed.tell(), 1) / size, 1.0)


def unpacked(
    path: Path,
    error: untrusted.Fault,
    cost: Cost | None = None,
    instead: str = "",
) -> Counted:
    """Open a regular file, which is unpacked if its suffix is one of ``OPENERS``.

    Raises:
        error: it is not a regular file; while it is read: the limit of memory is reached.
        OSError: there is no such file, or it cannot be read.
    """
    with ExitStack() as opened:
        packed = opened.enter_context(untrusted.opened(path, error))
        opener = OPENERS.get(path.suffix.lower())
        file = packed if opener is None else opened.enter_context(opener(packed, "rb"))
        opened.pop_all()
        return Counted(file, str(path), error, cost, packed, instead)


@contextmanager
def open_zip(
    path: Path, error: untrusted.Fault, kind: str = "a zip file"
) -> Iterator[zipfile.ZipFile]:
    """Context with a zip file, whose members are stored or deflated.

    Python reads no more of a member than its entry declares, so sizes in entries are upper bounds.

    Args:
        path: of the file.
        error: that is raised, also where the members are read.
        kind: what the file is, as the message names it.

    Raises:
        error: it is not a regular file, is no zip file, or has a directory above the limit of
            memory.
        OSError: there is no such file, or it cannot be read.
    """
    with untrusted.opened(path, error) as file:
        try:
            needed = BYTES_OF_ENTRY * _directory_bytes(file)
            untrusted.check_memory(needed, f"the directory of {path}", error)
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    if entry.compress_type not in METHODS:
                        raise zipfile.BadZipFile(f"{entry.filename} is not packed by deflate")
                yield archive
        except LowerboundError:
            raise
        except BROKEN_ZIP as failure:
            raise error(f"{path} cannot be read as {kind}: {failure}") from failure


def check_members(
    archive: zipfile.ZipFile, what: str, error: untrusted.Fault, factor: float
) -> int:
    """Unpack all members of a zip file, keep none, and count.

    Another reader may unpack a member to its end, so that what its entry declares is no bound.

    Args:
        archive: from ``open_zip``.
        what: it is, as the message names it.
        error: that is raised.
        factor: bytes of memory that an unpacked byte takes.

    Returns:
        The bytes of all members.

    Raises:
        error: they take more than the limit of memory, or a member is damaged.
    """
    total = 0
    for entry in archive.infolist():
        for block in _whole_member(archive, entry):
            total += len(block)
            untrusted.check_memory(factor * total, what, error)
    return total


def _whole_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Blocks of a member up to the end of its stream, whatever size its entry declares."""
    file = archive.fp
    assert file is not None
    file.seek(entry.header_offset)
    *_, name, extra = struct.unpack("<4s5H3L2H", file.read(30))
    file.seek(entry.header_offset + 30 + name + extra)
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    left, deflated = entry.compress_size, entry.compress_type == zipfile.ZIP_DEFLATED
    while left > 0 and not unpack.eof:
        packed = file.read(min(left, BLOCK))
        if not packed:
            raise zipfile.BadZipFile(f"{entry.filename} is cut short")
        left -= len(packed)
        while packed and deflated and not unpack.eof:
            yield unpack.decompress(packed, BLOCK)
            packed = unpack.unconsumed_tail
        if not deflated:
            yield packed


def _directory_bytes(file: BinaryIO) -> int:
    """The largest size that a zip file declares for its directory, which Python reads as a whole.

    Raises:
        zipfile.BadZipFile: it is no zip file.
    """
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - MOST_COMMENT - 2 * END_BYTES - LOCATOR_BYTES))
    tail = file.read()
    places = {tail.rfind(END), len(tail) - END_BYTES}  # Python looks at the second place first
    ends = [place for place in places if tail[max(place, 0) :].startswith(END)]
    if not ends:
        raise zipfile.BadZipFile("it is no zip file, or its end is missing")
    declared = [int.from_bytes(tail[place + 12 : place + 16], "little") for place in ends]
    for place in ends:
        locator = tail[max(place - LOCATOR_BYTES, 0) : place]
        if locator.startswith(LOCATOR):  # of a larger record, there or right before
            for at in (int.from_bytes(locator[8:16], "little"), start + place - LONG_END_BYTES):
                file.seek(min(max(at, 0), size))
                record = file.read(48)
                if record.startswith(LONG_END):
                    declared.append(int.from_bytes(record[40:], "little"))
    return min(max(declared), size)
