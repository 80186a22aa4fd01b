"""The file of compressed data, ``.lbz``: a checked header and the payloads, one after another.

::

    kind, model hash, shape, settings ─┐
    (payload, CRC32 of its symbols) ───┴─> pack or write ──> header | payload 1 | payload 2 | ...

    open_container ──> expect_model ──> payload(i) ──> (a coder) ──> check_symbols(i, symbols)

A coder decodes a damaged stream to wrong numbers, without an error. Everything therefore has a
checksum: the header; each payload, checked before decoding; and the symbols, checked
afterwards, which also detects a machine that computes the model differently. The module does not
import torch, so reading a header is fast. ``docs/format.md`` is the specification.

The number of samples of each clip in a file of sound is read here too, without a model.
"""

from __future__ import annotations

import functools
import io
import stat
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Concatenate, ParamSpec, TypeVar

from lowerbound import durable, untrusted
from lowerbound.applications.compression import header as headers, varint
from lowerbound.applications.compression.header import MOST_SYMBOLS, ChunkEntry, Header
from lowerbound.errors import BitstreamError

Parameters = ParamSpec("Parameters")
Decoded = TypeVar("Decoded")
Bytes = bytes | bytearray | memoryview
Chunks = Iterable[tuple[Bytes, int]]
"""Each chunk's payload, and the CRC32 of the symbols that it decodes to."""
KIND = "audio"


@dataclass(frozen=True)
class Container:
    """Compressed data with a checked header; each payload is checked when it is read.

    Attributes:
        header: metadata of the content.
        overhead: bytes of the header.
        name: its name in messages.
    """

    header: Header
    overhead: int
    name: str
    _source: Path | bytes
    _starts: tuple[int, ...]

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return self.overhead + sum(entry.length for entry in self.header.chunks)

    def expect_model(self, model_hash: bytes) -> None:
        """Check that the model with that hash encoded the data.

        Raises:
            BitstreamError: another model encoded it, and this one would decode it to nonsense.
        """
        if model_hash != self.header.model_hash:
            raise BitstreamError(
                f"{self.name} was encoded with the model {self.header.model_hash.hex()}, and this "
                f"one is {model_hash.hex()}; decode it with the model that encoded it"
            )

    def expect(self, kind: str, model_hash: bytes) -> None:
        """Check the kind, and the model as ``expect_model``.

        Raises:
            BitstreamError: one of them differs.
        """
        if self.header.kind != kind:
            raise BitstreamError(f"{self.name} is of kind {self.header.kind!r}, and not {kind!r}")
        self.expect_model(model_hash)

    def settings(self, least: int, most: int | None = None) -> tuple[int, ...]:
        """The settings of a kind that writes varints: ``least`` of them, or up to ``most``.

        Raises:
            BitstreamError: they are no varints, or there are too few or too many.
        """
        try:
            found = varint.decode_all(self.header.settings)
        except ValueError:
            found = ()
        if not least <= len(found) <= (most or least):
            raise BitstreamError(f"{self.name} has invalid settings")
        return found

    def payload(self, index: int) -> bytes:
        """The bytes of chunk ``index``, counted from 0.

        Raises:
            BitstreamError: they differ from the written bytes.
            OSError: the file cannot be read any more.
        """
        entry = self.header.chunks[index]
        found = self._read(self._starts[index], entry.length)
        if len(found) != entry.length:
            raise headers.cut_short(
                self.name, f"{self._chunk(index)} should have {entry.length} bytes"
            )
        if zlib.crc32(found) != entry.payload_crc:
            raise headers.damaged(self.name, f"{self._chunk(index)} does not match its checksum")
        return found

    def check_symbols(self, index: int, symbols: Bytes) -> None:
        """Check the decoded symbols of chunk ``index``, as the bytes that its kind defines.

        Raises:
            BitstreamError: they differ from the encoded symbols.
        """
        if zlib.crc32(symbols) != self.header.chunks[index].symbols_crc:
            raise BitstreamError(
                f"{self.name} does not decode to what was encoded: the bytes of "
                f"{self._chunk(index)} are intact, but its decoded numbers differ; decode it with "
                "the version of lowerbound that wrote it"
            )

    def verify(self) -> None:
        """Read every payload, one at a time, and check it.

        Raises:
            BitstreamError: a payload differs from the written bytes.
            OSError: the file cannot be read any more.
        """
        for index in range(len(self.header.chunks)):
            self.payload(index)

    def _read(self, start: int, length: int) -> bytes:
        if isinstance(self._source, bytes):
            return self._source[start : start + length]
        with self._source.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def _chunk(self, index: int) -> str:
        return f"chunk {index + 1} of {len(self.header.chunks)}"


def checked(
    read: Callable[Concatenate[Container, Parameters], Decoded],
) -> Callable[Concatenate[Container, Parameters], Decoded]:
    """Decorator of a function that decodes a container: each failure is a ``BitstreamError``.

    Checksums can be made for any bytes, so coders are given bytes that no encoder wrote.
    """

    @functools.wraps(read)
    def decoded(file: Container, /, *args: Parameters.args, **named: Parameters.kwargs) -> Decoded:
        with untrusted.guarded(file.name, BitstreamError):
            return read(file, *args, **named)

    return decoded


