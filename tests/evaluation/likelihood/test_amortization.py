"""The amortization gap of a model whose best posterior is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.distributions.keyed_noise import KeyedNoise
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.likelihood.tighter import (
    AmortizationGap,
    InferenceOptions,
    MirroredNoise,
    amortization_gap,
)
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import dry_run, first_row
from lowerbound.models.options import ModelOptions
from tests.evaluation.small_models import linear_autoencoder, vectors
from tests.oracles import linear_gaussian as oracle

ROWS = vectors(oracle.data(60))
THOROUGH = InferenceOptions(updates=200, pairs=8)


def gap(widen: float = 1.0, shift: float = 0.0) -> AmortizationGap:
    model = oracle.model("mean_field", widen)
    model.encoder.bias.data[: oracle.LATENT] += shift
    return amortization_gap(model, ROWS, THOROUGH)


def closed_form(widen: float, shift: float) -> float:
    """What a wrong width and a wrong mean cost beyond the best factorized posterior."""
    precision = torch.linalg.inv(oracle.posterior_matrices()[1])
    error = torch.full((oracle.LATENT,), shift, dtype=torch.float64)
    width = oracle.mean_field_gap(widen) - oracle.mean_field_gap(1.0)
    return width + 0.5 * float(error @ precision @ error)


def test_an_encoder_that_is_exact_has_no_gap() -> None:
    assert abs(gap().gap.mean) < 5e-3


@pytest.mark.parametrize(("widen", "shift"), [(1.5, 0.0), (0.5, 0.0), (1.0, 0.3), (1.5, -0.2)])
def test_the_gap_is_what_the_perturbation_costs(widen: float, shift: float) -> None:
    assert gap(widen, shift).gap.mean == pytest.approx(closed_form(widen, shift), abs=0.02)


def test_both_sides_are_elbos() -> None:
    found = gap(1.5)
    exact = oracle.log_marginal(ROWS.x)
    best = exact - oracle.mean_field_gap(1.0)
    assert float((found.optimized - best).mean()) == pytest.approx(0, abs=0.03)
    expected = exact - oracle.mean_field_gap(1.5)
    assert float((found.encoder - expected).mean()) == pytest.approx(0, abs=0.05)


def test_a_full_covariance_is_compared_from_its_moments() -> None:
    model = oracle.model("exact")
    found = amortization_gap(model, ROWS, THOROUGH)
    assert found.gap.mean == pytest.approx(-oracle.mean_field_gap(1.0), abs=0.02)


def test_rows_are_independent_of_their_chunk() -> None:
    model = oracle.model("mean_field", 1.5)
    rows = ROWS.subset(range(12))
    together = amortization_gap(model, rows)
    chunk = 128 * 7 * dry_run(model, first_row(rows, model)).bytes
    apart = amortization_gap(model, rows, memory=chunk)
    assert torch.allclose(together.optimized, apart.optimized, rtol=1e-7)
    alone = amortization_gap(model, rows.subset([3]))
    assert torch.allclose(alone.optimized, together.optimized[3:4], rtol=1e-7)


@pytest.mark.usefixtures("untouched_random_state")
def test_the_model_is_left_as_it_was() -> None:
    with torch.random.fork_rng():
        model = oracle.model("mean_field", 1.5).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    amortization_gap(model, ROWS.subset([0, 1]))
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_takes_its_own_gradients_whatever_the_callers_mode(context: type) -> None:
    rows, model = ROWS.subset([0, 1]), oracle.model("mean_field", 1.5)
    expected = amortization_gap(model, rows)
    with context():
        found = amortization_gap(model, rows)
    assert torch.equal(found.optimized, expected.optimized)


def test_noise_is_mirrored() -> None:
    noise = MirroredNoise(KeyedNoise(torch.tensor([1, 2])))
    eps = noise.normal((6, 2, 3), torch.zeros(()), 0)
    assert torch.equal(eps[:3], -eps[3:])


def test_an_autoencoder_has_no_gap_to_speak_of() -> None:
    with pytest.raises(UnsupportedError, match="models that can: pca, vae"):
        amortization_gap(linear_autoencoder(oracle.FEATURES, 2), ROWS)


@pytest.mark.slow
def test_why_cells_are_missing_counts_on_both_sides() -> None:
    """The encoder's side is the bound of a pass, which has log p(missing | z) in it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) + rng.normal(size=(200, 3))
    x[x[:, 0] > 0, 0] = np.nan
    data = load(x, missing="model")
    model = assemble(data.schema, ModelOptions(latent_dim=1, missingness="self_masking_high"))
    model.start(data)
    rows = data.subset(range(40))
    found = amortization_gap(model.eval(), rows, InferenceOptions(updates=20, judging_pairs=500))
    bound = score(model, rows, samples=1000).elbo - rows.log_jacobian(mass=False)
    assert float((found.encoder - bound).mean()) == pytest.approx(0, abs=0.02)
