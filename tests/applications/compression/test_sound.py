"""Files of sound: codes come back whole, every damage is noticed."""

from __future__ import annotations

import math
import random
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound import untrusted
from lowerbound.applications.compression import container, varint
from lowerbound.applications.compression.container import KIND, open_container, pack, unpack
from lowerbound.applications.compression.lossless import model_hash
from lowerbound.applications.compression.sound_codec import (
    Decoded,
    code_tables,
    decoded,
    encoded,
    frame_coder,
    read_clips,
    symbols,
    write_clips,
)
from lowerbound.applications.compression.stack import whole_shares
from lowerbound.data.audio.kind import learned
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import BitstreamError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.sound_codes import SoundCoder
from lowerbound.models import Model, VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from tests.applications.compression.small_sound import RATE, clips, sound_model

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
CLIPS = clips(130, 5, 260, 77)


@pytest.fixture(scope="module")
def model() -> VectorQuantizedVariationalAutoencoder:
    return sound_model(prior="marginal")


@pytest.fixture(scope="module")
def written(
    model: VectorQuantizedVariationalAutoencoder, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """Lengths, and four chunks of up to 16 frames."""
    path = tmp_path_factory.mktemp("files") / "x.lbz"
    write_clips(path, model, CLIPS.samples, RATE, chunk_frames=16)
    return path.read_bytes()


def read(content: bytes, model: Model) -> Decoded:
    return read_clips(open_container(content), model)


@pytest.mark.parametrize("codebooks", [1, 2, 3])
@pytest.mark.parametrize("chunk_frames", [1, 16, 1000])
def test_what_the_decoder_makes_of_the_codes_comes_back(
    model: VectorQuantizedVariationalAutoencoder,
    tmp_path: Path,
    codebooks: int,
    chunk_frames: int,
) -> None:
    path = tmp_path / "x.lbz"
    write_clips(path, model, CLIPS.samples, RATE, codebooks=codebooks, chunk_frames=chunk_frames)
    file = open_container(path)
    file.verify()
    found = read_clips(file, model)
    coder, signal = SoundCoder.of(model), torch.from_numpy(CLIPS.joined)
    wanted = coder.signal(coder.codes(signal, codebooks), len(signal)).numpy()
    assert found.rate == RATE
    assert tuple(map(len, found.clips)) == CLIPS.lengths
    np.testing.assert_array_equal(found.joined, wanted)


def test_the_payload_is_as_long_as_the_tables_say() -> None:
    model = sound_model(prior="marginal")
    codes = torch.randint(0, 16, (5000, 3), generator=torch.Generator().manual_seed(0))
    tables = code_tables(model, 3)
    bits = 0.0
    for level, prior in zip(codes.unbind(1), model.priors, strict=True):
        likely = prior().log_probabilities.exp().mean(0).double().numpy()
        each = whole_shares(prior.tally().numpy()) / 2.0**24  # type: ignore[operator]
        np.testing.assert_allclose(each, likely, rtol=0.02, atol=2e-3)
        bits -= float(np.log2(each[level.numpy()]).sum())
    payload = encoded(codes, tables)
    assert bits <= 8 * len(payload) <= bits * 1.0002 + 64
    assert torch.equal(decoded(payload, 5000, tables), codes)


def test_uniform_codes_cost_their_logarithm() -> None:
    model = sound_model(prior="uniform")
    codes = torch.randint(0, 16, (4000, 3))
    payload = encoded(codes, code_tables(model, 3))
    assert 8 * len(payload) == pytest.approx(4000 * 3 * math.log2(16), rel=1e-3)


def test_shares_in_whole_numbers() -> None:
    shares = np.random.default_rng(0).dirichlet(np.full(100, 0.05))
    counts = whole_shares(shares)
    assert counts.sum() == 2**24
    assert counts.min() >= 1
    assert abs(counts / 2**24 - shares).max() < 102 / 2**24
    np.testing.assert_array_equal(whole_shares(np.array([0.0, 3.0])), [1, 2**24 - 1])


def test_every_prefix_is_refused(
    model: VectorQuantizedVariationalAutoencoder, written: bytes
) -> None:
    for length in range(len(written)):
        with pytest.raises(BitstreamError):
            read(written[:length], model)


def test_every_flipped_bit_is_noticed(
    model: VectorQuantizedVariationalAutoencoder, written: bytes
) -> None:
    draws = random.Random(0)
    began = time.perf_counter()
    for _ in range(200):
        damaged = bytearray(written)
        damaged[draws.randrange(len(damaged))] ^= 1 << draws.randrange(8)
        with pytest.raises(BitstreamError):
            read(bytes(damaged), model)
    assert time.perf_counter() - began < 60


def test_swapped_chunks_are_noticed(
    model: VectorQuantizedVariationalAutoencoder, written: bytes
) -> None:
    header, payloads = unpack(written)
    sums = [entry.symbols_crc for entry in header.chunks]
    swapped = [0, 2, 1, 3, 4]
    chunks = [(payloads[i], sums[place]) for place, i in enumerate(swapped)]
    again = pack(KIND, header.model_hash, header.shape, header.settings, chunks)
    with pytest.raises(BitstreamError):
        read(again, model)


@pytest.mark.parametrize(
    "settings",
    [b"", b"\x01", varint.encode(RATE) * 4]
    + [
        b"".join(map(varint.encode, numbers))
        for numbers in ((0, 3, 16), (RATE, 0, 16), (RATE, 4, 16), (RATE, 3, 0), (RATE, 3, 7))
    ],
)
def test_settings_that_no_encoder_writes(
    model: VectorQuantizedVariationalAutoencoder, written: bytes, settings: bytes
) -> None:
    header, payloads = unpack(written)
    sums = [entry.symbols_crc for entry in header.chunks]
    chunks = list(zip(payloads, sums, strict=True))
    with pytest.raises(BitstreamError):
        read(pack(KIND, header.model_hash, header.shape, settings, chunks), model)


def test_lengths_that_do_not_fill_the_sound(
    model: VectorQuantizedVariationalAutoencoder, written: bytes
) -> None:
    header, payloads = unpack(written)
    sums = [entry.symbols_crc for entry in header.chunks]
    for lengths in ((130, 5, 260), (130, 0, 265, 77), (472 + 1,)):
        first = b"".join(map(varint.encode, lengths))
        chunks = [(first, zlib.crc32(first)), *zip(payloads[1:], sums[1:], strict=True)]
        with pytest.raises(BitstreamError, match="do not add up"):
            read(pack(KIND, header.model_hash, header.shape, header.settings, chunks), model)


def silent(model: VectorQuantizedVariationalAutoencoder, samples: int, chunk: int) -> bytes:
    """A file of one clip, all of whose codes are 0: they take no bytes."""
    length = varint.encode(samples)
    empty = symbols(torch.zeros(chunk, 3, dtype=torch.int64))
    settings = b"".join(map(varint.encode, (RATE, 3, chunk)))
    chunks = [(length, zlib.crc32(length)), (b"", zlib.crc32(empty))]
    return pack(KIND, model_hash(model), (samples, 1), settings, chunks)


def test_a_short_file_asks_for_no_more_memory_than_the_limit(
    model: VectorQuantizedVariationalAutoencoder,
) -> None:
    with pytest.raises(BitstreamError, match="GB of memory, and the limit is 4 GB"):
        read(silent(model, 2**30, 1), model)
    few = silent(model, 1000, SoundCoder.of(model).frames(1000))
    with untrusted.memory(1e-5), pytest.raises(BitstreamError, match="raise it with --memory"):
        read(few, model)
    assert len(read(few, model).joined) == 1000


@pytest.mark.parametrize("code", [0, 1, 15, "likeliest"])
def test_the_same_code_again_and_again(
    model: VectorQuantizedVariationalAutoencoder, code: int | str
) -> None:
    coder = frame_coder(model, 3)
    likeliest = [int(prior.tally().argmax()) for prior in model.priors]  # type: ignore[operator]
    codes = torch.tensor(likeliest if code == "likeliest" else [int(code)] * 3).expand(5000, -1)
    assert torch.equal(coder.decode(coder.encode(codes), 5000), codes)


def test_another_model_and_another_kind_are_refused(
    model: VectorQuantizedVariationalAutoencoder, written: bytes
) -> None:
    other = sound_model(prior="uniform")
    with pytest.raises(BitstreamError, match="decode it with the model that encoded it"):
        read(written, other)
    plain = assemble(learned(RATE, Windows(80, 80)), ModelOptions(model="vae"))
    with pytest.raises(BitstreamError, match="decode it with the model that encoded it"):
        read(written, plain)
    header, payloads = unpack(written)
    chunks = [(payload, 0) for payload in payloads]
    rows = container.pack("bits_back", header.model_hash, header.shape, b"", chunks)
    with pytest.raises(BitstreamError, match="of kind 'bits_back', and not 'audio'"):
        read(rows, model)
