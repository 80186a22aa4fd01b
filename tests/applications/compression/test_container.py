"""Compressed data comes back as it was written, and whatever happened to it on the way is said."""

from __future__ import annotations

import io
import os
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from lowerbound.applications.compression import container as files, header as headers, varint
from lowerbound.applications.compression.container import (
    Container,
    open_container,
    pack,
    unpack,
    write,
)
from lowerbound.applications.compression.header import (
    KINDS,
    MOST_CHUNKS,
    MOST_DIMENSIONS,
    MOST_SETTINGS,
    MOST_SYMBOLS,
    RESERVED,
    ChunkEntry,
)
from lowerbound.errors import BitstreamError, LowerboundError, OptionError

HASH = bytes(range(8))
MEBIBYTE = 2**20

# Written by hand; docs/format.md explains each byte. It may never change while the version is 1.
GOLDEN = bytes.fromhex(
    """
    4c 42 5a 1a   01   01   00 00   00 01 02 03 04 05 06 07
    02   02   ac 02
    02   05 06
    02
    03   4c f8 4d be   26 39 f4 cb
    00   00 00 00 00   00 00 00 00
    cf 41 c5 3f
    aa bb cc
    """
)
GOLDEN_CHUNKS = [(b"\xaa\xbb\xcc", b"123456789"), (b"", b"")]


def summed(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, int]]:
    """Payloads with the checksum of their symbols."""
    return [(payload, zlib.crc32(symbols)) for payload, symbols in chunks]


def three_chunks() -> bytes:
    payloads = [random.Random(seed).randbytes(40) for seed in range(3)]
    return pack("bits_back", HASH, (3, 4, 5), b"set", [(p, zlib.crc32(p[::-1])) for p in payloads])


def everything(content: bytes) -> list[bytes]:
    """As a command that decodes reads it: the header, the model, each payload and its symbols."""
    container = open_container(content)
    container.expect_model(HASH)
    payloads = [container.payload(index) for index in range(3)]
    for index, payload in enumerate(payloads):
        container.check_symbols(index, payload[::-1])
    return payloads


def hostile(
    *, fixed: str = "01 0000", dims: Any = (3, 4), settings: bytes = b"", chunks: bytes = b"\x00"
) -> bytes:
    """A header with any content, and a checksum that is right."""
    listed = dims if isinstance(dims, bytes) else numbers(len(dims), *dims)
    front = b"LBZ\x1a\x01" + bytes.fromhex(fixed) + HASH + listed
    front += settings if settings else b"\x00"
    front += chunks
    return front + zlib.crc32(front).to_bytes(4, "little")


def numbers(*values: int) -> bytes:
    return b"".join(map(varint.encode, values))


def entry(length: int, payload: bytes = b"") -> bytes:
    """One chunk's line in the header."""
    return numbers(length) + zlib.crc32(payload).to_bytes(4, "little") + bytes(4)


