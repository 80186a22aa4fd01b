"""Members of a tar file, in one pass forward: each header is read once, whatever it declares.

::

    header | blocks of content | header | ...
      │ its size: not negative, and within the limit of memory, also of members that are skipped
      └ of a long name or of pax records: small

Python's own reader goes wherever a header sends it, and keeps long names and records of any size.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lowerbound import untrusted

BLOCK = tarfile.BLOCKSIZE
AT_ONCE = 1 << 20  # bytes that are skipped
MOST_RECORDS = 1 << 20  # bytes of pax records, or of a long name
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
SPARSE = "GNU.sparse."  # what names of records of sparse files begin with
KEPT = ("path", "size", f"{SPARSE}name")
MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x5d\x00\x00": lzma.open,
}
"""Readers of packed tar files by what these begin with."""
DAMAGES = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError)


@dataclass
class Member:
    """A file in a tar file.

    Attributes:
        name: of it, with its folders.
        size: bytes.
        sparse: whether its content is stored in parts, with holes.
        file: that it is read from.
        read: whether it has been read.
    """

    name: str
    size: int
    sparse: bool
    file: IO[bytes] = field(repr=False)
    read: bool = False

    def content(self) -> bytes:
        """The bytes; to be read before the next member.

        Raises:
            EOFError: the file is cut short.
        """
        self.read = True
        return _exactly(self.file, self.size)


def members(path: Path, error: untrusted.Fault) -> Iterator[Member]:
    """The files in a tar file, plain or packed; folders, links and devices are left out.

    Raises:
        error: it is not a regular file, or a member needs more memory than the limit.
        OSError, EOFError, tarfile.TarError: it is damaged, see ``DAMAGES``.
    """
    with untrusted.opened(path, error) as packed:
        start = packed.read(6)
        packed.seek(0)
        opener = next((each for magic, each in MAGIC.items() if start.startswith(magic)), None)
        if opener is None:
            yield from _members(packed, path, error)
            return
        with opener(packed, "rb") as file:
            yield from _members(file, path, error)


def _members(file: IO[bytes], path: Path, error: untrusted.Fault) -> Iterator[Member]:
    always: dict[str, str] = {}  # records that hold for all members from there on
    next_one: dict[str, str] = {}  # and for the next one
    while (header := _header(file)) is not None:
        if header.type in PAX:
            into = always if header.type == tarfile.XGLTYPE else next_one
            into |= _records(_small(file, header))
        elif header.type in LONG:
            name = _small(file, header).partition(b"\0")[0].decode("utf-8", "surrogateescape")
            next_one |= {"path": name} if header.type == tarfile.GNUTYPE_LONGNAME else {}
        else:
            said = {**always, **next_one}
            next_one = {}
            yield from _member(file, header, said, path, error)


def _member(
    file: IO[bytes],
    header: tarfile.TarInfo,
    said: Mapping[str, str],
    path: Path,
    error: untrusted.Fault,
) -> Iterator[Member]:
    """The member of a header and the records before it, if it is a file; then its end."""
    sparse = header.type == tarfile.GNUTYPE_SPARSE
    if sparse:
        # skip the blocks with further holes of a sparse file
        _, more, _ = header._sparse_structs  # type: ignore[attr-defined]
        while more:
            more = bool(_exactly(file, BLOCK)[504])
    if not (header.isreg() or header.type not in tarfile.SUPPORTED_TYPES):
        return  # without content
    name, size = said.get(f"{SPARSE}name", said.get("path", header.name)), header.size
    if "size" in said:
        size = _whole_number(said["size"])
    untrusted.check_memory(size, f"{path}: {name}", error)
    member = Member(name, size, sparse or any(SPARSE in key for key in said), file)
    if header.isreg():
        yield member
    left = -size % BLOCK + (0 if member.read else size)
    while left:
        left -= len(_exactly(file, min(left, AT_ONCE)))


def _header(file: IO[bytes]) -> tarfile.TarInfo | None:
    """The next header; None at the end.

    Raises:
        tarfile.ReadError: it is damaged or missing.
    """
    block = file.read(BLOCK)
    if block and not block.strip(b"\0"):
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as failure:
        raise tarfile.ReadError(f"a header is damaged or missing: {failure}") from failure
    if header.size < 0:
        raise tarfile.ReadError("a header declares a negative size")
    return header


def _small(file: IO[bytes], header: tarfile.TarInfo) -> bytes:
    """The content of a long name or of records."""
    if header.size > MOST_RECORDS:
        raise tarfile.ReadError(
            f"a name or its records have {header.size:,} bytes; at most {MOST_RECORDS:,} are read"
        )
    return _exactly(file, header.size + -header.size % BLOCK)[: header.size]


def _records(content: bytes) -> dict[str, str]:
    """The records of pax, LENGTH NAME=VALUE, that matter here.

    Raises:
        tarfile.ReadError: one is damaged.
    """
    found, place = {}, 0
    while place < len(content) and content[place]:
        length, space, _ = content[place : place + 20].partition(b" ")
        end = place + _whole_number(length.decode("ascii", "replace"))
        name, equals, value = content[place + len(length) + 1 : end].partition(b"=")
        if not (space and equals and place < end <= len(content) and value.endswith(b"\n")):
            raise tarfile.ReadError("a record before a header is damaged")
        key = name.decode("utf-8", "surrogateescape")
        if key in KEPT or key.startswith(SPARSE):
            short = key if key in KEPT else SPARSE  # of its map, that there is one
            found[short] = value[:-1].decode("utf-8", "surrogateescape")
        place = end
    return found


def _whole_number(text: str) -> int:
    """A size in a record.

    Raises:
        tarfile.ReadError: it is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise tarfile.ReadError(f"{text[:20]!r} is no size")
    return int(text)


def _exactly(file: IO[bytes], size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: there are fewer.
    """
    parts = []
    while size:
        part = file.read(size)
        if not part:
            raise EOFError("it is cut short")
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
