"""Codes that depend on each other, in files: the same bits everywhere, sizes are the entropy."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lowerbound.applications.compression import context_models, varint
from lowerbound.applications.compression.code_ranges import SPARE
from lowerbound.applications.compression.code_tables import export_codes
from lowerbound.applications.compression.container import open_container, pack, unpack
from lowerbound.applications.compression.context_models import (
    WholeCodes,
    in_whole_numbers,
    least_bits,
)
from lowerbound.applications.compression.exact_layers import FixedAttention, FixedLinear, FixedNorm
from lowerbound.applications.compression.lossless import model_hash
from lowerbound.applications.compression.sound_codec import ContextFrames
from lowerbound.applications.compression.vector_quantized import (
    KIND,
    bits_of,
    quantized,
    read_codes,
    write_rows,
)
from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.errors import BitstreamError
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.networks.causal_transformer import CausalSoftmax
from lowerbound.priors import CODE_PRIORS
from lowerbound.priors.sequential_codes import MarkovCodes
from tests.applications.compression.small_codecs import digits, small_codes, without_onednn

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")

Coded = VectorQuantizedVariationalAutoencoder
RESIDUAL = {"quantizer": "residual", "quantizers": 3, "breadth": 4}
MAPS = {"maps": 2, "stride": 2}
CODES = 20
kinds = pytest.mark.parametrize("kind", ["autoregressive", "markov"])


def priors(kind: str) -> list[WholeCodes]:
    """Of two codebooks of 3 x 3 places, far from even."""
    found = []
    with seeded(0):
        for above in ([], [(3, 3)]):
            prior = CODE_PRIORS[kind].build((3, 3), CODES, above, {}).eval()
            for parameter in prior.parameters():
                parameter.data.add_(0.2 * torch.randn_like(parameter))
            if isinstance(prior, MarkovCodes):
                even = torch.full((CODES,), 0.1)
                shares = torch.distributions.Dirichlet(even).sample((CODES + 1,))
                prior.shares.copy_(shares)
            whole = in_whole_numbers(prior)
            assert whole is not None
            found.append(whole)
    return found


def drawn(priors: list[WholeCodes], rows: int) -> list[Tensor]:
    """Codes that the priors themselves draw, (rows, places) each."""
    known: list[Tensor] = []
    with seeded(3):
        for prior in priors:
            known.append(draw(prior.given(known).expand(torch.Size((1, rows))), 1))
    return [codes[0].flatten(1) for codes in known]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def float32(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


GRID = {
    "1 thread": lambda: threads(1),
    "2 threads": lambda: threads(2),
    "4 threads": lambda: threads(4),
    "high precision": lambda: float32("high"),
    "medium precision": lambda: float32("medium"),
    "without oneDNN": without_onednn,
}


@kinds
@pytest.mark.parametrize("place", GRID)
def test_weights_are_the_same_on_the_whole_grid(kind: str, place: str) -> None:
    found = priors(kind)
    codes = drawn(found, 30)
    expected = found[1].weights(codes[:1]).all(codes[1])
    with GRID[place]():
        again = priors(kind)[1]
        assert model_hash(again) == model_hash(found[1])  # type: ignore[arg-type]
        assert torch.equal(again.weights(codes[:1]).all(codes[1]), expected)
        alone = [again.weights([codes[0][i : i + 1]]).all(codes[1][i : i + 1]) for i in range(5)]
        assert torch.equal(torch.cat(alone), expected[:5])
        step = again.weights(codes[:1]).one_by_one()
        places = torch.stack([step(codes[1], place) for place in range(9)], 1)
        assert torch.equal(places, expected)
    assert torch.equal(expected, expected.round())


@kinds
@pytest.mark.parametrize("place", GRID)
def test_codes_come_back_on_the_whole_grid(kind: str, place: str) -> None:
    found = priors(kind)
    codes = drawn(found, 30)
    payload = context_models.encode(codes, found)
    with GRID[place]():
        assert context_models.encode(codes, found) == payload
        again = context_models.decode(payload, 30, found)
    assert all(map(torch.equal, again, codes))


@pytest.mark.slow
@kinds
def test_drawn_codes_take_their_entropy(kind: str) -> None:
    found = priors(kind)
    codes = drawn(found, 1500)
    length = 8 * len(context_models.encode(codes, found))
    assert length == pytest.approx(context_models.bits(codes, found), rel=1e-3)
    nats = 0.0
    for level, prior in enumerate(found):
        above = [each.view(1, -1, 3, 3) for each in codes[:level]]
        nats -= float(prior.given(above).log_prob(codes[level].view(1, -1, 3, 3)).sum())
    assert length == pytest.approx(nats / torch.log(torch.tensor(2.0)).item(), rel=1e-3)
    others = drawn(found, 1600)[0][1500:]
    fresh = -float(found[0]().log_prob(others.view(1, -1, 3, 3)).mean())
    mine = -float(found[0]().log_prob(codes[0].view(1, -1, 3, 3)).mean())
    assert fresh == pytest.approx(mine, rel=0.1)
    assert mine < 9 * torch.log(torch.tensor(float(CODES))) - 1


def test_groups_and_a_short_last_row_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    found = priors("autoregressive")
    codes = drawn(found, 10)
    for each in codes:
        each[-1, 4:] = 0
    whole = len(context_models.encode(codes, found))
    monkeypatch.setattr(context_models, "GROUP_NUMBERS", 3 * 9 * CODES)
    payload = context_models.encode(codes, found, last=4)
    assert all(map(torch.equal, context_models.decode(payload, 10, found, last=4), codes))
    assert len(payload) < whole
    assert 8 * len(payload) == pytest.approx(context_models.bits(codes, found, last=4), abs=64)


@kinds
def test_whole_numbers_cost_little(kind: str) -> None:
    """The uniform part is 1/256 of the weights: log2(256/255) bits a code, and rounding."""
    model = small_codes(digits(grey=True), prior=kind, **RESIDUAL)
    codes = torch.randint(16, (1, 200, 4), generator=torch.Generator().manual_seed(0))
    for level, (fitted, whole) in enumerate(
        zip(model.priors, export_codes(model).priors, strict=True)
    ):
        above = [codes] * level
        expected = fitted.given(above).log_prob(codes)  # type: ignore[operator]
        found = whole.given(above).log_prob(codes)  # type: ignore[operator]
        torch.testing.assert_close(found.float(), expected, atol=4 * 0.02, rtol=0)


def test_parts_in_fixed_point_are_near_the_others() -> None:
    with seeded(0):
        x = 3 * torch.randn(6, 5, 32).double()
        layer, norm = torch.nn.Linear(32, 7).double(), torch.nn.LayerNorm(32).double()
        norm.weight.data.normal_()
        query, key, value = torch.randn(3, 2, 4, 6, 8).double()
    torch.testing.assert_close(
        FixedLinear(layer.weight, layer.bias)(x), layer(x), atol=5e-3, rtol=0
    )
    torch.testing.assert_close(FixedNorm(norm)(x), norm(x), atol=5e-3, rtol=0)
    expected = CausalSoftmax()(query, key, value)
    torch.testing.assert_close(FixedAttention()(query, key, value), expected, atol=1e-2, rtol=0)


@kinds
@pytest.mark.parametrize("form", ["residual", "maps"])
def test_rows_come_back_from_files(kind: str, form: str, tmp_path: Path) -> None:
    model, x = exported(kind, form)
    write_rows(tmp_path / "x.lbz", model, x[:20], chunk_rows=8)
    file = open_container(tmp_path / "x.lbz")
    codes = read_codes(file, model)
    assert torch.equal(codes, quantized(model, x[:20], len(model.quantizers)))
    payload = 8 * (file.size - file.overhead)
    assert abs(payload - bits_of(model, codes)) <= 64 * len(file.header.chunks)
    write_rows(tmp_path / "y.lbz", model, x[:20], codebooks=1)
    assert torch.equal(
        read_codes(open_container(tmp_path / "y.lbz"), model), quantized(model, x[:20], 1)
    )


def exported(kind: str, form: str = "residual") -> tuple[Coded, Tensor]:
    rows = digits(grey=True)
    options = RESIDUAL if form == "residual" else MAPS
    network = "mlp" if form == "residual" else "convolutional"
    x = rows.all().x
    assert x is not None
    return export_codes(small_codes(rows, network=network, prior=kind, **options)), x.float()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model, x = exported("autoregressive")
    path = tmp_path_factory.mktemp("files") / "x.lbz"
    write_rows(path, model, x[:20], chunk_rows=8)
    return path.read_bytes()


@pytest.mark.slow
def test_damage_is_noticed(written: bytes) -> None:
    model, _ = exported("autoregressive")
    random.seed(0)
    for length in range(0, len(written), 5):
        with pytest.raises(BitstreamError):
            read_codes(open_container(written[:length]), model)
    for place in random.sample(range(8 * len(written)), 100):
        damaged = bytearray(written)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            read_codes(open_container(bytes(damaged)), model)
    header, payloads = unpack(written)
    for _ in range(10):
        chunks = [(random.randbytes(len(payload)), 0) for payload in payloads]
        noise = pack(KIND, header.model_hash, header.shape, header.settings, chunks)
        with pytest.raises(BitstreamError):
            read_codes(open_container(noise), model)


def test_more_rows_than_the_bytes_can_hold_are_refused_at_once(written: bytes) -> None:
    model, _ = exported("autoregressive")
    header, payloads = unpack(written)
    settings = varint.encode(2**24) + varint.encode(3)
    chunks = [(payloads[0], header.chunks[0].symbols_crc)]
    content = pack(KIND, header.model_hash, (2**24, 1, 8, 8), settings, chunks)
    began = time.perf_counter()
    with pytest.raises(BitstreamError, match="more rows than its bytes can hold"):
        read_codes(open_container(content), model)
    assert time.perf_counter() - began < 1


def test_another_prior_is_another_codec(written: bytes) -> None:
    for kind in ("marginal", "markov"):
        with pytest.raises(BitstreamError, match="decode it with the model that encoded it"):
            read_codes(open_container(written), exported(kind)[0])


@pytest.mark.parametrize("codes", [2, 20, 1024])
def test_no_code_is_free(codes: int) -> None:
    """A prior that is certain of one code."""
    with seeded(0):
        prior = CODE_PRIORS["autoregressive"].build((1,), codes, [], {}).eval()
        prior.network.head.bias.data[1] = 100.0  # type: ignore[union-attr]
    whole = in_whole_numbers(prior)
    assert whole is not None
    weights = whole.weights([]).all(torch.zeros(1, 1, dtype=torch.long))[0, 0]
    shares = weights / weights.sum()
    assert float(shares.min()) > 0
    assert -float(shares[1].log2()) >= least_bits(codes) > 0


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(written: bytes, tmp_path: Path) -> None:
    script = (
        "import sys, torch; from pathlib import Path\n"
        "torch.set_num_threads(int(sys.argv[2]))\n"  # training may round by the number of threads
        f"import {__name__} as here\n"
        "model, x = here.exported('autoregressive')\n"
        "torch.set_num_threads(2)\n"
        "here.write_rows(Path(sys.argv[1]), model, x[:20], chunk_rows=8)\n"
    )
    path = tmp_path / "y.lbz"
    command = [sys.executable, "-c", script, str(path), str(torch.get_num_threads())]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == written


def test_many_codes_of_one_kind_are_readable() -> None:
    """Their interval begins at 0, so all their bytes are zeros."""
    whole = in_whole_numbers(MarkovCodes((64,), 1024))
    assert whole is not None
    frames, codes = ContextFrames([whole]), torch.zeros(20_000, 1, dtype=torch.long)
    payload = frames.encode(codes)
    assert torch.equal(frames.decode(payload, len(codes)), codes)
    prior = in_whole_numbers(MarkovCodes((4, 4), 64))
    assert prior is not None
    rows = torch.zeros(2_000, 16, dtype=torch.long)
    payload = context_models.encode([rows], [prior])
    needed = len(rows) * 16 * least_bits(prior.codes)
    assert 8 * (len(payload) + SPARE) >= needed
    assert torch.equal(context_models.decode(payload, len(rows), [prior])[0], rows)
