"""How codes are used, in numbers that can be counted by hand."""

from __future__ import annotations

import json
import math

import pytest
import torch

from lowerbound.applications.common.sentences import about_latents
from lowerbound.data import load
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.suites import latent_suite
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.codes import codebook_use
from lowerbound.inference.estimate import Skipped
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.posteriors.vector_quantized import CodebookUse
from lowerbound.training import History, train
from tests.training.cases import options


def model_of_digits() -> VectorQuantizedVariationalAutoencoder:
    data = load("digits").thinned(100)
    torch.manual_seed(0)
    model = assemble(data.schema, ModelOptions(model="vq_vae", model_options={"codes": 8}))
    model.start(data)
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    return model


def test_even_use_has_the_perplexity_of_its_size() -> None:
    even = CodebookUse(torch.full((8,), 5))
    assert even.used == 1.0
    assert even.entropy == pytest.approx(math.log(8))
    assert even.perplexity == pytest.approx(8)


def test_a_collapsed_codebook() -> None:
    one = CodebookUse(torch.tensor([0, 9, 0, 0]))
    assert (one.used, one.entropy, one.perplexity) == (0.25, 0.0, 1.0)
    two = CodebookUse(torch.tensor([3, 1, 0, 0]))
    assert two.entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert two.to_mapping()["codes"] == 4


def test_use_is_counted_over_all_places_and_rows() -> None:
    model, data = model_of_digits(), load("digits").thinned(100)
    (use,) = codebook_use(model, data, memory=1 << 14)
    (codes,) = model.eval().quantize(data.all().to(torch.float32))
    assert codes.shape == (100, 4)
    assert torch.equal(use.counts, torch.bincount(codes.flatten(), minlength=8))


def test_a_model_without_codes_has_no_codebook() -> None:
    data = load("digits").thinned(40)
    model = assemble(data.schema, ModelOptions(latent_dim=2))
    with pytest.raises(UnsupportedError, match="models that can: vq_vae"):
        codebook_use(model, data)


def test_the_suite_of_latents_says_it() -> None:
    data = load("digits").thinned(100)
    found = latent_suite(model_of_digits(), data, data, SuiteOptions(rows=50))
    assert not isinstance(found.codebooks, Skipped)
    (mapping,) = json.loads(json.dumps(found.to_mapping()))["codebooks"]
    assert mapping["codes"] == 8
    assert 0 < mapping["used"] <= 1 <= mapping["perplexity"] <= 8
    assert any("of 8 codes are used" in line for line in about_latents(found))


def test_training_records_the_use_since_the_record_before() -> None:
    """Perplexities of two records are those of the codes that were chosen between them."""
    data, model = load("digits").thinned(100), model_of_digits()
    chosen: list[torch.Tensor] = []
    learn = model.quantizers[0].learn

    def spied(vectors: torch.Tensor, codes: torch.Tensor) -> None:
        chosen.append(codes)
        learn(vectors, codes)

    model.quantizers[0].learn = spied  # type: ignore[method-assign, assignment]
    history = train(model, ELBO(), data, options(updates=100))
    assert [record.updates for record in history] == [50, 100]
    for record, codes in zip(history, (chosen[:50], chosen[50:]), strict=True):
        use = CodebookUse(torch.bincount(torch.cat(codes), minlength=8))
        assert record.readings["codes used"] == (pytest.approx(use.used),)
        assert record.readings["perplexity"] == (pytest.approx(use.perplexity),)
    assert History.from_lines(history.to_lines()) == history
    assert not model.readings()
