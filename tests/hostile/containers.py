"""Files with parts inside: zip archives of XML or arrays, tar files, chunks of sound.

They are changed by part and by field, so that what reads the parts is reached.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.hostile.mutations import CELLS, changed_bytes

Generator = np.random.Generator
Array = np.ndarray[Any, Any]

BLOCK = 512  # bytes of a header of a tar file, and of its content a multiple
FIELDS = {  # of such a header: name, (first byte, bytes)
    "name": (0, 100),
    "mode": (100, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "checksum": (148, 8),
    "type": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
    "prefix": (345, 155),
}
CHECKSUM = slice(148, 156)
SIZES = (b"00000000000\0", b"77777777777\0", b"-1", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"1 2 3")
NAMES = (b"", b"../up.png", b"/etc/x.png", b"a" * 100, b".", b"..png", b"x.cls", b"\xff\xfe.png")
WORDS = (
    "0",
    "-1",
    "1",
    "99999999999",
    "1e999",
    "",
    "x",
    "A1:XFD9",
    "s",
    "n",
    "b",
    "d",
    "é",
    "&#0;",
)
TAG = re.compile(rb"<[^<>]+>")
VALUE = re.compile(rb'"[^"<>]*"')
TEXT = re.compile(rb">[^<>]+<")


def one_of(values: Any, rng: Generator) -> Any:
    """One of several values; numpy's own choice makes arrays of them."""
    return values[int(rng.integers(len(values)))]


# zip archives ------------------------------------------------------------------------------------


def unpacked(content: bytes) -> dict[str, bytes]:
    """The parts of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """The archive of these parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def changed_archive(
    parts: Mapping[str, bytes],
    rng: Generator,
    change: Callable[[bytes, Generator], bytes] = changed_bytes,
) -> bytes:
    """An archive with a part changed, gone, renamed or twice, or with bytes changed outside."""
    found, name = dict(parts), str(one_of(list(parts), rng))
    how = zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED
    chosen = rng.random()
    if chosen < 0.7:
        found[name] = change(found[name], rng)
    elif chosen < 0.76:
        del found[name]
    elif chosen < 0.82:
        found[f"{name}x"] = found.pop(name)
    elif chosen < 0.88:
        found[str(one_of(("note.txt", "x", "../up", "a/", "z"), rng))] = rng.bytes(20)
    elif chosen < 0.92:
        found[name] = found[str(one_of(list(parts), rng))]
    content = packed(found, how)
    if chosen < 0.92:
        return content
    ends = content.rfind(b"PK\x01\x02")  # the directory at the end
    return content[:ends] + changed_bytes(content[ends:], rng)


def changed_xml(content: bytes, rng: Generator) -> bytes:
    """XML with values, texts or elements changed; or any bytes of it."""
    for _ in range(int(rng.integers(1, 4))):
        how = rng.random()
        pattern = VALUE if how < 0.4 else TEXT if how < 0.7 else TAG
        places = list(pattern.finditer(content))
        if how >= 0.9 or not places:
            content = changed_bytes(content, rng)
            continue
        place = places[int(rng.integers(len(places)))]
        inside = place.group()
        if pattern is not TAG:
            words = str(one_of(WORDS if rng.random() < 0.5 else CELLS, rng))
            escaped = words.replace("<", "").replace('"', "").encode("utf-8", "replace")
            new = inside[:1] + escaped + inside[-1:]
        else:
            new = one_of((b"", inside * 2, inside * 300, b"</x>", b"<x>", inside[:-1]), rng)
        content = content[: place.start()] + new + content[place.end() :]
    return content


# arrays ------------------------------------------------------------------------------------------


def arrays_of(named: Mapping[str, Array], compressed: bool = False) -> bytes:
    """The .npz file of arrays."""
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **dict(named))  # type: ignore[arg-type]
    return out.getvalue()


def changed_arrays(named: Mapping[str, Array], rng: Generator) -> bytes:
    """An .npz file with an array of another type, shape or values, with parts changed, or bytes."""
    how = rng.random()
    if how < 0.2:
        return changed_bytes(arrays_of(named, bool(rng.random() < 0.5)), rng)
    if how < 0.5:
        return changed_archive(unpacked(arrays_of(named)), rng)
    found = dict(named)
    for _ in range(int(rng.integers(1, 3))):
        name = str(one_of(list(found), rng))
        found[name] = _odd_array(found[name], rng)
    return arrays_of(found, bool(rng.random() < 0.3))


