"""Priors over codes in whole numbers: near what they come from, and a sum that never varies."""

from __future__ import annotations

import math

import pytest
import torch

from lowerbound.applications.compression.code_tables import (
    TableCodes,
    check_codes,
    export_codes,
    whole_counts,
)
from lowerbound.applications.compression.lossless import model_hash
from lowerbound.applications.compression.stack import PRECISION
from lowerbound.data import Dataset, load
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.priors.codes import MarginalCodes, UniformCodes
from tests.applications.compression.small_codecs import digits, small_codes, small_model


@pytest.mark.parametrize("codes", [2, 3, 512, 1000])
def test_counts_are_near_and_sum_up(codes: int) -> None:
    torch.manual_seed(0)
    shares = torch.distributions.Dirichlet(torch.full((codes,), 0.3)).sample((5,)).double()
    shares[0] = 0.0
    shares[0, 1] = 1.0
    counts = whole_counts(shares.log())
    assert counts.dtype == torch.int32
    assert (counts >= 1).all()
    assert (counts.sum(-1) == 1 << PRECISION).all()
    assert ((counts / (1 << PRECISION) - shares).abs() <= (codes + 2) / (1 << PRECISION)).all()


def test_even_counts_are_even() -> None:
    assert (whole_counts(torch.full((512,), -math.log(512))) == 1 << (PRECISION - 9)).all()


def test_a_uniform_prior_has_one_table_for_all_places() -> None:
    table = TableCodes(UniformCodes((3, 2), 8))
    assert table.counts.shape == (1, 8)
    assert table.tables.shape == (6, 8)
    torch.testing.assert_close(
        table().log_probabilities, torch.full((3, 2, 8), -math.log(8)), atol=1e-5, rtol=0
    )


def test_a_table_says_what_its_prior_says() -> None:
    prior = MarginalCodes((3, 2), 8)
    torch.manual_seed(0)
    prior.shares.copy_(torch.distributions.Dirichlet(prior.shares * 8).sample())
    expected, found = prior().log_probabilities, TableCodes(prior)().log_probabilities
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_the_model_stays_as_it_was() -> None:
    model = small_codes(digits(grey=True), prior="marginal")
    before = model_hash(model)
    exported = export_codes(model)
    assert model_hash(model) == before != model_hash(exported)
    assert isinstance(model.priors[0], MarginalCodes)
    assert isinstance(exported.priors[0], TableCodes)
    assert model_hash(export_codes(model)) == model_hash(exported)


def conditional(rows: Dataset) -> Model:
    rows = rows.conditioned_on_label()
    return assemble(rows.schema, ModelOptions(model="vq_vae", network="mlp", conditional=True))


def masked() -> Model:
    x = torch.randn(20, 5)
    x[0, 0] = torch.nan
    schema = load(x.numpy(), missing="model").schema
    return assemble(schema, ModelOptions(model="vq_vae", network="mlp"))


def test_what_takes_more_than_a_row_is_refused() -> None:
    for model, words in (
        (small_model("mlp", digits()), "has no codes"),
        (conditional(digits(grey=True)), "do not hold classes"),
        (masked(), "missing values"),
    ):
        with pytest.raises(UnsupportedError, match=words):
            check_codes(model)
