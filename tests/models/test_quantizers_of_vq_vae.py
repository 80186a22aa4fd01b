"""The VQ-VAE with every quantizer; several codebooks, and fewer of them than there are."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.errors import OptionError
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.suites import latent_suite, sample_suite
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.codes import codebook_use, quantized_rows, vectors_of
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import score
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.posteriors import QUANTIZERS
from lowerbound.trace import Batch, Draw, Mean
from lowerbound.training import TrainingOptions

FORMS: dict[str, dict[str, Any]] = {
    "vq": {"codes": 16},
    "residual": {"codes": 8, "quantizers": 3, "dropout": 0.5},
    "fsq": {"levels": (4, 3)},
    "lfq": {"codes": 8},
}
EVERY = pytest.mark.parametrize("name", QUANTIZERS)
BOTH = pytest.mark.parametrize("network", ["mlp", "convolutional"])


def small(
    name: str, network: str = "mlp", **chosen: Any
) -> tuple[VectorQuantizedVariationalAutoencoder, Dataset]:
    """An untrained model of digits, started from them, and some of them."""
    data = load("digits").thinned(64)
    torch.manual_seed(0)
    options = {"quantizer": name, **FORMS[name], **chosen}
    model = assemble(
        data.schema, ModelOptions(model="vq_vae", network=network, model_options=options)
    )
    model.start(data)
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    return model, data


def batch_of(data: Dataset, rows: int = 6) -> Batch:
    return data.batch(torch.arange(rows), None).to(torch.float64)


@EVERY
@BOTH
@pytest.mark.parametrize("prior", ["uniform", "marginal"])
def test_the_bound_is_honest(name: str, network: str, prior: str) -> None:
    """log p(x | c) less what the codes cost, for each codebook; nothing of the penalties."""
    model, data = small(name, network, prior=prior)
    model, batch = model.double().eval(), batch_of(data)
    bound = ELBO()(model, batch)
    trace = model(batch, Draw(2))
    codes = [step.z[:1] for step in trace.steps]
    likelihood = model.decode(model.vectors(codes)).log_prob(batch.x)[0]
    cost = sum(p().log_prob(z)[0] for p, z in zip(model.priors, codes, strict=True))
    torch.testing.assert_close(bound.value, (likelihood + cost).detach())
    even = math.prod(model.code_shapes[0]) * math.log(model.codebook_sizes[0])
    assert bound.rates.shape == (len(model.quantizers), 6)
    torch.testing.assert_close(bound.rates, torch.full_like(bound.rates, even))
    assert model.code(trace).dtype == torch.float64
    torch.testing.assert_close(
        model.decode(model.encode(batch).mean).mean, model(batch, Mean()).likelihood.mean
    )


@pytest.mark.slow
@EVERY
@BOTH
def test_an_update_compiles_into_one_graph_and_is_learned_from(name: str, network: str) -> None:
    model, data = small(name, network, dropout=0.0) if name == "residual" else small(name, network)
    batch = data.batch(torch.arange(6), None)
    model.train()
    torch.compiler.reset()
    compiled = torch.compile(lambda b: ELBO()(model, b), backend="eager", fullgraph=True)
    loss = compiled(batch).loss
    torch.testing.assert_close(loss, ELBO()(model, batch).loss)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    encoder = next(model.encoder.parameters())
    assert encoder.grad is not None
    assert bool(encoder.grad.any())
    model.after_update(batch)
    uses = [int(quantizer.use.sum()) for quantizer in model.quantizers]
    assert uses == [6 * math.prod(model.code_shapes[0])] * len(model.quantizers)
    assert len(model.readings()["perplexity"]) == len(model.quantizers)


@EVERY
def test_every_suite_answers(name: str) -> None:
    model, data = small(name)
    options = SuiteOptions(rows=30, agreement_rows=30, draws=12, feature_rows=0)
    latents = latent_suite(model, data, data, options)
    samples = sample_suite(model, data, Skipped("not requested"), options)
    json.dumps([latents.to_mapping(), samples.to_mapping()], allow_nan=False)
    rows = quantized_rows(model, data)
    assert rows.shape == (64, len(model.quantizers) * 4)
    with torch.no_grad():
        code = model.eval().encode(data.all().to(torch.float32)).mean[0]
    torch.testing.assert_close(vectors_of(model, rows.float()), code)


@pytest.mark.slow
@EVERY
def test_a_short_fit_raises_the_bound_and_uses_the_codes(name: str) -> None:
    training, held_out = load("digits").split(0.2, 0)
    options = {"quantizer": name, **FORMS[name]}
    chosen = ModelOptions(model="vq_vae", model_options=options)
    fitted = fit(training, FitOptions(model=chosen, training=TrainingOptions(updates=300, seed=0)))
    untrained, _ = small(name)
    before, after = (float(score(m, held_out).elbo.mean()) for m in (untrained, fitted.model))
    assert after > before + 10
    assert all(use.used >= 0.9 for use in codebook_use(fitted.model, held_out))


@pytest.mark.long
def test_fewer_codebooks_cost_less_and_lose_more() -> None:
    """One model at several rates: trained with dropout, it is good at each of them."""
    training, held_out = load("digits").split(0.2, 0)

    def trained(dropout: float) -> VectorQuantizedVariationalAutoencoder:
        options = {"quantizer": "residual", "codes": 16, "quantizers": 3, "dropout": dropout}
        chosen = ModelOptions(model="vq_vae", model_options=options)
        found = fit(training, FitOptions(model=chosen, training=TrainingOptions(updates=600)))
        assert isinstance(found.model, VectorQuantizedVariationalAutoencoder)
        return found.model

    def at_each_depth(model: VectorQuantizedVariationalAutoencoder) -> list[float]:
        distortions = []
        for model.depth in (1, 2, 3):
            scores = score(model, held_out)
            assert scores.rates.shape[0] == model.depth == len(model.codebook_sizes)
            expected = model.depth * 4 * math.log(16)
            assert float(scores.rates.sum(0).mean()) == pytest.approx(expected, rel=1e-5)
            distortions.append(float(scores.distortion.mean()))
        return distortions

    dropped, whole = at_each_depth(trained(1.0)), at_each_depth(trained(0.0))
    assert dropped[0] > dropped[1] > dropped[2]
    assert dropped[0] < whole[0] - 3


def test_silent_rows_pay_nothing_and_hear_nothing() -> None:
    model, data = small("residual", dropout=1.0)
    model, batch = model.double().train(), batch_of(data, 60)
    torch.manual_seed(3)
    trace = model(batch)
    said = torch.stack([step.rate()[0] for step in trace.steps]) > 0
    assert said[0].all()
    assert not bool((said[1:] & ~said[:-1]).any())  # only the first ones
    assert 5 < int(said[1].sum()) < 55
    vectors = torch.stack(
        [q.vectors(step.z)[0] for q, step in zip(model.quantizers, trace.steps, strict=True)]
    )
    heard = (vectors * said[..., None, None]).sum(0).flatten(1)
    expected = model.decode(heard[None]).log_prob(batch.x)
    torch.testing.assert_close(trace.likelihood.log_prob(batch.x), expected)
    for level, quiet in enumerate(~said):
        assert torch.equal(trace.penalties[f"quantizer {level}"][0] == 0, quiet)
    model.after_update(batch)
    uses = [int(quantizer.use.sum()) for quantizer in model.quantizers]
    assert uses == [4 * int(count) for count in said.sum(1)]


def test_choices_that_do_not_go_together_are_refused() -> None:
    schema = load("digits").schema
    for wrong, message in (
        ({"quantizer": "fsq", "gradient": "rotation"}, "straight_through"),
        ({"quantizer": "vq", "dropout": 0.5}, "residual"),
        ({"quantizer": "residual", "dropout": 1.5}, "share"),
        ({"quantizer": "fsq", "codes": 8}, "codes"),
        ({"quantizer": "lfq", "codes": 12}, "16 for 4"),
        ({"gradient": "rotatoin"}, "did you mean 'rotation'"),
    ):
        with pytest.raises(OptionError, match=message):
            assemble(schema, ModelOptions(model="vq_vae", model_options=wrong))
    with pytest.raises(OptionError, match="4 numbers"):
        assemble(
            schema, ModelOptions(model="vq_vae", latent_dim=3, model_options={"quantizer": "fsq"})
        )


def test_the_rotation_trick_changes_the_gradient_and_not_the_bound() -> None:
    losses, gradients = [], []
    for gradient in ("straight_through", "rotation"):
        model, data = small("vq", gradient=gradient)
        loss = ELBO()(model.double(), batch_of(data)).loss
        loss.backward()
        losses.append(loss.detach())
        gradients.append(next(model.encoder.parameters()).grad)
    torch.testing.assert_close(losses[0], losses[1])
    assert not torch.allclose(gradients[0], gradients[1])


def test_codes_of_several_codebooks_by_hand() -> None:
    model, data = small("residual")
    model, batch = model.double().eval(), batch_of(data, 64)
    with torch.no_grad():
        rest = model.encoder(batch.x).unflatten(1, (4, model.dim))
        codes = model.quantize(batch)
    for quantizer, found in zip(model.quantizers, codes, strict=True):
        book = quantizer.vectors(torch.arange(8))
        assert torch.equal(found, torch.cdist(rest, book.expand(64, -1, -1)).argmin(-1))
        rest = rest - book[found]
    torch.testing.assert_close(
        model.encode(batch).mean[0] + rest.flatten(1), model.encoder(batch.x)
    )
