"""Files of codes: the codes come back to the bit, every damage is noticed, sizes are the rate."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.applications.compression import varint
from lowerbound.applications.compression.code_tables import export_codes
from lowerbound.applications.compression.container import open_container, pack, unpack
from lowerbound.applications.compression.vector_quantized import (
    KIND,
    bits_of,
    quantized,
    read_codes,
    read_rows,
    reconstructed,
    symbols,
    write_rows,
)
from lowerbound.data import load
from lowerbound.errors import BitstreamError, OptionError
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.trace import Batch, Mean
from tests.applications.compression.small_codecs import digits, small_codes, without_onednn

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")

Coded = VectorQuantizedVariationalAutoencoder
RESIDUAL = {"quantizer": "residual", "quantizers": 3, "prior": "marginal", "breadth": 4}
MAPS = {"maps": 2, "stride": 2, "prior": "marginal"}
ROWS = 20


@pytest.fixture(scope="module")
def model() -> Coded:
    return export_codes(small_codes(digits(grey=True), **RESIDUAL))


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    found = digits(grey=True).all().x
    assert found is not None
    return found.float()


@pytest.fixture(scope="module")
def written(model: Coded, x: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three chunks of up to 8 rows."""
    path = tmp_path_factory.mktemp("files") / "x.lbz"
    write_rows(path, model, x[:ROWS], chunk_rows=8)
    return path.read_bytes()


def read(content: bytes, model: Coded) -> torch.Tensor:
    return read_rows(open_container(content), model)


@pytest.mark.parametrize("chunk_rows", [1, 3, 20, 1000])
def test_codes_come_back(model: Coded, x: torch.Tensor, tmp_path: Path, chunk_rows: int) -> None:
    write_rows(tmp_path / "x.lbz", model, x[:ROWS], chunk_rows=chunk_rows)
    file = open_container(tmp_path / "x.lbz")
    assert len(file.header.chunks) == -(-ROWS // chunk_rows)
    assert file.header.shape == (ROWS, 1, 8, 8)
    codes = model.quantize(Batch(x[:ROWS]))
    assert torch.equal(read_codes(file, model), torch.cat(codes, 1))
    assert len(codes[0].unique()) > 4
    vectors = model.vectors([z.unsqueeze(0) for z in codes])
    torch.testing.assert_close(read_rows(file, model), model.decode(vectors).mean[0])
    file.verify()


@pytest.mark.parametrize("codebooks", [1, 2, 3])
def test_the_first_codebooks_alone(
    model: Coded, x: torch.Tensor, tmp_path: Path, codebooks: int
) -> None:
    write_rows(tmp_path / "x.lbz", model, x[:ROWS], codebooks=codebooks)
    file = open_container(tmp_path / "x.lbz")
    codes = read_codes(file, model)
    assert codes.shape == (ROWS, codebooks * 4)
    assert model.depth == 3
    shallow = export_codes(model)
    shallow.depth = codebooks
    assert torch.equal(codes, torch.cat(shallow.quantize(Batch(x[:ROWS])), 1))
    torch.testing.assert_close(read_rows(file, model), reconstructed(shallow, codes))
    expected = shallow(Batch(x[:ROWS]), Mean()).likelihood.mean[0]
    torch.testing.assert_close(read_rows(file, model), expected)


def test_codebooks_that_are_not_there_are_refused(
    model: Coded, x: torch.Tensor, tmp_path: Path
) -> None:
    for codebooks in (0, 4):
        with pytest.raises(OptionError, match="from 1 to the model's 3"):
            write_rows(tmp_path / "x.lbz", model, x, codebooks=codebooks)
    assert not list(tmp_path.iterdir())


def test_the_payload_is_the_rate(model: Coded, x: torch.Tensor, tmp_path: Path) -> None:
    """As the tables say to the bit, and within half a percent of the fitted prior."""
    write_rows(tmp_path / "x.lbz", model, x)
    file = open_container(tmp_path / "x.lbz")
    bits = 8 * (file.size - file.overhead)
    codes = quantized(model, x, 3)
    assert abs(bits - bits_of(model, codes)) <= 64 + 2e-4 * bits
    fitted = small_codes(digits(grey=True), **RESIDUAL)
    nats = sum(
        float(-prior().log_prob(codes[None, :, 4 * level : 4 * level + 4]).double().sum())
        for level, prior in enumerate(fitted.priors)
    )
    assert bits <= 1.005 * nats / np.log(2) + 64


@pytest.mark.slow
def test_64_even_codes_of_512_take_72_bytes(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 1), np.uint8)
    rows = load(pictures)
    model = export_codes(small_codes(rows, codes=512, slots=64))
    x = rows.all().x
    assert x is not None
    for row in x[:20]:
        write_rows(tmp_path / "x.lbz", model, row[None])
        file = open_container(tmp_path / "x.lbz")
        assert file.size - file.overhead <= 72
        assert torch.equal(read_codes(file, model), quantized(model, row[None], 1))


