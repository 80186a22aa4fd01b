"""Several maps of codes: the coarse first, the fine in its context, a decoder that sees both."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, fit, folder as model_folder
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.codes import codebook_use, quantized_rows, vectors_of
from lowerbound.inference.likelihood import score
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.networks.pictures.map_stack import StackEncoder
from lowerbound.objectives import ELBO
from lowerbound.posteriors import Codebook, Quantizer
from lowerbound.priors.codes import MarginalCodes
from lowerbound.trace import Batch, Draw, Given, Mean
from lowerbound.training import TrainingOptions, train
from tests.training.cases import assert_same_weights, options, weights

CODES, DIM = 8, 3
COARSE, FINE = (2, 2), (4, 4)


def small(
    dtype: torch.dtype = torch.float64, conditional: bool = False, **chosen: Any
) -> tuple[VectorQuantizedVariationalAutoencoder, Dataset]:
    """An untrained model of digits with two maps, started from them, and some of them."""
    data = load("digits").thinned(64)
    data = data.conditioned_on_label() if conditional else data
    torch.manual_seed(0)
    size = {} if chosen.get("quantizer") == "fsq" else {"codes": CODES}
    made = ModelOptions(
        model="vq_vae",
        network="convolutional",
        latent_dim=DIM,
        conditional=conditional,
        network_options={"width": 8},
        model_options={**size, "stride": 2, "maps": 2, **chosen},
    )
    model = assemble(data.schema, made)
    model.start(data)
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    return model.to(dtype), data


def batch_of(data: Dataset, rows: int = 6) -> Batch:
    return data.batch(torch.arange(rows), None).to(torch.float64)


def told(model: VectorQuantizedVariationalAutoencoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the encoder says of each map, (rows, places, dim)."""
    numbers = model.encoder(batch.x).unflatten(1, (-1, DIM))
    return numbers[:, :4], numbers[:, 4:]


def moved(model: VectorQuantizedVariationalAutoencoder, coarse: Tensor) -> Tensor:
    """What vectors (rows, places, dim) of the coarse map add to the fine one."""
    found: Tensor = model.between[0](coarse.flatten(1)).unflatten(1, (-1, DIM))
    return found


def book_of(model: VectorQuantizedVariationalAutoencoder, level: int) -> Codebook:
    book = model.quantizers[level]
    assert isinstance(book, Codebook)
    return book


def test_the_coarse_map_is_decided_first() -> None:
    model, data = small()
    batch = batch_of(data)
    heard: list[tuple[int, torch.Size]] = []

    def spied(level: int, posterior: Any, prior: Any) -> Tensor:
        heard.append((level, prior.event_shape))
        return Draw(3)(level, posterior, prior)

    trace = model(batch, spied)
    assert heard == [(0, COARSE), (1, FINE)]
    assert [step.z.shape for step in trace.steps] == [(3, 6, *COARSE), (3, 6, *FINE)]
    assert model.code_shapes == (COARSE, FINE)
    assert model.latent_dim == (4 + 16) * DIM == model.encode(batch).mean.shape[-1]
    for count in (1, 2):
        imagined = model.imagine(Batch(count=5), Draw(count))
        assert [step.z.shape for step in imagined.steps] == [(count, 5, *COARSE), (count, 5, *FINE)]
        assert imagined.likelihood.mean.shape == (count, 5, 1, 8, 8)


@pytest.mark.parametrize(
    ("size", "stride", "maps", "shapes"),
    [
        (16, 4, 2, ((2, 2), (4, 4))),
        (17, 4, 3, ((2, 2), (3, 3), (5, 5))),
        (9, 1, 2, ((5, 5), (9, 9))),
    ],
)
def test_each_map_is_half_as_high_and_wide_as_the_next(
    size: int, stride: int, maps: int, shapes: tuple[tuple[int, int], ...]
) -> None:
    data = load(torch.randint(0, 256, (12, 3, size, size), dtype=torch.uint8).numpy())
    chosen = {"codes": 4, "stride": stride, "maps": maps}
    made = ModelOptions(
        model="vq_vae",
        network="convolutional",
        network_options={"width": 4},
        model_options=chosen,
    )
    model = assemble(data.schema, made)
    trace = model(data.batch(torch.arange(2), None))
    assert tuple(step.z.shape[2:] for step in trace.steps) == shapes
    assert trace.likelihood.mean.shape == (1, 2, 3, size, size)


