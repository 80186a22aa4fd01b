"""Files of pictures: numbers come back bit by bit, on any machine, and every damage is noticed."""

from __future__ import annotations

import copy
import math
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound import untrusted
from lowerbound.applications.compression import varint
from lowerbound.applications.compression.container import open_container, pack, unpack
from lowerbound.applications.compression.lossless import model_hash
from lowerbound.applications.compression.picture_tiles import TILE, WHOLE
from lowerbound.applications.compression.step_map import LAST, tile_plans
from lowerbound.applications.compression.transform_codec import (
    KIND,
    WITH_STEPS,
    bare_transform,
    encoded,
    export_transform,
    read_eight_bit,
    read_pictures,
    write_pictures,
)
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.errors import BitstreamError, OptionError
from lowerbound.models import TransformCoder
from lowerbound.trace import Batch, Mean
from tests.applications.compression.small_codecs import without_onednn
from tests.applications.compression.small_transform import cutout, small_coder, tiles

some_bits = pytest.mark.parametrize("bits", [200, pytest.param(1000, marks=pytest.mark.long)])

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")


@pytest.fixture(scope="module")
def model() -> TransformCoder:
    return export_transform(small_coder(), tiles())


@pytest.fixture(scope="module")
def written(model: TransformCoder, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("files") / "x.lbz"
    write_pictures(path, model, cutout(40, 56, rows=2), 50)  # tests change the level of the model
    return path.read_bytes()


def numbers(model: TransformCoder, x: torch.Tensor, level: int) -> torch.Tensor:
    model.level = level
    return model.code(model(Batch(x), Mean()))


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (8, 8), (40, 9), (64, 80)])
@pytest.mark.parametrize("level", [0, 60, 112])
def test_pictures_of_any_size_come_back(
    model: TransformCoder, tmp_path: Path, size: tuple[int, int], level: int
) -> None:
    """What is read is what the model says of its own rounded numbers, to the last bit."""
    x = cutout(*size, rows=2)
    write_pictures(tmp_path / "x.lbz", model, x, level)
    file = open_container(tmp_path / "x.lbz")
    assert file.overhead <= 48 + 10
    back = read_pictures(file, model)
    model.level = level
    with torch.no_grad():
        rows = [model(Batch(row[None]), Mean()).likelihood.mean[0] for row in x]
    torch.testing.assert_close(back, torch.cat(rows), rtol=0, atol=1e-5)
    assert float((back - x).square().mean().sqrt()) < 0.2


@pytest.mark.parametrize("kind", ["black", "white", "noise", "far beyond"])
def test_pictures_unlike_any_that_were_seen(
    model: TransformCoder, tmp_path: Path, kind: str
) -> None:
    x = {
        "black": torch.zeros(1, 3, 24, 24),
        "white": torch.ones(1, 3, 24, 24),
        "noise": torch.rand(1, 3, 24, 24),
        "far beyond": 40.0 * torch.randn(1, 3, 24, 24),
    }[kind]
    write_pictures(tmp_path / "x.lbz", model, x, 0)
    back = read_pictures(open_container(tmp_path / "x.lbz"), model)
    assert torch.isfinite(back).all()
    if kind == "far beyond":  # thousands of steps, which no table reaches
        assert float((back - x).square().mean()) < 0.05 * float(x.square().mean())


def test_payload_is_what_the_tables_say(model: TransformCoder) -> None:
    x = cutout(128, 160)
    for level in (30, 80):
        model.level = level
        steps = model(Batch(x), Mean()).steps
        bits = -sum(
            float(step.prior.log_prob(step.z).detach().double()) for step in steps
        ) / math.log(2)
        ((payload, _),) = encoded(model, x, level)
        assert 8 * len(payload) == pytest.approx(bits, rel=2e-3, abs=64)


def test_whole_numbers_cost_little(model: TransformCoder) -> None:
    x = cutout(128, 160)
    rates = []
    for some in (small_coder(), model):
        some.level = 60
        steps = some(Batch(x), Mean()).steps
        rates.append(-sum(float(step.prior.log_prob(step.z).detach()) for step in steps))
    assert rates[1] == pytest.approx(rates[0], rel=0.01)