@pytest.fixture(scope="module")
def two_maps() -> Coded:
    """Of 2 x 2 places and of 4 x 4."""
    return export_codes(small_codes(digits(grey=True), network="convolutional", **MAPS))


@pytest.mark.parametrize("rows", [1, ROWS])
def test_maps_of_differing_sizes_come_back(
    two_maps: Coded, x: torch.Tensor, tmp_path: Path, rows: int
) -> None:
    write_rows(tmp_path / "x.lbz", two_maps, x[:rows], chunk_rows=8)
    file = open_container(tmp_path / "x.lbz")
    coarse, fine = two_maps.quantize(Batch(x[:rows]))
    codes = read_codes(file, two_maps)
    assert torch.equal(codes, torch.cat((coarse.reshape(rows, 4), fine.reshape(rows, 16)), 1))
    assert file.header.chunks[0].symbols_crc == zlib.crc32(symbols(codes[:8]))
    expected = two_maps(Batch(x[:rows]), Mean()).likelihood.mean[0]
    torch.testing.assert_close(read_rows(file, two_maps), expected)
    bits, payload = bits_of(two_maps, codes), 8 * (file.size - file.overhead)
    assert bits <= payload + 64
    assert payload <= bits + 64 * len(file.header.chunks)
    assert bits == pytest.approx(float(cost(two_maps, (coarse, fine))), rel=1e-5)
    file.verify()