def open_container(source: Path | str | Bytes, most_symbols: int = MOST_SYMBOLS) -> Container:
    """Read and check the header of a file, or of its bytes, and the lengths of the payloads.

    Raises:
        BitstreamError: it is no such file, or is damaged, cut short or of a newer format; or it
            declares more than ``most_symbols`` numbers.
        OSError: the file does not exist or cannot be read.
    """
    if isinstance(source, Bytes):
        content, name = bytes(source), "the compressed data"
        header, overhead = _front(io.BytesIO(content), len(content), name, most_symbols)
        return Container(header, overhead, name, content, _starts(header, overhead))
    path = Path(source)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
        raise BitstreamError(f"{path} is not a file of compressed data; check the name")
    with path.open("rb") as file:
        header, overhead = _front(file, status.st_size, str(path), most_symbols)
    return Container(header, overhead, str(path), path, _starts(header, overhead))


def pack(
    kind: str, model_hash: bytes, shape: tuple[int, ...], settings: bytes, chunks: Chunks
) -> bytes:
    """The bytes of a file. Arguments as for ``write``.

    Raises:
        OptionError: a kind that is not known, or a value that does not fit its field.
    """
    return b"".join(_parts(kind, model_hash, shape, settings, chunks))


def unpack(content: Bytes, most_symbols: int = MOST_SYMBOLS) -> tuple[Header, tuple[bytes, ...]]:
    """The header and every payload, all checked, from the bytes of a file.

    Raises:
        BitstreamError: a check fails.
    """
    container = open_container(content, most_symbols)
    return container.header, tuple(map(container.payload, range(len(container.header.chunks))))


def write(
    path: Path,
    kind: str,
    model_hash: bytes,
    shape: tuple[int, ...],
    settings: bytes,
    chunks: Chunks,
) -> None:
    """Write a file atomically: an existing file stays until the new one is complete.

    Args:
        path: output path.
        kind: name of the coder, in ``KINDS``.
        model_hash: the first 8 bytes of the SHA-256 of the exported integer model.
        shape: shape of the encoded array, rows first.
        settings: at most 4,096 bytes; the kind defines their meaning.
        chunks: payload of each, and the CRC32 of its decoded symbols.

    Raises:
        OptionError: a kind that is not known, or a value that does not fit its field.
        OSError: the file cannot be written (for example, a full disk); an existing file is intact.
    """
    parts = _parts(kind, model_hash, shape, settings, chunks)
    target = durable.linked(Path(path))
    with durable.replacing(target) as temporary, temporary.open("wb") as file:
        file.writelines(parts)


def _parts(
    kind: str, model_hash: bytes, shape: tuple[int, ...], settings: bytes, chunks: Chunks
) -> list[Bytes]:
    """The header and the payloads; both need all payloads, since the header has every length."""
    listed = list(chunks)
    entries = tuple(ChunkEntry(_length(data), zlib.crc32(data), crc) for data, crc in listed)
    header = Header(kind, model_hash, tuple(shape), settings, entries)
    return [headers.pack(header), *(payload for payload, _ in listed)]


def _length(payload: Bytes) -> int:
    """Length in bytes; ``len`` of a memoryview counts items."""
    return memoryview(payload).nbytes


def _front(stream: BinaryIO, size: int, name: str, most: int) -> tuple[Header, int]:
    """The header and its size in bytes."""
    header = headers.read(stream, size, name, most)
    return header, stream.tell()


def _starts(header: Header, overhead: int) -> tuple[int, ...]:
    """Start of each payload."""
    lengths = (entry.length for entry in header.chunks[:-1])
    return tuple(accumulate(lengths, initial=overhead))


def clip_lengths(file: Container) -> list[int]:
    """Samples of each clip, from the first chunk of a file of sound.

    Raises:
        BitstreamError: they are damaged, or no encoder writes them.
    """
    payload = file.payload(0)
    file.check_symbols(0, payload)
    try:
        lengths = varint.decode_all(payload)
    except ValueError as error:
        raise BitstreamError(f"{file.name} has clips with invalid lengths") from error
    if sum(lengths) != file.header.shape[0] or 0 in lengths:
        raise BitstreamError(
            f"{file.name} has clips whose lengths are zero or do not add up to the total"
        )
    return list(lengths)


def described(file: Container) -> str:
    """The content of a file of sound in words.

    Raises:
        BitstreamError: as in ``clip_lengths``, or no encoder writes the settings.
    """
    clips = len(clip_lengths(file))
    rate, _, _ = file.settings(3)
    if not rate:
        raise BitstreamError(f"{file.name} has settings with no samples per second")
    seconds = file.header.shape[0] / rate
    named = "1 clip" if clips == 1 else f"{clips:,} clips"
    return f"{named}, {seconds:,.1f} s of sound with {rate:,} samples per second,"