def _odd_array(values: Array, rng: Generator) -> Array:
    """Other values, mostly of the same length."""
    how = int(rng.integers(8))
    if how == 0:
        kinds = ("U3", "S3", "c16", "?", "f2", "f4", "f8", "i1", "u1", "i8", "u8", "M8[s]", "m8[D]")
        with np.errstate(all="ignore"):
            try:
                return values.astype(str(one_of(kinds, rng)))
            except (ValueError, TypeError):
                return np.zeros(values.shape, "V4")
    if how == 1:
        return np.full(values.shape, one_of((None, "x", {}, [1], float("nan")), rng), object)
    if how == 2:
        odd = (np.nan, np.inf, -np.inf, 1.797e308, 1e30, 1e-320, -1.0, 2.0**63)
        found = values.astype(np.float64) if values.dtype.kind in "biuf" else np.zeros(values.shape)
        found.reshape(-1)[: int(rng.integers(1, 1 + max(1, found.size)))] = one_of(odd, rng)
        return found
    if how == 3:
        shapes = ((), (0,), (0, 3), (-1,), (1, -1), (-1, 1), (1, 1, -1))
        shape = one_of(shapes, rng)
        return np.resize(values, shape) if -1 not in shape else values.reshape(shape)
    if how == 4:
        return values[: int(rng.integers(len(values) + 1))] if values.ndim else values
    if how == 5:
        return np.concatenate([values, values]) if values.ndim else values[None]
    if how == 6:
        return np.asfortranarray(values.T)
    whole = (2**63 - 1, -(2**63), 255, -1, 2**31)
    return np.full(values.shape, one_of(whole, rng), np.int64)


# tar files ---------------------------------------------------------------------------------------


def changed_tar(content: bytes, rng: Generator) -> bytes:
    """A tar file with fields of headers changed, whose checksums are made again; or any bytes."""
    found = bytearray(content)
    headers = [
        start
        for start in range(0, len(found) - BLOCK + 1, BLOCK)
        if found[start + 257 : start + 262] == b"ustar"
    ]
    if rng.random() < 0.3 or not headers:
        return changed_bytes(content, rng)
    for _ in range(int(rng.integers(1, 3))):
        start = headers[int(rng.integers(len(headers)))]
        name = str(one_of(list(FIELDS), rng))
        first, length = FIELDS[name]
        if name == "type":
            new = bytes([int(rng.choice(list(b"01234567SLKxgDMNVA\0z")))])
        elif name == "size":
            new = one_of(SIZES, rng)
        elif rng.random() < 0.5:
            new = one_of(NAMES, rng)
        else:
            new = changed_bytes(bytes(found[start + first : start + first + length]), rng)
        found[start + first : start + first + length] = new[:length].ljust(length, b"\0")
        if rng.random() < 0.9:
            _sign_header(found, start)
    if rng.random() < 0.3:  # what is in a file, such as the words of an extended header
        start = headers[int(rng.integers(len(headers)))] + BLOCK
        end = min(start + BLOCK, len(found))
        found[start:end] = changed_bytes(bytes(found[start:end]), rng)[: end - start]
    return bytes(found[: int(rng.integers(1, len(found)))] if rng.random() < 0.05 else found)


def _sign_header(found: bytearray, start: int) -> None:
    header = found[start : start + BLOCK]
    header[CHECKSUM] = b" " * 8
    found[start + 148 : start + 156] = b"%06o\0 " % sum(header)


# chunks of sound ---------------------------------------------------------------------------------


def wave_file(samples: bytes, kind: int, bits: int, channels: int = 1, rate: int = 8_000) -> bytes:
    """A .wav file of numbers of a kind: 1 whole numbers, 3 floats."""
    width = channels * bits // 8
    told = struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits)
    chunks = [(b"fmt ", told), (b"LIST", b"INFOa note"), (b"data", samples)]
    return _riff(chunks)


def changed_chunks(content: bytes, rng: Generator) -> bytes:
    """A .wav file with chunks changed, moved or gone, or a field of its form; or any bytes."""
    if rng.random() < 0.3:
        return changed_bytes(content, rng)
    chunks, place = [], 12
    while place + 8 <= len(content):
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        chunks.append((content[place : place + 4], content[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    number, how = int(rng.integers(len(chunks))), rng.random()
    name, inside = chunks[number]
    if how < 0.5:
        told = bytearray(chunks[0][1])
        first, width = one_of(((0, 2), (2, 2), (4, 4), (8, 4), (12, 2), (14, 2)), rng)
        value = int(rng.choice((0, 1, 2, 3, 6, 7, 8, 12, 24, 64, 255, 0xFFFE, 2**31)))
        told[first : first + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
        chunks[0] = (chunks[0][0], bytes(told))
    elif how < 0.65:
        chunks[number] = (name, changed_bytes(inside, rng))
    elif how < 0.75:
        del chunks[number]
    elif how < 0.85:
        chunks.insert(0, chunks[number])
    else:
        chunks[number] = (one_of((b"data", b"fmt ", b"fact", b"ds64", b"\0\0\0\0"), rng), inside)
    kind = one_of((b"RIFF", b"RIFF", b"RIFX", b"RF64"), rng)
    return _riff(chunks, kind)


def _riff(chunks: list[tuple[bytes, bytes]], kind: bytes = b"RIFF") -> bytes:
    body = b"".join(
        name + len(inside).to_bytes(4, "little") + inside + b"\0" * (len(inside) % 2)
        for name, inside in chunks
    )
    return kind + (len(body) + 4).to_bytes(4, "little") + b"WAVE" + body