def under_every_setting(model: TransformCoder, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is expected of the numbers of a picture, in several ways to compute it."""

    def expected(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            steps = model(Batch(x), Mean()).steps
        parts = [(step.prior.location[0, :1], step.prior.log_scale[0, :1]) for step in steps]
        return torch.cat([part.flatten() for pair in parts for part in pair])

    model.level = 40
    found = {"plain": expected(x), "batch": expected(x.repeat(8, 1, 1, 1))}
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    found["threads"] = expected(x)
    torch.set_num_threads(threads)
    with without_onednn():
        found["without oneDNN"] = expected(x)
    return found


@pytest.mark.slow
def test_what_is_expected_is_the_same_however_computed(model: TransformCoder) -> None:
    found = under_every_setting(model, cutout(64, 80))
    for name, value in found.items():
        assert torch.equal(value, found["plain"]), name


@pytest.mark.slow
def test_in_fractions_it_would_not_be() -> None:
    model = small_coder()
    x = cutout(64, 80)
    found = under_every_setting(model, x)
    assert any(not torch.equal(value, found["plain"]) for value in found.values())


@pytest.mark.slow
def test_another_process_reads_the_same(model: TransformCoder, tmp_path: Path) -> None:
    write_pictures(tmp_path / "x.lbz", model, cutout(40, 56, rows=2), 60)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from tests.applications.compression.small_transform import *\n"
        "from lowerbound.applications.compression.transform_codec import *\n"
        "from lowerbound.applications.compression.container import open_container\n"
        "torch.set_num_threads(2); model = bare_transform(small_coder())\n"
        f"model.load_state_dict(torch.load({str(tmp_path / 'model.pt')!r}))\n"
        f"read_pictures(open_container({str(tmp_path / 'x.lbz')!r}), model)\n"
        f"write_pictures(Path({str(tmp_path / 'y.lbz')!r}), model, cutout(40, 56, rows=2), 60)\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
    assert (tmp_path / "x.lbz").read_bytes() == (tmp_path / "y.lbz").read_bytes()


def test_its_tensors_are_all_of_it(model: TransformCoder) -> None:
    loaded = bare_transform(small_coder(seed=1))
    loaded.load_state_dict(model.state_dict())
    assert model_hash(loaded) == model_hash(model)
    x = cutout(24, 24)
    assert torch.equal(numbers(loaded, x, 50), numbers(model, x, 50))


def read(content: bytes, model: TransformCoder) -> torch.Tensor:
    return read_pictures(open_container(content), model)


def test_every_prefix_is_refused(model: TransformCoder, written: bytes) -> None:
    for length in range(0, len(written), 3):
        with pytest.raises(BitstreamError):
            read(written[:length], model)


@pytest.mark.slow
@some_bits
def test_every_flipped_bit_is_refused(model: TransformCoder, written: bytes, bits: int) -> None:
    rng = random.Random(0)
    for place in rng.sample(range(8 * len(written)), bits):
        damaged = bytearray(written)
        damaged[place // 8] ^= 1 << place % 8
        began = time.perf_counter()
        with pytest.raises(BitstreamError):
            read(bytes(damaged), model)
        assert time.perf_counter() - began < 1


def test_swapped_chunks_are_refused(model: TransformCoder, written: bytes) -> None:
    header, payloads = unpack(written)
    crcs = [entry.symbols_crc for entry in header.chunks]
    chunks = list(zip(reversed(payloads), crcs, strict=True))
    with pytest.raises(BitstreamError):
        read(pack(KIND, header.model_hash, header.shape, header.settings, chunks), model)


@pytest.mark.slow
def test_noise_with_checksums_of_its_own_is_refused(model: TransformCoder, written: bytes) -> None:
    header, payloads = unpack(written)
    rng = random.Random(1)
    for _ in range(20):
        chunks = [(rng.randbytes(len(payload)), 0) for payload in payloads]
        with pytest.raises(BitstreamError):
            read(pack(KIND, header.model_hash, header.shape, header.settings, chunks), model)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 3, 40, 56), ()),
        ((2, 3, 40, 56), (60,)),
        ((2, 3, 40, 56), (113, TILE)),
        ((2, 3, 40, 56), (60, 0)),
        ((2, 3, 40, 56), (60, 2 * WHOLE)),
        ((2, 3, 40, 56), (60, 12)),
        ((2, 3, 40, 56), (60, 16)),
        ((3, 3, 40, 56), (60, TILE)),
        ((2, 1, 40, 56), (60, TILE)),
        ((2, 40, 56), (60, TILE)),
        ((1, 3, 20_000, 20_000), (60, TILE)),
    ],
)
def test_headers_that_make_no_sense_are_refused(
    model: TransformCoder, written: bytes, shape: tuple[int, ...], settings: tuple[int, ...]
) -> None:
    header, payloads = unpack(written)
    spelled = b"".join(map(varint.encode, settings))
    crcs = [entry.symbols_crc for entry in header.chunks]
    chunks = list(zip(payloads, crcs, strict=True))
    with pytest.raises(BitstreamError):
        read(pack(KIND, header.model_hash, shape, spelled, chunks), model)


def test_pictures_that_need_more_than_the_memory_are_refused(
    model: TransformCoder, written: bytes
) -> None:
    with untrusted.memory(1e-6), pytest.raises(BitstreamError, match="raise it with --memory"):
        read(written, model)


def test_the_wrong_model_is_refused(written: bytes) -> None:
    other = export_transform(small_coder(seed=3), tiles())
    with pytest.raises(BitstreamError, match="decode it with the model that encoded it"):
        read(written, other)


def test_large_pictures_are_cut(model: TransformCoder, tmp_path: Path) -> None:
    x = cutout(16, 24).repeat(1, 1, 70, 1)
    write_pictures(tmp_path / "x.lbz", model, x, 80)
    file = open_container(tmp_path / "x.lbz")
    assert len(file.header.chunks) == -(-16 * 70 // TILE) == 3
    back = read_pictures(file, model)
    assert back.shape == x.shape
    assert np.isfinite(back.numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["psnr", "ssim"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_encoder_says_is_what_a_reader_gets(
    model: TransformCoder, tmp_path: Path, channels: int, tune: str
) -> None:
    """Also of pictures of 8 bits, cut into tiles."""
    x = cutout(16, 24, rows=2).repeat(1, 1, 70, 1)[:, :channels]
    levels = torch.from_numpy(eight_bit(x)).movedim(-1, 1)
    back = np.zeros((*levels.shape[:1], *levels.shape[2:], channels), np.uint8)
    chunks = encoded(model, levels, 60, tune, back)
    assert chunks == encoded(model, levels.float() / 255, 60, tune)
    write_pictures(tmp_path / "x.lbz", model, levels, 60, chunks, tune)
    file = open_container(tmp_path / "x.lbz")
    np.testing.assert_array_equal(read_eight_bit(file, model), back)
    np.testing.assert_array_equal(eight_bit(read_pictures(file, model)), back)
    assert float(np.square(back.astype(float) - eight_bit(x)).mean()) < 0.2**2 * 255**2


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (8, 8), (40, 9), (64, 80)])
@pytest.mark.parametrize("level", [0, 60, 112, 150])
def test_steps_of_blocks_come_back(
    model: TransformCoder, tmp_path: Path, size: tuple[int, int], level: int
) -> None:
    """What is read is the picture of the numbers that the plan of the encoder gives."""
    x = cutout(*size, rows=2)
    write_pictures(tmp_path / "x.lbz", model, x, level, tune="ssim")
    file = open_container(tmp_path / "x.lbz")
    assert file.header.kind == WITH_STEPS
    back = read_pictures(file, model)
    for row, found in zip(x.split(1), back.split(1), strict=True):
        (plan,) = tile_plans(model, lambda row=row: [row], "ssim", level)
        known = model.begin(plan.level, size)
        wanted = model.wanted(row, known)
        for index in range(model.turns):
            expected = model.expected(known, index)
            z = model.rounded(wanted, expected, index, plan.worth)
            known = model.settle(known, index, z, expected)
        torch.testing.assert_close(found, model.pictures(known, size), rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [12, LAST - 2])
def test_a_picture_of_equal_tiles_has_the_plan_of_one(model: TransformCoder, level: int) -> None:
    tile = cutout(40, 56)
    (one,) = tile_plans(model, lambda: [tile], "ssim", level)
    for plan in tile_plans(model, lambda: [tile] * 3, "ssim", level):
        assert torch.equal(plan.level, one.level)
        assert one.worth is not None
        assert plan.worth is not None
        torch.testing.assert_close(plan.worth, one.worth)


def test_a_correction_in_two_digits_changes_no_level_by_more_than_one(
    model: TransformCoder, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "x.lbz", model, cutout(40, 56), 90)
    short, long = copy.deepcopy(model), copy.deepcopy(model)
    short.decoder.short, long.decoder.short = True, False
    file = open_container(tmp_path / "x.lbz")
    found, exact = (read_eight_bit(file, each).astype(int) for each in (short, long))
    assert model.decoder.short
    assert np.abs(found - exact).max() <= 1
    assert (found == exact).mean() > 0.95


def test_equal_steps_are_the_step_of_the_picture(model: TransformCoder) -> None:
    """The networks and the decoder see no difference between a map of one step and that step."""
    x, pictures, sizes = cutout(40, 56), [], []
    for level in (torch.tensor([70]), torch.full((1, 5, 7), 70)):
        known = model.begin(level, x.shape[2:])
        wanted, nats = model.wanted(x, known), 0.0
        for index in range(model.turns):
            expected = model.expected(known, index)
            z = model.rounded(wanted, expected, index)
            nats -= float(expected.terms(z).double().sum())
            known = model.settle(known, index, z, expected)
        sizes.append(nats)
        pictures.append(model.pictures(known, x.shape[2:]))
    assert sizes[0] == sizes[1]
    torch.testing.assert_close(*pictures, rtol=0, atol=1e-5)


def test_files_get_smaller_beyond_the_coarsest_step(model: TransformCoder) -> None:
    x = cutout(64, 80)
    for tune in ("psnr", "ssim"):
        sizes = [
            sum(len(payload) for payload, _ in encoded(model, x, level, tune))
            for level in (90, 112, 150, LAST)
        ]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < sizes[1], tune


@pytest.mark.slow
def test_damage_to_files_with_steps_is_refused(model: TransformCoder, tmp_path: Path) -> None:
    write_pictures(tmp_path / "x.lbz", model, cutout(40, 56), 60, tune="ssim")
    written = (tmp_path / "x.lbz").read_bytes()
    rng = random.Random(0)
    for place in rng.sample(range(8 * len(written)), 300):
        damaged = bytearray(written)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            read(bytes(damaged), model)
    header, payloads = unpack(written)
    crcs = [entry.symbols_crc for entry in header.chunks]
    chunks = list(zip(payloads, crcs, strict=True))
    for settings in ((60, TILE), (60, TILE, 0), (60, TILE, 113), (60, TILE, 12, 1)):
        spelled = b"".join(map(varint.encode, settings))
        with pytest.raises(BitstreamError):
            read(pack(WITH_STEPS, header.model_hash, header.shape, spelled, chunks), model)
    noise = [(rng.randbytes(4 * len(payloads[0]) // 4), 0)]
    with pytest.raises(BitstreamError):
        read(pack(WITH_STEPS, header.model_hash, header.shape, header.settings, noise), model)


def test_another_tune_is_refused(model: TransformCoder) -> None:
    with pytest.raises(OptionError, match="ssim, psnr"):
        encoded(model, cutout(8, 8), 60, "vmaf")
