"""Files of rows: every damage is noticed, and nothing is claimed that is not checked."""

from __future__ import annotations

import random
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
import torch

from lowerbound.applications.compression import container, varint
from lowerbound.applications.compression.container import open_container, pack, unpack
from lowerbound.applications.compression.export import export_integer
from lowerbound.applications.compression.lossless import KIND, model_hash, read_rows, write_rows
from lowerbound.errors import BitstreamError
from lowerbound.models import Model
from tests.applications.compression.small_codecs import digits, small_model

some_bits = pytest.mark.parametrize("bits", [200, pytest.param(1000, marks=pytest.mark.long)])

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")


@pytest.fixture(scope="module")
def model() -> Model:
    return export_integer(small_model("mlp", digits()), digits().thinned(100))


SIZES = [(1, 1), (17, 31), (8, 8), (16, 24)]  # 1, 12, 1 and 6 tiles


@pytest.fixture(scope="module", params=[[], SIZES], ids=["rows", "tiles"])
def written(
    model: Model, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> bytes:
    """Three chunks of up to 8 rows; of tiles, one of sizes before."""
    path = tmp_path_factory.mktemp("files") / "x.lbz"
    x = digits().all().x[:20]  # type: ignore[index]
    write_rows(path, model, x, sizes=request.param, chunk_rows=8)
    return path.read_bytes()


def read(content: bytes, model: Model) -> torch.Tensor:
    return read_rows(open_container(content), model)


@pytest.mark.parametrize("chunk_rows", [1, 3, 20, 1000])
def test_rows_come_back(model: Model, tmp_path: Path, chunk_rows: int) -> None:
    x = digits().all().x[:20]  # type: ignore[index]
    write_rows(tmp_path / "x.lbz", model, x, chunk_rows=chunk_rows)
    file = open_container(tmp_path / "x.lbz")
    assert len(file.header.chunks) == -(-20 // chunk_rows)
    assert torch.equal(read_rows(file, model), x)
    file.verify()


def test_tiles_are_rows_behind_their_sizes(model: Model, tmp_path: Path) -> None:
    x = digits().all().x[:20]  # type: ignore[index]
    for name, sizes in (("rows", []), ("tiles", SIZES)):
        write_rows(tmp_path / name, model, x, sizes=sizes, chunk_rows=8)
        assert torch.equal(read_rows(open_container(tmp_path / name), model), x)
    header, payloads = unpack((tmp_path / "tiles").read_bytes())
    assert header.kind == "bits_back_tiles"
    assert varint.decode_all(payloads[0]) == tuple(length for size in SIZES for length in size)
    assert payloads[1:] == unpack((tmp_path / "rows").read_bytes())[1]


def test_progress_counts_rows(model: Model, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    x = digits().all().x[:20]  # type: ignore[index]
    write_rows(tmp_path / "x.lbz", model, x, chunk_rows=8, progress=lambda *done: seen.append(done))
    assert seen[-1] == (20, 20)
    read_rows(open_container(tmp_path / "x.lbz"), model, lambda *done: seen.append(done))
    assert seen[-1] == (20, 20)


def test_every_prefix_is_refused(model: Model, written: bytes) -> None:
    for length in range(len(written)):
        with pytest.raises(BitstreamError):
            read(written[:length], model)


@pytest.mark.slow
@some_bits
def test_every_flipped_bit_is_refused(model: Model, written: bytes, bits: int) -> None:
    rng = random.Random(0)
    for place in rng.sample(range(8 * len(written)), min(bits, 8 * len(written))):
        damaged = bytearray(written)
        damaged[place // 8] ^= 1 << place % 8
        began = time.perf_counter()
        with pytest.raises(BitstreamError):
            read(bytes(damaged), model)
        assert time.perf_counter() - began < 1


def test_noise_with_checksums_of_its_own_is_refused(model: Model, written: bytes) -> None:
    """Where somebody made the checksums fit, what lies below the rows still does not."""
    header, payloads = unpack(written)
    rng = random.Random(1)
    for _ in range(20):
        chunks = [
            (payload, zlib.crc32(payload))
            if header.kind != KIND and not index
            else (rng.randbytes(len(payload) - 1) + b"\x01", 0)
            for index, payload in enumerate(payloads)
        ]
        with pytest.raises(BitstreamError):
            read(pack(header.kind, header.model_hash, header.shape, header.settings, chunks), model)


@pytest.mark.parametrize(
    "settings",
    [(), (8,), (8, 2), (0, 2, 1), (8, 0, 1), (8, 2, 99), (8, 2**31, 1), (3, 2, 1), (8, 2, 1, 99)],
)
def test_settings_that_make_no_sense_are_refused(
    model: Model, written: bytes, settings: tuple[int, ...]
) -> None:
    header, payloads = unpack(written)
    spelled = b"".join(map(varint.encode, settings))
    chunks = [
        (payload, entry.symbols_crc) for payload, entry in zip(payloads, header.chunks, strict=True)
    ]
    with pytest.raises(BitstreamError):
        read(pack(header.kind, header.model_hash, header.shape, spelled, chunks), model)


def test_rows_that_a_header_claims_take_no_memory(model: Model, written: bytes) -> None:
    """A few bytes that promise 300,000 rows, each put alone: refused at the first of them."""
    header, payloads = unpack(written)
    rows = 300_000
    settings = b"".join(map(varint.encode, (rows, 2, 1, rows)))
    chunks = [(payloads[-1], 0)]
    if header.kind != KIND:
        sizes = varint.encode(8) + varint.encode(8 * rows)
        chunks.insert(0, (sizes, zlib.crc32(sizes)))
    content = pack(header.kind, header.model_hash, (rows, 1, 8, 8), settings, chunks)
    tracemalloc.start()
    with pytest.raises(BitstreamError, match="the bits below"):
        read(content, model)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20


def test_the_wrong_model_is_refused(written: bytes) -> None:
    other = export_integer(small_model("mlp", digits(), seed=3), digits().thinned(100))
    with pytest.raises(BitstreamError, match="decode it with the model that encoded it"):
        read(written, other)


def test_a_shape_of_other_rows_is_refused(model: Model, written: bytes) -> None:
    header, payloads = unpack(written)
    chunks = [
        (payload, entry.symbols_crc) for payload, entry in zip(payloads, header.chunks, strict=True)
    ]
    content = pack(header.kind, header.model_hash, (20, 1, 8, 9), header.settings, chunks)
    with pytest.raises(BitstreamError, match="rows of"):
        read(content, model)


def test_the_hash_is_of_names_types_and_values(model: Model) -> None:
    before = model_hash(model)
    again = export_integer(small_model("mlp", digits()), digits().thinned(100))
    assert model_hash(again) == before
    with torch.no_grad():
        again.get_buffer("decoder.layers.0.weight")[0, 0] += 1
    assert model_hash(again) != before


def test_symbols_are_summed_as_the_format_says(model: Model, written: bytes) -> None:
    x = digits().all().x[:8]  # type: ignore[index]
    expected = zlib.crc32(x.to(torch.int16).numpy().astype("<u2").tobytes())
    assert unpack(written)[0].chunks[-3].symbols_crc == expected
    assert container.MOST_SYMBOLS == 2**31
