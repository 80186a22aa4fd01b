"""Scores against exact marginals, and what no score may depend on."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from lowerbound import VAE, ProbabilisticPCA
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.likelihood import most_samples, score
from lowerbound.inference.passes import (
    ChunkPlan,
    dry_run,
    evaluation_mode,
    first_row,
    keyed_draw,
)
from lowerbound.inference.scores import Scores, marginal_difference
from lowerbound.models import ProbabilisticPrincipalComponents, VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.networks.matrix_products import native_bf16
from lowerbound.trace import Batch
from tests.evaluation.small_models import (
    binary_vae,
    bits,
    coder,
    linear_autoencoder,
    vectors,
)
from tests.oracles import linear_gaussian as oracle

ROWS = vectors(oracle.data(300))
BITS = bits((torch.rand(40, 12, generator=torch.Generator().manual_seed(5)) < 0.4).float())

pytestmark = pytest.mark.filterwarnings("ignore:the median effective sample size")


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs() / b.abs().clamp_min(1.0)).max())


@pytest.mark.parametrize("samples", [1, 7])
def test_with_the_exact_posterior_every_bound_is_the_marginal(samples: int) -> None:
    scores = score(oracle.model("exact"), ROWS, samples=samples)
    assert (scores.bound - oracle.log_marginal(ROWS.x)).abs().max() < 1e-9
    assert (scores.effective_sample_size - samples).abs().max() < 1e-8


@pytest.mark.parametrize("widen", [1.0, 1.5])
def test_elbo_falls_short_of_the_marginal_by_the_posterior_kl(widen: float) -> None:
    scores = score(oracle.model("mean_field", widen), ROWS, samples=2_000)
    gap = oracle.log_marginal(ROWS.x) - scores.elbo
    assert float(gap.mean()) == pytest.approx(oracle.mean_field_gap(widen), abs=6e-3)


@pytest.mark.slow
def test_the_exact_marginal_keeps_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ProbabilisticPrincipalComponents((oracle.FEATURES,), 2).fit(ROWS.x)
    seen: list[tuple[bool, int]] = []
    exact = type(model).log_marginal

    def watched(self: object, x: Tensor, observed: Tensor | None = None) -> Tensor:
        seen.append((torch.is_grad_enabled(), len(x)))
        return exact(self, x, observed)

    monkeypatch.setattr(type(model), "log_marginal", watched)
    score(model, ROWS, memory=1)
    assert len(seen) > 1
    assert not any(enabled for enabled, _ in seen)


def test_parts_add_up() -> None:
    scores = score(oracle.model("mean_field"), ROWS, samples=3)
    assert torch.allclose(scores.elbo, -scores.distortion - scores.rates.sum(0), rtol=1e-12)
    assert scores.rates.shape == (1, 300)


def test_the_rate_is_the_closed_form() -> None:
    model = coder(3, 0.5)
    rows = vectors(torch.randn(10, 3, dtype=torch.float64))
    q, p = Normal(rows.x, 0.5), Normal(torch.zeros(()).double(), 1.0)
    exact = torch.distributions.kl_divergence(q, p).sum(1)
    assert torch.allclose(score(model, rows).rates[0], exact, rtol=1e-12)


def test_more_samples_tighten_the_bound_in_order_and_stay_below() -> None:
    model = oracle.model("mean_field", 1.5)
    rows = vectors(oracle.data(4_000))
    scores = [score(model, rows, samples=samples) for samples in (1, 4, 16, 64)]
    for looser, tighter in itertools.pairwise(scores):
        difference = marginal_difference(tighter, looser)
        assert difference.mean > 4 * (difference.standard_error or 0)
    gap = Estimate.of(oracle.log_marginal(rows.x) - scores[-1].bound)
    assert gap.mean > -4 * (gap.standard_error or 0)


def test_two_latents_against_quadrature() -> None:
    model = binary_vae().double()
    rows = BITS.subset(range(5))
    grid = torch.linspace(-8, 8, 321, dtype=torch.float64)
    z = torch.cartesian_prod(grid, grid)
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    with torch.no_grad():
        emission = model.decode(z.unsqueeze(1))
        log_joint = emission.log_prob(rows.all().filled.double()) + log_prior.unsqueeze(1)
    exact = torch.logsumexp(log_joint, 0) + 2 * math.log(16 / 320)
    scores = score(model, rows, samples=20_000)
    error = (1 / scores.effective_sample_size - 1 / 20_000).sqrt()
    assert ((scores.bound - exact).abs() < 4 * error).all()
    assert float(error.max()) < 0.1


def chunk_bytes(model: VariationalAutoencoder, samples: int) -> int:
    return samples * dry_run(model, first_row(BITS, model)).bytes


def count_samples(model: VariationalAutoencoder, samples: int, memory: int) -> list[torch.Size]:
    seen: list[torch.Size] = []
    decode = model.decode

    def spy(z: Tensor, condition: Tensor | None = None) -> object:
        seen.append(z.shape)
        return decode(z, condition)

    model.decode = spy  # type: ignore[method-assign,assignment]
    score(model, BITS, samples=samples, memory=memory)
    return seen[2:]  # the first two are the dry run


def test_exactly_k_samples_of_every_row_in_chunks_of_three() -> None:
    model = binary_vae()
    shapes = count_samples(model, 7, chunk_bytes(model, 3))
    assert [shape[0] for shape in shapes] == [3, 3, 1] * len(BITS)
    assert {shape[1] for shape in shapes} == {1}


@pytest.mark.parametrize("pairs", [1, 10, 64])
def test_no_chunk_holds_more_than_memory_allows(pairs: int) -> None:
    model = binary_vae()
    shapes = count_samples(model, 9, chunk_bytes(model, pairs))
    assert max(shape[0] * shape[1] for shape in shapes) <= pairs
    assert sum(shape[0] * shape[1] for shape in shapes) == 9 * len(BITS)


def test_the_bound_is_the_log_mean_of_the_weights_of_those_draws() -> None:
    model = binary_vae()
    scores = score(model, BITS, samples=7)
    with evaluation_mode(model):
        batch = BITS.all()
        weights = model(batch, keyed_draw(batch, 7, 0)).log_weights(batch.filled).double()
    assert torch.allclose(scores.bound, torch.logsumexp(weights, 0) - math.log(7), rtol=1e-6)
    normalized = torch.softmax(weights, 0)
    assert torch.allclose(scores.effective_sample_size, 1 / normalized.square().sum(0), rtol=1e-5)


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-7), (False, 1e-4)])
def test_a_score_depends_neither_on_order_nor_batch_nor_chunk(
    double: bool, tolerance: float
) -> None:
    model = binary_vae().double() if double else binary_vae()
    all_at_once = score(model, BITS, samples=11)
    order = torch.randperm(len(BITS))
    shuffled = score(model, BITS.subset(order), samples=11)
    chunked = score(model, BITS, samples=11, memory=chunk_bytes(model, 4))
    alone = score(model, BITS.subset([17]), samples=11)
    for name in ("elbo", "bound", "effective_sample_size", "distortion"):
        expected = getattr(all_at_once, name)
        assert relative_difference(getattr(shuffled, name), expected[order]) < tolerance
        assert relative_difference(getattr(chunked, name), expected) < tolerance
        assert relative_difference(getattr(alone, name), expected[17:18]) < tolerance


def test_the_seed_changes_the_draws() -> None:
    model = binary_vae()
    a, b = score(model, BITS, samples=2), score(model, BITS, samples=2, seed=1)
    assert (a.bound - b.bound).abs().min() > 0


@pytest.mark.usefixtures("untouched_random_state")
def test_scoring_leaves_the_random_state_alone() -> None:
    score(binary_vae_without_seed(), BITS, samples=3)


def binary_vae_without_seed() -> VariationalAutoencoder:
    with torch.random.fork_rng():
        return binary_vae()


def test_scoring_is_in_evaluation_mode_and_restores_every_modules_own() -> None:
    model = binary_vae(dropout=0.5)
    model.train()
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    first, second = score(model, BITS, samples=3), score(model, BITS, samples=3)
    assert torch.equal(first.bound, second.bound)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())


def test_modes_are_restored_after_an_error() -> None:
    model = binary_vae().train()

    with pytest.raises(KeyError), evaluation_mode(model):
        raise KeyError
    assert model.training


@pytest.mark.skipif(not native_bf16(), reason="no bf16 products in hardware")
def test_bf16_products_give_nearly_the_same_bound_and_are_stamped() -> None:
    model, rows = binary_vae(features=64, latent=8), bits((torch.rand(40, 64) < 0.4).float())
    exact, rounded = (score(model, rows, samples=200, precision=p) for p in ("float32", "bf16"))
    apart = (exact.bound - rounded.bound).abs()
    assert 0 < float(apart.max()) < 0.05
    assert (exact.protocol.precision, rounded.protocol.precision) == ("float32", "bf16")
    assert rounded.summary().estimator.endswith("products in bf16")
    assert torch.equal(score(model, rows, samples=200).bound, exact.bound)  # nothing stays set


def test_bf16_without_products_in_hardware_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowerbound.inference.likelihood.native_bf16", lambda: False)
    found = score(binary_vae(), BITS, samples=5, precision="bf16")
    assert torch.equal(found.bound, score(binary_vae(), BITS, samples=5).bound)
    assert found.protocol.precision == "float32"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'bf16'"):
        score(binary_vae(), BITS, precision="bf61")  # type: ignore[arg-type]


def test_float64_data_is_scored_in_float64_and_the_model_stays_float32() -> None:
    model = oracle.model("mean_field").float()
    scores = score(model, ROWS, samples=5)
    expected = score(oracle.model("mean_field").float().double(), ROWS, samples=5)
    assert torch.equal(scores.bound, expected.bound)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    single = score(model, vectors(ROWS.x.float()), samples=5)
    assert relative_difference(single.bound, scores.bound) < 1e-4


def test_densities_are_in_the_datas_own_units() -> None:
    model = oracle.model("mean_field")
    scores = score(model, ROWS, samples=3)
    scaled = score(model, vectors(ROWS.x, scale=10.0), samples=3)
    shift = oracle.FEATURES * math.log(10)
    for name in ("elbo", "bound"):
        assert torch.allclose(getattr(scaled, name), getattr(scores, name) - shift, rtol=1e-12)
    assert torch.allclose(scaled.distortion, scores.distortion + shift, rtol=1e-12)
    assert torch.allclose(scaled.elbo, -scaled.distortion - scaled.rates.sum(0), rtol=1e-12)


def test_pca_reports_its_exact_marginal_beside() -> None:
    model = ProbabilisticPrincipalComponents((oracle.FEATURES,), 2).fit(ROWS.x)
    rows = vectors(ROWS.x, scale=10.0)
    scores = score(model, rows, samples=4)
    assert scores.log_marginal is not None
    assert torch.allclose(scores.bound, scores.log_marginal, rtol=1e-9)
    exact = model.log_marginal(ROWS.x) - oracle.FEATURES * math.log(10)
    assert torch.allclose(scores.log_marginal, exact, rtol=1e-12)


def blind_coin() -> VariationalAutoencoder:
    """p(x | z) is a fair coin per feature and q is the prior: everything is known."""
    model = binary_vae()
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


def test_fair_coins_cost_one_bit_per_dimension() -> None:
    scores = score(blind_coin(), BITS, samples=13)
    assert torch.allclose(scores.bound, torch.full((40,), -12 * math.log(2)).double(), rtol=1e-6)
    bits_per_dimension = scores.bits_per_dimension()
    assert bits_per_dimension.mean == pytest.approx(1.0, rel=1e-6)
    assert float(scores.effective_sample_size.min()) == pytest.approx(13, rel=1e-5)


@pytest.mark.parametrize(
    ("levels", "advice"),
    [
        (None, "compare the bounds in nats"),
        (2, "fit with --likelihood bernoulli"),
        (256, "fit with --likelihood discretized_logistic"),
    ],
)
def test_bits_per_dimension_of_a_density_are_refused(levels: int | None, advice: str) -> None:
    scores = score(oracle.model("exact"), ROWS)
    scores = replace(scores, protocol=replace(scores.protocol, levels=levels))
    with pytest.raises(UnsupportedError, match=f"is a density: on whole numbers.*; {advice}$"):
        scores.bits_per_dimension()
    summary = scores.summary()
    assert summary.bits_per_dimension is None
    assert advice in summary.bits_refusal


def test_the_summary_says_how_it_was_made() -> None:
    scores = score(blind_coin(), BITS, samples=3, seed=4, split="test")
    summary = json.loads(scores.summary().to_json())
    assert summary["estimator"] == "importance-weighted lower bound L_3 on log p(x)"
    assert summary["unit"] == "nats per row"
    assert summary["protocol"]["sha256"] == BITS.bits_sha256
    assert summary["protocol"]["seed"] == 4
    assert summary["protocol"]["split"] == "test"
    assert summary["protocol"]["likelihood"] == "Bernoulli"
    assert summary["protocol"]["levels"] == 2


def test_the_summary_has_median_and_least_of_the_effective_sample_sizes() -> None:
    scores = score(oracle.model("mean_field", 0.6), ROWS, samples=20)
    sizes, summary = scores.effective_sample_size.numpy(), scores.summary()
    assert summary.median_effective_sample_size == pytest.approx(np.median(sizes), rel=1e-2)
    assert summary.least_effective_sample_size == sizes.min() < 0.5 * sizes.max()


def test_one_row_without_a_bound_is_an_error() -> None:
    rows = ROWS.x[:5].clone()
    rows[3, 0] = math.nan
    with pytest.raises(DataError, match=r"of 1 of 5 rows is not a number, first in row 3,"):
        score(oracle.model("mean_field"), vectors(rows))


def test_standard_errors_are_over_rows() -> None:
    values = torch.tensor([1.0, 2.0, 4.0])
    estimate = Estimate.of(values)
    assert estimate.mean == pytest.approx(7 / 3)
    assert estimate.standard_error == pytest.approx(np.std([1, 2, 4], ddof=1) / math.sqrt(3))
    assert Estimate.of(values[:1]).standard_error is None


def test_poor_proposals_are_warned_of() -> None:
    model = oracle.model("mean_field", 0.5)
    model.encoder.bias.data[: oracle.LATENT] += 1.0  # about four standard deviations off
    with pytest.warns(UserWarning, match=r"effective sample size is .* of 100 draws"):
        scores = score(model, ROWS, samples=100)
    assert scores.effective_sample_size_low
    assert "lower bound" in scores.summary().warning


def test_good_proposals_are_not(recwarn: pytest.WarningsRecorder) -> None:
    scores = score(oracle.model("mean_field"), ROWS, samples=100)
    assert not scores.effective_sample_size_low
    assert scores.summary().warning == ""
    assert not recwarn.list


def test_paired_difference() -> None:
    a = score(oracle.model("mean_field", 1.5), ROWS, samples=1)
    b = score(oracle.model("mean_field"), ROWS, samples=1)
    difference = marginal_difference(a, b)
    values = (a.bound - b.bound).numpy()
    assert difference.mean == pytest.approx(values.mean())
    assert difference.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(300))


def test_other_rows_or_another_order_cannot_be_paired() -> None:
    model = oracle.model("mean_field")
    turned = vectors(ROWS.x.flip(0))
    with pytest.raises(DataError, match="different rows"):
        marginal_difference(score(model, ROWS), score(model, turned))


def test_rows_of_a_table_are_known_whatever_the_fit_standardized() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(5, 3, 60), rng.lognormal(size=60) * 1e6, rng.poisson(3, 60)])
    whole, part = ProbabilisticPCA(latent_dim=1).fit(X), VAE(latent_dim=1, epochs=1).fit(X[:50])

    def scored(model: Any, rows: Any) -> Scores:
        return score(model.model_, model._read(rows))

    assert np.isfinite(marginal_difference(scored(whole, X), scored(part, X)).mean)
    changed = X.copy()
    changed[7, 0] += 0.05
    wide = VAE(latent_dim=1, epochs=1).fit(X * 1024)
    others = [scored(part, X[::-1]), scored(part, changed), scored(part, X[:50])]
    for other in (*others, scored(wide, X * 1024)):
        with pytest.raises(DataError, match=r"different rows, or .* in other units"):
            marginal_difference(scored(whole, X), other)


def test_an_outlier_does_not_hide_that_other_rows_differ() -> None:
    rng = np.random.default_rng(0)
    X, Z = 100 * rng.exponential(size=(2, 200, 3))
    X[0] = Z[0] = 1e9
    one, two = (ProbabilisticPCA(latent_dim=1).fit(rows) for rows in (X, X[1:]))
    for other in (Z, np.concatenate([X[:1], X[:0:-1]])):
        with pytest.raises(DataError, match="different rows"):
            marginal_difference(
                score(one.model_, one._read(X)), score(two.model_, two._read(other))
            )


@pytest.mark.parametrize("samples", [0, 1.5, True, "a", None])
def test_a_number_of_samples_is_whole_and_positive(samples: Any) -> None:
    with pytest.raises(OptionError, match=r"samples must be (at least 1|a whole number), not"):
        most_samples(oracle.model("mean_field"), ROWS, samples)
    with pytest.raises(OptionError, match=r"samples must be (at least 1|a whole number), not"):
        score(oracle.model("mean_field"), ROWS, samples=samples)


def test_a_mass_and_a_density_cannot_be_compared() -> None:
    a = score(blind_coin(), BITS)
    b = Scores(**{**vars(a), "mass": False})
    with pytest.raises(DataError, match="mass and a density"):
        marginal_difference(a, b)


def test_only_one_model_that_is_told_the_class_cannot_be_compared() -> None:
    a = score(blind_coin(), BITS)
    b = replace(a, protocol=replace(a.protocol, conditional=True))
    with pytest.raises(DataError, match="only one of the models is conditional"):
        marginal_difference(a, b)
    assert marginal_difference(b, b).mean == 0.0


def test_an_autoencoder_has_no_bound() -> None:
    with pytest.raises(UnsupportedError, match=r"no prior.*reconstruction error"):
        score(linear_autoencoder(oracle.FEATURES, 2), ROWS)


class BoundedNormal(Independent):
    """A prior that says only a lower bound on its density."""

    density = "bound"


def test_a_prior_with_a_bound_for_a_density_is_not_importance_weighted() -> None:
    model = oracle.model("mean_field")
    loc = torch.zeros(1, 1, oracle.LATENT, dtype=torch.float64)
    prior = BoundedNormal(Normal(loc, torch.ones_like(loc)), 1)
    model.prior_distribution = lambda prompt=None: prior  # type: ignore[method-assign]
    score(model, ROWS, samples=1)
    with pytest.raises(UnsupportedError, match="needs the exact one"):
        score(model, ROWS, samples=2)


def test_hidden_cells_reach_no_score() -> None:
    model = oracle.model("mean_field")
    observed = torch.rand(300, oracle.FEATURES) < 0.7
    holes = torch.where(observed, ROWS.x, torch.full_like(ROWS.x, math.nan))
    zeros = torch.where(observed, ROWS.x, torch.zeros_like(ROWS.x))
    a = score(model, replace(ROWS, x=holes, observed=observed), samples=2)
    b = score(model, replace(ROWS, x=zeros, observed=observed), samples=2)
    assert torch.isfinite(a.bound).all()
    assert torch.equal(a.bound, b.bound)


@pytest.mark.parametrize(("samples", "memory"), [(0, 1 << 20), (1, 0)])
def test_samples_and_memory_must_be_positive(samples: int, memory: int) -> None:
    with pytest.raises(OptionError):
        score(blind_coin(), BITS, samples=samples, memory=memory)


def test_no_rows_are_an_error() -> None:
    with pytest.raises(DataError, match="no rows"):
        score(blind_coin(), BITS.subset([]))


def test_progress_is_told() -> None:
    model = blind_coin()
    seen: list[tuple[int, int]] = []
    score(
        model,
        BITS,
        memory=chunk_bytes(model, 16),
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(16, 40), (32, 40), (40, 40)]


def test_a_plan_fills_samples_before_rows() -> None:
    footprint = dry_run(blind_coin(), first_row(BITS, blind_coin()))
    plan = ChunkPlan.within(10 * footprint.bytes, footprint, 4)
    assert (plan.samples, plan.rows) == (4, 2)
    assert ChunkPlan.within(1, footprint, 4) == ChunkPlan(1, 1)


def test_what_a_prior_passes_through_the_encoder_is_no_cost_of_a_row() -> None:
    """A VampPrior of many inputs once left room for a handful of samples at a time."""
    row = Batch(x=torch.rand(1, 12).round())
    sizes = {}
    for components in (1, 500):
        model = assemble(
            bits(torch.rand(4, 12).round()).schema,
            ModelOptions(
                latent_dim=2,
                network="mlp",
                likelihood="bernoulli",
                prior="vamp",
                prior_options={"components": components},
            ),
        )
        sizes[components] = dry_run(model, row)
    assert sizes[1].bytes == sizes[500].bytes
    assert sizes[1].differentiated().bytes == sizes[500].differentiated().bytes