@pytest.mark.parametrize("prior", ["uniform", "marginal"])
def test_codes_and_bound_by_hand(prior: str) -> None:
    """The fine code is nearest to what the encoder says and the coarse code adds; the bound is
    log p(x | c) less -log p of every code, summed place by place."""
    model, data = small(prior=prior)
    batch = batch_of(data, 9)
    torch.manual_seed(1)
    for part in model.priors:
        if isinstance(part, MarginalCodes):
            part.shares.copy_(torch.distributions.Dirichlet(part.shares * 8).sample())
    bound = ELBO()(model, batch)
    books = [book_of(model, level).book for level in (0, 1)]
    with torch.no_grad():
        e1, e2 = told(model, batch)
        k1 = torch.cdist(e1, books[0].expand(9, -1, -1)).argmin(-1)
        k2 = torch.cdist(e2 + moved(model, books[0][k1]), books[1].expand(9, -1, -1)).argmin(-1)
        z = torch.cat((books[0][k1].flatten(1), books[1][k2].flatten(1)), 1)
        expected = model.decode(z[None]).log_prob(batch.x)[0]
        for part, codes in zip(model.priors, (k1, k2), strict=True):
            table = part().log_probabilities.reshape(-1, CODES)
            for row in range(9):
                expected[row] += sum(float(table[i, k]) for i, k in enumerate(codes[row].tolist()))
    for found, codes in zip(model.quantize(batch), (k1, k2), strict=True):
        assert torch.equal(found.flatten(1), codes)
    torch.testing.assert_close(bound.value, expected)
    assert bound.rates.shape == (2, 9)
    assert not torch.equal(k2, torch.cdist(e2, books[1].expand(9, -1, -1)).argmin(-1))


def test_codes_decode_to_the_reconstruction() -> None:
    model, data = small(torch.float32)
    model.eval()
    batch = data.batch(torch.arange(6), None).to(torch.float32)
    trace = model(batch, Mean())
    code = model.encode(batch).mean
    torch.testing.assert_close(model.decode(code).mean, trace.likelihood.mean)
    rows = quantized_rows(model, data)
    assert rows.shape == (64, 4 + 16)
    torch.testing.assert_close(vectors_of(model, rows[:6].float()), code[0])
    codes = [step.z for step in trace.steps]
    for again in (model(batch, Given(codes)), model.imagine(batch, Given(codes))):
        torch.testing.assert_close(again.likelihood.mean, trace.likelihood.mean)
    assert [use.counts.sum() for use in codebook_use(model, data)] == [64 * 4, 64 * 16]


@torch.no_grad()
def test_the_encoder_says_the_coarse_map_first() -> None:
    """A bright corner changes what is said of all four coarse places, and of near fine ones."""
    model, data = small()
    x = batch_of(data, 1).x
    assert x is not None
    bright = x.clone()
    bright[..., 0, 0] += 9
    before, after = (torch.cat(told(model, Batch(picture)), 1)[0] for picture in (x, bright))
    changed = (before != after).any(1)
    assert changed[:4].all()
    assert changed[4]
    assert not changed[-1]
    assert isinstance(model.encoder, StackEncoder)
    for value in model.encoder.heads.parameters():
        value.zero_()
    assert not torch.cat(told(model, Batch(x)), 1)[0, :4].any()


def test_the_decoder_hears_each_map() -> None:
    model, data = small()
    z = model.encode(batch_of(data)).mean
    whole = model.decode(z).mean
    for places in (slice(0, 4 * DIM), slice(4 * DIM, None)):
        deaf = z.clone()
        deaf[..., places] = 0
        assert not torch.allclose(model.decode(deaf).mean, whole)