SHAPES = [(1,), (1, 1), (5, 1), (2, 300), (1, 3, 17, 31), (10_000, 784), (1,) * 8, (2**31,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("settings", [b"", b"\x00", b"\xff" * MOST_SETTINGS])
@pytest.mark.parametrize("payloads", [[b""], [b"a"], [b"", b"bc", b""], [bytes(200)] * 130])
def test_what_is_packed_comes_back(
    shape: tuple[int, ...], settings: bytes, payloads: list[bytes]
) -> None:
    content = pack("bits_back", HASH, shape, settings, [(p, len(p)) for p in payloads])
    header, found = unpack(content)
    assert header.kind == "bits_back"
    assert header.model_hash == HASH
    assert header.shape == shape
    assert header.settings == settings
    assert header.chunks == tuple(ChunkEntry(len(p), zlib.crc32(p), len(p)) for p in payloads)
    assert list(found) == payloads


def test_a_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.lbz"
    path.write_bytes(b"old")
    write(path, "bits_back", HASH, (2, 300), b"\x05\x06", summed(GOLDEN_CHUNKS))
    assert path.read_bytes() == GOLDEN
    assert os.listdir(tmp_path) == ["x.lbz"]
    container = open_container(path)
    assert container == open_container(str(path))
    assert container.size == len(GOLDEN)
    assert container.overhead == len(GOLDEN) - 3
    container.verify()
    for index, (payload, symbols) in enumerate(GOLDEN_CHUNKS):
        assert container.payload(index) == payload
        container.check_symbols(index, symbols)


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.lbz"
    path.write_bytes(GOLDEN)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files.durable, "sync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, "bits_back", HASH, (1,), b"", [(b"new", 0)])
    assert path.read_bytes() == GOLDEN
    assert os.listdir(tmp_path) == ["x.lbz"]


def test_the_format_is_the_one_written_by_hand() -> None:
    assert pack("bits_back", HASH, (2, 300), b"\x05\x06", summed(GOLDEN_CHUNKS)) == GOLDEN
    header, payloads = unpack(GOLDEN)
    assert (header.kind, header.shape, header.settings) == ("bits_back", (2, 300), b"\x05\x06")
    assert payloads == (b"\xaa\xbb\xcc", b"")


def test_the_numbers_of_kinds_stay() -> None:
    everyone = {**KINDS, **RESERVED}
    assert everyone == {
        "bits_back": 1,
        "hyperprior": 2,
        "vector_quantized": 3,
        "transform": 4,
        "audio": 5,
        "bits_back_tiles": 6,
        "stored": 7,
        "transform_steps": 8,
    }
    assert KINDS.keys().isdisjoint(RESERVED)


def test_any_bytes_will_do() -> None:
    symbols = np.arange(6, dtype=np.uint16)
    chunks = [(memoryview(np.arange(4, dtype="<u4")), zlib.crc32(symbols.data))]
    container = open_container(
        bytearray(pack("bits_back", HASH, (6,), b"", chunks))  # type: ignore[arg-type]
    )
    assert np.frombuffer(container.payload(0), "<u4").tolist() == [0, 1, 2, 3]
    container.check_symbols(0, symbols.data)


@pytest.mark.parametrize("settings", [0, 4, 8])
def test_the_header_of_one_picture_is_small(settings: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, 512, 768), np.uint8)
    chunk = (picture.tobytes(), zlib.crc32(picture.data))  # as large as it is without compression
    content = pack("bits_back", HASH, picture.shape, bytes(settings), [chunk])
    assert open_container(content).overhead == 40 + settings <= 48


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "bits_bakc"},
        {"kind": "linear"},
        {"model_hash": bytes(7)},
        {"shape": ()},
        {"shape": (3, 0)},
        {"shape": (-1,)},
        {"shape": (2**32,)},
        {"shape": (1,) * (MOST_DIMENSIONS + 1)},
        {"shape": (2**16, 2**16)},
        {"settings": bytes(MOST_SETTINGS + 1)},
        {"chunks": []},
        {"chunks": [(b"", 0)] * (MOST_CHUNKS + 1)},
        {"chunks": [(b"", -1)]},
        {"chunks": [(b"", 2**32)]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, changed: dict[str, Any]) -> None:
    usual = {"kind": "bits_back", "model_hash": HASH, "shape": (1,), "settings": b""}
    with pytest.raises(OptionError):
        write(tmp_path / "x.lbz", **{**usual, "chunks": [(b"", 0)], **changed})
    assert not os.listdir(tmp_path)


def test_every_prefix_is_refused() -> None:
    whole = three_chunks()
    assert len(everything(whole)) == 3
    for length in range(len(whole)):
        with pytest.raises(BitstreamError, match="empty" if not length else "cut short"):
            everything(whole[:length])


def test_the_shortest_sentence_about_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "x.lbz"
    payloads = [bytes(700), bytes(812), bytes(90)]
    content = pack("bits_back", HASH, (1,), b"", [(p, 0) for p in payloads])
    path.write_bytes(content[: len(content) - 90 - 772])
    with pytest.raises(BitstreamError) as caught:
        open_container(path)
    assert str(caught.value) == (
        f"{path} is cut short: chunk 2 of 3 should have 812 bytes and 40 are left; "
        "copy the file again"
    )


def test_a_header_is_not_read_beyond_the_size_it_was_given() -> None:
    for size in range(1, len(GOLDEN)):
        stream = io.BytesIO(GOLDEN)
        with pytest.raises(BitstreamError, match="cut short"):
            headers.read(stream, size, "x.lbz")
        assert stream.tell() <= size


def test_a_flipped_bit_is_noticed() -> None:
    whole = three_chunks()
    for bit in range(8 * len(whole)):  # some 1,600: all there are
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            everything(bytes(damaged))