def cost(model: Coded, codes: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Bits of codes as the priors of the maps say."""
    each = [prior().log_prob(z[None]).sum() for prior, z in zip(model.priors, codes, strict=True)]
    return -torch.stack(each).sum() / np.log(2)


def test_even_codes_of_two_maps_take_their_bits(x: torch.Tensor, tmp_path: Path) -> None:
    """4 + 16 codes of 16 in 10 bytes, those of the coarse map alone in 2."""
    even = {**MAPS, "prior": "uniform"}
    model = export_codes(small_codes(digits(grey=True), network="convolutional", **even))
    for codebooks, size in ((2, 10), (1, 2)):
        write_rows(tmp_path / "x.lbz", model, x[:1], codebooks=codebooks)
        file = open_container(tmp_path / "x.lbz")
        assert file.size - file.overhead == size
        shallow = export_codes(model)
        shallow.depth = codebooks
        expected = shallow(Batch(x[:1]), Mean()).likelihood.mean[0]
        torch.testing.assert_close(read_rows(file, model), expected)


def test_damaged_files_of_two_maps_are_refused(
    model: Coded, two_maps: Coded, x: torch.Tensor, tmp_path: Path
) -> None:
    write_rows(tmp_path / "x.lbz", two_maps, x[:3])
    content = (tmp_path / "x.lbz").read_bytes()
    for place in range(0, 8 * len(content), 3):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            read(bytes(damaged), two_maps)
    for length in range(len(content)):
        with pytest.raises(BitstreamError):
            read(content[:length], two_maps)
    with pytest.raises(BitstreamError, match="decode it with the model that encoded it"):
        read(content, model)


def test_progress_counts_rows(model: Coded, x: torch.Tensor, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_rows(tmp_path / "x.lbz", model, x, progress=lambda *done: seen.append(done))
    assert seen[-1] == (len(x), len(x)) != seen[0]
    read_rows(open_container(tmp_path / "x.lbz"), model, lambda *done: seen.append(done))
    assert seen[-1] == (len(x), len(x)) != seen[-2]


def test_every_prefix_is_refused(model: Coded, written: bytes) -> None:
    for length in range(len(written)):
        with pytest.raises(BitstreamError):
            read(written[:length], model)


@pytest.mark.slow
def test_every_flipped_bit_is_refused(model: Coded, written: bytes) -> None:
    for place in range(8 * len(written)):
        damaged = bytearray(written)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            read(bytes(damaged), model)


def test_noise_with_checksums_of_its_own_is_refused(model: Coded, written: bytes) -> None:
    header, payloads = unpack(written)
    noise = random.Random(1)
    for _ in range(20):
        chunks = [(noise.randbytes(len(payload)), 0) for payload in payloads]
        with pytest.raises(BitstreamError):
            read(pack(KIND, header.model_hash, header.shape, header.settings, chunks), model)


@pytest.mark.parametrize("settings", [(), (8,), (0, 3), (3, 3), (8, 0), (8, 4), (8, 3, 1)])
def test_settings_that_make_no_sense_are_refused(
    model: Coded, written: bytes, settings: tuple[int, ...]
) -> None:
    spelled = b"".join(map(varint.encode, settings))
    with pytest.raises(BitstreamError):
        read(repacked(written, settings=spelled), model)


def test_inflated_lengths_are_refused_at_once(model: Coded, written: bytes) -> None:
    """Where somebody made all checksums fit, no more is decoded than the bytes can hold."""
    rows = 2**24
    settings = varint.encode(rows) + varint.encode(3)
    header, payloads = unpack(written)
    chunks = [(payloads[0], header.chunks[0].symbols_crc)]
    content = pack(KIND, header.model_hash, (rows, 1, 8, 8), settings, chunks)
    began = time.perf_counter()
    with pytest.raises(BitstreamError, match="more rows than its bytes can hold"):
        read(content, model)
    assert time.perf_counter() - began < 1


def test_the_wrong_model_is_refused(written: bytes) -> None:
    other = export_codes(small_codes(digits(grey=True), seed=3, **RESIDUAL))
    with pytest.raises(BitstreamError, match="decode it with the model that encoded it"):
        read(written, other)


def test_a_shape_of_other_rows_is_refused(model: Coded, written: bytes) -> None:
    with pytest.raises(BitstreamError, match="rows of"):
        read(repacked(written, shape=(20, 1, 8, 9)), model)


def test_another_kind_is_refused(model: Coded, written: bytes) -> None:
    with pytest.raises(BitstreamError, match="of kind 'bits_back'"):
        read(repacked(written, kind="bits_back"), model)


def test_symbols_are_summed_as_the_format_says(
    model: Coded, x: torch.Tensor, written: bytes
) -> None:
    codes = torch.cat(model.quantize(Batch(x[:8])), 1)
    expected = zlib.crc32(codes.numpy().astype("<u4").tobytes())
    assert unpack(written)[0].chunks[0].symbols_crc == expected == zlib.crc32(symbols(codes))


def test_codes_do_not_hang_on_how_floats_add_up(model: Coded, written: bytes) -> None:
    """The decoder's pictures may; the codes are read from whole numbers alone."""
    file = open_container(written)
    expected = read_codes(file, model)
    with without_onednn():
        assert torch.equal(read_codes(file, model), expected)
        noisy = export_codes(model)
    single = torch.cat([reconstructed(noisy, row[None]) for row in expected])
    torch.testing.assert_close(single, read_rows(file, model), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(written: bytes, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        f"import {__name__} as here\n"
        "rows = here.digits(grey=True)\n"
        "model = here.export_codes(here.small_codes(rows, **here.RESIDUAL))\n"
        "x = rows.all().x.float()[:here.ROWS]\n"
        "here.write_rows(Path(sys.argv[1]), model, x, chunk_rows=8)\n"
    )
    path = tmp_path / "y.lbz"
    command = [sys.executable, "-c", script, str(path)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == written


def repacked(
    written: bytes,
    *,
    kind: str = KIND,
    shape: tuple[int, ...] | None = None,
    settings: bytes | None = None,
) -> bytes:
    """The same with another header, whose checksums fit."""
    header, payloads = unpack(written)
    chunks = [
        (payload, entry.symbols_crc) for payload, entry in zip(payloads, header.chunks, strict=True)
    ]
    settings = header.settings if settings is None else settings
    return pack(kind, header.model_hash, shape or header.shape, settings, chunks)