def test_gradients_of_both_maps_by_hand() -> None:
    """Each map's is the decoder's and the commitment's; the coarse one's also what comes through
    its part in what is quantized in the fine one."""
    beta, rows = 0.7, 6
    model, data = small(commitment=beta)
    batch = batch_of(data, rows)
    said: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        said.append(output)

    hook = model.encoder.register_forward_hook(keep)
    ELBO()(model, batch).loss.backward()
    hook.remove()
    with torch.no_grad():
        e1, e2 = told(model, batch)
        c1, c2 = (
            book_of(model, level).vectors(codes.flatten(1))
            for level, codes in enumerate(model.quantize(batch))
        )
    z = torch.cat((c1.flatten(1), c2.flatten(1)), 1)[None].requires_grad_()
    (-model.decode(z).log_prob(batch.x).mean()).backward()
    assert z.grad is not None
    decoder = z.grad[0].unflatten(1, (-1, DIM))
    leaf = c1.clone().requires_grad_()
    added = moved(model, leaf)
    fine = decoder[:, 4:] + 2 * beta * (e2 + added.detach() - c2) / rows
    (through,) = torch.autograd.grad(added, leaf, fine)
    coarse = decoder[:, :4] + through + 2 * beta * (e1 - c1) / rows
    assert bool(through.any())
    torch.testing.assert_close(said[0].grad, torch.cat((coarse, fine), 1).flatten(1))


def test_the_gradient_reaches_every_network() -> None:
    model, data = small(quantizer="residual", quantizers=2)
    ELBO()(model, batch_of(data)).loss.backward()
    assert isinstance(model.encoder, StackEncoder)
    for part in (model.encoder.heads, model.encoder.layers, model.between, model.decoder):
        assert all(value.grad is not None and value.grad.any() for value in part.parameters())
    parts = model.parts()
    listed = [id(value) for part in parts.values() for value in part]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(value) for value in model.parameters()}


def test_the_averages_of_each_map_by_hand() -> None:
    decay = 0.75
    model, data = small(decay=decay, revival=0.0)
    batch = batch_of(data, 20)
    before = [(book_of(model, i).shares.clone(), book_of(model, i).sums.clone()) for i in (0, 1)]
    with torch.no_grad():
        codes = [z.flatten() for z in model.train().quantize(batch)]
        e1, e2 = told(model, batch)
        context = moved(model, book_of(model, 0).vectors(codes[0].reshape(20, 4)))
    model.after_update(batch)
    for level, vectors in enumerate((e1.flatten(0, 1), (e2 + context).flatten(0, 1))):
        book, (shares, sums) = book_of(model, level), before[level]
        for code in range(CODES):
            own = vectors[codes[level] == code]
            share = decay * shares[code] + (1 - decay) * len(own) / len(vectors)
            total = decay * sums[code] + (1 - decay) * own.sum(0) / len(vectors)
            torch.testing.assert_close(book.shares[code], share)
            torch.testing.assert_close(book.sums[code], total)
            assert int(book.use[code]) == len(own)
    assert len(model.readings()["perplexity"]) == 2


def test_codebooks_start_at_clusters_of_what_each_quantizes() -> None:
    model, data = small(torch.float32)
    batch = data.all().to(torch.float32)
    with torch.no_grad():
        e1, e2 = told(model, batch)
        coarse, fine = Codebook(DIM, CODES), Codebook(DIM, CODES)
        coarse.initialize(e1.flatten(0, 1))
        e2 = e2 + moved(model, coarse.vectors(coarse.nearest(e1)))
        fine.initialize(e2.flatten(0, 1))
    torch.testing.assert_close(book_of(model, 0).book, coarse.book)
    torch.testing.assert_close(book_of(model, 1).book, fine.book)


def test_free_updates_quantize_neither_map_and_then_start_both() -> None:
    model, data = small(free=2)
    batch = batch_of(data, 40)
    start = [book_of(model, level).book.clone() for level in (0, 1)]
    model.train()
    for update in range(2):
        trace = model(batch)
        with torch.no_grad():
            e1, e2 = told(model, batch)
            e2 = e2 + moved(model, e1)
            z = torch.cat((e1, e2), 1).flatten(1)
        torch.testing.assert_close(trace.likelihood.mean, model.decode(z[None]).mean)
        assert not trace.penalties
        for level in (0, 1):
            assert torch.equal(book_of(model, level).book, start[level]) or update
        model.after_update(batch)
    for level, vectors in enumerate((e1, e2)):
        alike = Codebook(DIM, CODES).double()
        alike.initialize(vectors.flatten(0, 1).repeat(2, 1))
        torch.testing.assert_close(book_of(model, level).book, alike.book)
    assert model(batch).penalties