def test_flipped_bits_of_a_payload_are_noticed_before_it_is_decoded() -> None:
    whole = three_chunks()
    start = open_container(whole).overhead
    rng = random.Random(0)
    for _ in range(1000):
        position = rng.randrange(start, len(whole))
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randrange(8)
        container = open_container(damaged)
        chunk = (position - start) // 40
        with pytest.raises(BitstreamError, match=f"chunk {chunk + 1} of 3 does not match"):
            container.payload(chunk)
        with pytest.raises(BitstreamError, match=f"chunk {chunk + 1} of 3 does not match"):
            container.verify()
        for other in {0, 1, 2} - {chunk}:
            container.payload(other)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (0, 2)])
def test_swapped_payloads_are_noticed(one: int, other: int) -> None:
    whole = three_chunks()
    start = open_container(whole).overhead
    parts = [whole[start + 40 * index : start + 40 * (index + 1)] for index in range(3)]
    parts[one], parts[other] = parts[other], parts[one]
    container = open_container(whole[:start] + b"".join(parts))
    for index in (one, other):
        with pytest.raises(BitstreamError, match="does not match its checksum"):
            container.payload(index)


@pytest.mark.parametrize("more", [b"\x00", b"\n", b"LBZ", bytes(1000)])
def test_appended_bytes_are_noticed(more: bytes) -> None:
    with pytest.raises(BitstreamError, match=f"{len(more)} bytes follow its last chunk"):
        open_container(three_chunks() + more)


HOSTILE = {
    "a length of 2^31": (hostile(chunks=b"\x01" + entry(2**31)), "should have 2147483648 bytes"),
    "a length of 2^32 - 1": (hostile(chunks=b"\x01" + entry(2**32 - 1)) + b"abc", "3 are left"),
    "lengths whose sum is right only with wrap-around": (
        hostile(chunks=b"\x02" + entry(2**32 - 1) + entry(1)),
        "chunk 1 of 2",
    ),
    "2^31 chunks": (hostile(chunks=numbers(2**31)), "2,147,483,648 chunks, and at most 65,536"),
    "more chunks than the file has room for": (hostile(chunks=numbers(MOST_CHUNKS)), "65536 chun"),
    "no chunks": (hostile(), "no chunks"),
    "a product of 2^60": (
        hostile(dims=(2**30, 2**30), chunks=b"\x01" + entry(0)),
        "declares 1,152,921,504,606,846,976 numbers",
    ),
    "one number too many": (
        hostile(dims=(2**31 + 1,), chunks=b"\x01" + entry(0)),
        "at most 2,147,483,648",
    ),
    "a dimension of 0": (hostile(dims=(3, 0), chunks=b"\x01" + entry(0)), "holds no numbers"),
    "no dimensions": (hostile(dims=(), chunks=b"\x01" + entry(0)), "holds no numbers"),
    "many dimensions": (hostile(dims=numbers(2**31)), "2,147,483,648 dimensions, and at most 8"),
    "a number of ten bytes": (hostile(dims=b"\x01" + b"\xff" * 9 + b"\x01"), "is above"),
    "a number of five bytes": (hostile(dims=b"\x01\x80\x80\x80\x80\x10"), "is above"),
    "a number in another form": (hostile(dims=b"\x01\x83\x00"), "not in its shortest form"),
    "long settings": (hostile(settings=numbers(2**31)), "bytes of settings, and at most 4,096"),
    "settings that are not there": (hostile(settings=numbers(4096)), "cut short"),
    "an unknown kind": (hostile(fixed="09 0000", chunks=b"\x01" + entry(0)), "kind 9.*upgrade"),
    "kind 0": (hostile(fixed="00 0000", chunks=b"\x01" + entry(0)), "kind 0"),
    "a kind to come": (
        hostile(fixed="02 0000", chunks=b"\x01" + entry(0)),
        "kind 2, 'hyperprior', .*upgrade",
    ),
    "an unknown flag": (hostile(fixed="01 0080", chunks=b"\x01" + entry(0)), "0x8000.*upgrade"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_without_taking_memory(case: str, tmp_path: Path) -> None:
    content, words = HOSTILE[case]
    path = tmp_path / "x.lbz"
    path.write_bytes(content)
    for source in (content, path):
        took, seconds = cost(lambda source=source: refuse(source, words))
        assert took < MEBIBYTE
        assert seconds < 1


def refuse(source: bytes | Path, words: str) -> None:
    with pytest.raises(BitstreamError, match=words) as caught:
        open_container(source)
    start = str(source) if isinstance(source, Path) else "the compressed data"
    assert str(caught.value).startswith(start)


def cost(run: Callable[[], object]) -> tuple[int, float]:
    """Bytes at the peak, and seconds."""
    tracemalloc.start()
    try:
        start = perf_counter()
        run()
        return tracemalloc.get_traced_memory()[1], perf_counter() - start
    finally:
        tracemalloc.stop()


def test_the_helper_for_hostile_headers_makes_whole_ones() -> None:
    content = hostile(settings=b"\x02ab", chunks=b"\x01" + entry(3, b"xyz")) + b"xyz"
    header, payloads = unpack(content)
    assert (header.shape, header.settings, payloads) == ((3, 4), b"ab", (b"xyz",))


@pytest.mark.slow
def test_most_chunks_take_little_memory() -> None:
    content = pack("bits_back", HASH, (MOST_CHUNKS,), b"", [(b"", 0)] * MOST_CHUNKS)
    took, _ = cost(lambda: open_container(content))
    assert took < 32 * MEBIBYTE


def test_a_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.lbz"
    write(path, "bits_back", HASH, (1,), b"", [(bytes(8 * MEBIBYTE), 0), (b"abc", 0)])
    took, _ = cost(lambda: open_container(path).payload(1))
    assert took < MEBIBYTE


def test_a_limit_of_numbers_can_be_lowered_and_raised() -> None:
    content = pack("bits_back", HASH, (2, 300), b"", [(b"", 0)])
    assert open_container(content, most_symbols=600).header.symbols == 600
    with pytest.raises(BitstreamError, match="declares 600 numbers, and at most 599"):
        open_container(content, most_symbols=599)
    large = hostile(dims=(MOST_SYMBOLS, 4), chunks=b"\x01" + entry(0))
    assert open_container(large, most_symbols=2**33).header.symbols == 2**33


def test_another_model_is_refused() -> None:
    container = open_container(GOLDEN)
    container.expect_model(HASH)
    with pytest.raises(BitstreamError, match=r"0001020304050607.*ffffffffffffffff"):
        container.expect_model(b"\xff" * 8)


def test_other_numbers_than_were_encoded_are_refused() -> None:
    container = open_container(GOLDEN)
    with pytest.raises(
        BitstreamError, match="chunk 1 of 2 are intact, but its decoded numbers differ"
    ):
        container.check_symbols(0, b"123456780")
    with pytest.raises(BitstreamError, match="chunk 2 of 2"):
        container.check_symbols(1, b"\x00")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; copy"),
        (b"LB", "cut short"),
        (b"LBZ\x1a", "cut short"),
        (b"A page of text.\n" * 100, "is not compressed data of lowerbound"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not compressed data of lowerbound"),
        (b"LBZ\x1a\x00" + GOLDEN[5:], "version 0"),
        (b"LBZ\x1a\x02" + GOLDEN[5:], r"format 2, .*formats up to 1; .*pip install --upgrade"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.lbz"
    path.write_bytes(content)
    with pytest.raises(BitstreamError, match=words) as caught:
        open_container(path)
    assert str(path) in str(caught.value)
    with pytest.raises(BitstreamError, match=words):
        open_container(content)


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BitstreamError, match="is not a file of compressed data"):
        open_container(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(BitstreamError, match="is not a file of compressed data"):
            open_container(tmp_path / "pipe")


def test_a_missing_file_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_container(tmp_path / "x.lbz")


def test_a_file_cut_or_replaced_after_it_was_opened_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.lbz"
    path.write_bytes(GOLDEN)
    container = open_container(path)
    path.write_bytes(GOLDEN[:-1])
    with pytest.raises(BitstreamError, match="cut short: chunk 1 of 2 should have 3 bytes"):
        container.payload(0)
    path.write_bytes(GOLDEN[:-1] + b"x")
    with pytest.raises(BitstreamError, match="chunk 1 of 2 does not match"):
        container.payload(0)


def test_the_error_is_one_that_people_can_mend() -> None:
    assert issubclass(BitstreamError, LowerboundError)
    assert issubclass(BitstreamError, ValueError)
    assert isinstance(open_container(GOLDEN), Container)