def test_the_coarse_map_alone() -> None:
    """With one of two codebooks the fine map is zero, for scores, codes and samples alike."""
    model, data = small()
    batch = batch_of(data)
    whole = model.eval().quantize(batch)
    model.depth = 1
    (codes,) = model.quantize(batch)
    assert torch.equal(codes, whole[0])
    assert model.codebook_sizes == (CODES,)
    assert model.code_shapes == (COARSE,)
    code = model.encode(batch).mean
    assert code.shape == (1, 6, model.latent_dim)
    assert not code[..., 4 * DIM :].any()
    torch.testing.assert_close(model.decode(code).mean, model(batch).likelihood.mean)
    assert len(model.imagine(Batch(count=5)).steps) == 1
    rows = quantized_rows(model.float(), data)
    assert rows.shape == (64, 4)


def test_rows_that_say_the_coarse_map_alone_pay_for_it_alone() -> None:
    model, data = small(dropout=1.0)
    batch = batch_of(data, 60)
    torch.manual_seed(3)
    trace = model.train()(batch)
    quiet = trace.steps[1].rate()[0] == 0
    assert 15 < int(quiet.sum()) < 45
    assert bool((trace.steps[0].rate() > 0).all())
    with torch.no_grad():
        z = model.code(trace)
        z[:, quiet, 4 * DIM :] = 0
        expected = model.decode(z).mean
    torch.testing.assert_close(trace.likelihood.mean, expected)
    assert torch.equal(trace.penalties["quantizer 1"][0] == 0, quiet)
    model.after_update(batch)
    uses = [int(book_of(model, level).use.sum()) for level in (0, 1)]
    assert uses == [60 * 4, int((~quiet).sum()) * 16]


@pytest.mark.parametrize(
    "chosen",
    [
        {"quantizer": "residual", "quantizers": 2, "breadth": 3},
        {"quantizer": "fsq", "levels": (3, 3, 2)},
        {"quantizer": "lfq"},
    ],
)
def test_every_quantizer_on_each_map(chosen: dict[str, Any]) -> None:
    model, data = small(**chosen)
    each = len(model.quantizers) // 2
    batch = batch_of(data)
    first = model.quantizers[0]
    assert isinstance(first, Quantizer)
    with torch.no_grad():
        nearest = first.nearest(first.within(told(model, batch)[0]))
        assert torch.equal(model.train().quantize(batch)[0].flatten(1), nearest)
    ELBO()(model, batch).loss.backward()
    model.after_update(batch)
    places = [math.prod(shape) for shape in model.code_shapes]
    assert [int(book.use.sum()) for book in model.quantizers] == [6 * n for n in places]  # type: ignore[operator, union-attr]
    assert places[:each] == [places[0]] * each != places[each:]
    model.eval()
    found = model(batch, Mean())
    torch.testing.assert_close(model.decode(model.code(found)).mean, found.likelihood.mean)


@pytest.mark.slow
def test_an_update_compiles_into_one_graph() -> None:
    model, data = small(torch.float32)
    batch = data.batch(torch.arange(6), None).to(torch.float32)
    model.train()
    torch.compiler.reset()
    compiled = torch.compile(lambda b: ELBO()(model, b), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(batch).loss, ELBO()(model, batch).loss)
    compiled(batch)
    before = [book_of(model, level).book for level in (0, 1)]
    model.after_update(batch)
    assert not any(torch.equal(book_of(model, i).book, before[i]) for i in (0, 1))


def test_half_precision_networks_quantize_in_full() -> None:
    model, data = small(torch.float32)
    batch = data.batch(torch.arange(6), None).to(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        bound = ELBO()(model, batch)
    assert bound.value.dtype == torch.float32
    torch.testing.assert_close(bound.value, ELBO()(model, batch).value, rtol=0.02, atol=0)


@torch.no_grad()
def test_encoder_and_decoder_are_told_the_class() -> None:
    model, data = small(conditional=True)
    batch = batch_of(data)
    assert batch.condition is not None
    other = batch.condition.flip(1)
    said, otherwise = (model.encoder(batch.x, condition) for condition in (batch.condition, other))
    assert not torch.equal(said[:, : 4 * DIM], otherwise[:, : 4 * DIM])
    z = said[None]
    assert not torch.equal(model.decode(z, batch.condition).mean, model.decode(z, other).mean)
    assert model.imagine(Batch(condition=other)).likelihood.mean.shape == (1, 6, 1, 8, 8)


def test_a_folder_gives_the_same_model_back(tmp_path: Path) -> None:
    data = load("digits").thinned(60)
    made = ModelOptions(
        model="vq_vae",
        network="convolutional",
        network_options={"width": 8},
        model_options={"codes": 8, "maps": 2, "stride": 2, "prior": "marginal"},
    )
    fitted = fit(data, FitOptions(model=made, training=TrainingOptions(updates=20)))
    model_folder.write(tmp_path / "model", fitted)
    again = model_folder.read(tmp_path / "model")
    assert_same_weights(weights(again.model), weights(fitted.model))
    assert torch.equal(score(again.model, data).elbo, score(fitted.model, data).elbo)


@pytest.mark.slow
def test_training_raises_the_bound_with_both_maps_in_use() -> None:
    model, data = small(torch.float32, prior="marginal")
    before = float(score(model.eval(), data).elbo.mean())
    history = train(model.train(), ELBO(), data, options(updates=150, learning_rate=3e-3))
    assert float(score(model.eval(), data).elbo.mean()) > before + 20
    assert all(use.perplexity > CODES / 3 for use in codebook_use(model, data))
    assert all(len(record.readings["perplexity"]) == 2 for record in history)


def test_maps_that_cannot_be_are_refused() -> None:
    schema = load("digits").schema
    for network, wrong, message in (
        ("mlp", {"maps": 2}, "network 'convolutional'"),
        ("convolutional", {"maps": 0}, "at least 1"),
        ("convolutional", {"maps": 5}, "too many for this picture"),
        ("convolutional", {"maps": 2, "linear": True}, "one map"),
        ("convolutional", {"dropout": 0.5}, "or maps"),
    ):
        with pytest.raises(OptionError, match=message):
            assemble(schema, ModelOptions(model="vq_vae", network=network, model_options=wrong))


def test_as_many_maps_as_asked_each_in_the_context_of_the_one_above() -> None:
    model, data = small(maps=3)
    batch = batch_of(data)
    with torch.no_grad():
        expected = model.quantize(batch)
        numbers = model.encoder(batch.x)[None].split([n * DIM for n in (1, 4, 16)], 2)
        above: Tensor | None = None
        for level, (said, found) in enumerate(zip(numbers, expected, strict=True)):
            vectors = said[0] if above is None else said[0] + model.between[level - 1](above)
            book = book_of(model, level)
            codes = book.nearest(vectors.unflatten(1, (-1, DIM)))
            assert torch.equal(found.flatten(1), codes)
            above = book.vectors(codes).flatten(1)
    sizes = [math.prod(shape) for shape in model.code_shapes]
    assert all(finer == 4 * coarser for coarser, finer in pairwise(sizes))


@pytest.mark.parametrize("imagined", [True, False])
def test_each_prior_is_asked_in_the_context_of_the_prompt_and_all_codes_before(
    monkeypatch: pytest.MonkeyPatch, imagined: bool
) -> None:
    model, data = small()
    prompt, asked = torch.arange(6).unsqueeze(1), list[tuple[int, Any]]()
    for prior in model.eval().priors:

        def given(codes: Any, prompt: Any = None, ask: Any = prior.given) -> Any:
            asked.append((len(codes), prompt))
            return ask(codes)

        monkeypatch.setattr(prior, "given", given)
    with torch.no_grad():
        if imagined:
            model.imagine(Batch(count=6, prompt=prompt), Draw())
        else:
            model(replace(batch_of(data), prompt=prompt))
    assert [count for count, _ in asked] == list(range(len(model.priors)))
    assert all(found is prompt for _, found in asked)


def test_the_picture_depends_on_every_map() -> None:
    """Also on the coarsest of three, through the one between."""
    model, data = small(maps=3)
    z = model.encoder(batch_of(data).x).detach().requires_grad_()
    with torch.no_grad():
        for value in model.decoder.parameters():
            value.add_(0.1 * torch.randn_like(value))
    (slope,) = torch.autograd.grad(model.decoder(z).square().sum(), z)
    for part in slope.split([n * DIM for n in (1, 4, 16)], 1):
        assert bool((part.abs().amax(0) > 1e-6).all())
