"""The transform coder: its bound, its order, its start, against brute force and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, logistic

from lowerbound.applications.compression.logistic_tables import counts_of, reach_of
from lowerbound.data import load
from lowerbound.distributions.rounded_logistic import (
    DISTORTION,
    LEAST_LOG_SCALE,
    PLACES,
    STRIDE,
    RoundedLogistic,
    nearest_worth,
)
from lowerbound.errors import OptionError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.models.options import ModelOptions
from lowerbound.networks.block_transform import BlockTransform, groups_of, places
from lowerbound.objectives import ELBO
from lowerbound.trace import Batch, Draw, Given, Mean
from tests.applications.compression.small_transform import cutout, small_coder, tiles


def some(locations: list[float], log_scales: list[float]) -> RoundedLogistic:
    return RoundedLogistic(
        torch.tensor(locations, dtype=torch.float64)[None, None],
        torch.tensor(log_scales, dtype=torch.float64)[None, None],
    )


@pytest.mark.parametrize("log_scale", [-3.0, -1.0, 0.0, 2.0])
def test_probabilities_of_whole_numbers_are_scipys(log_scale: float) -> None:
    q = torch.arange(-300.0, 301.0, dtype=torch.float64)
    expected = some([0.3] * len(q), [log_scale] * len(q))
    found = expected.terms(q).exp().flatten()
    scale = np.exp(log_scale)
    wanted = logistic.cdf(q + 0.5, 0.3, scale) - logistic.cdf(q - 0.5, 0.3, scale)
    near = wanted > 1e-9  # scipy's own differences are noise beyond
    np.testing.assert_allclose(found[near], wanted[near], rtol=1e-6)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-9)
    assert torch.isfinite(expected.terms(1e6 * torch.sign(q))).all()


def test_draws_have_the_probabilities_of_the_density() -> None:
    chosen = some([2.3], [0.0])
    noise = torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = chosen.push(noise[:, None, None]).flatten()
    values = torch.arange(-2.0, 8.0, dtype=torch.float64)
    counts = torch.stack([(drawn == value).sum() for value in values])
    masses = some([2.3] * len(values), [0.0] * len(values)).terms(values).exp().flatten()
    others = len(noise) - counts.sum(), len(noise) * (1 - masses.sum())
    found, wanted = [*counts, others[0]], [*(len(noise) * masses), others[1]]
    assert chisquare(found, wanted).pvalue > 1e-3


def test_snapping_is_near_and_does_not_move_what_lies_on_the_grid() -> None:
    loose = RoundedLogistic(torch.randn(1, 4, 50) * 20, torch.randn(1, 4, 50))
    once = loose.snapped()
    assert float((once.location - loose.location).abs().max()) <= 0.5 / PLACES + 1e-6
    assert float((once.log_scale - loose.log_scale).abs().max()) <= 0.5 * STRIDE + 1e-6
    assert torch.equal(once.snapped().location, once.location)
    assert torch.equal(once.snapped().log_scale, once.log_scale)


@pytest.mark.parametrize("table", [0, 5, 200, 16 * 40 + 3])
def test_tables_hold_the_same_probabilities(table: int) -> None:
    counts, reach = counts_of(table).double(), reach_of(table)
    place = (table % PLACES) / PLACES
    log_scale = LEAST_LOG_SCALE + (table // PLACES) * STRIDE
    q = torch.arange(-reach, reach + 1, dtype=torch.float64)
    wanted = some([place] * len(q), [log_scale] * len(q)).terms(q).exp().flatten()
    assert int(counts.sum()) == 2**24
    assert int(counts.min()) >= 1
    likely = wanted > 1e-4
    np.testing.assert_allclose(counts[:-1][likely] / 2**24, wanted[likely], rtol=2e-3)


def test_rounding_is_the_cheapest_nearby() -> None:
    """Brute force over all numbers within three steps: never much cheaper, mostly the same."""
    torch.manual_seed(0)
    wanted = torch.randn(1, 500) * 3
    expected = RoundedLogistic(torch.randn(1, 1, 500), torch.randn(1, 1, 500) - 1)
    chosen = nearest_worth(wanted, expected)

    def cost(q: torch.Tensor) -> torch.Tensor:
        return DISTORTION * (wanted - q).square() - expected.terms(q)

    all_near = torch.stack([cost(torch.round(wanted) + d) for d in range(-3, 4)])
    best = all_near.min(0).values
    assert float((cost(chosen) <= best + 1e-5).float().mean()) > 0.95
    assert (cost(chosen) <= cost(torch.round(wanted)) + 1e-6).all()


def test_the_transform_is_principal_components() -> None:
    """Numpy's singular vectors of the same blocks keep as much of the variance."""
    x = torch.randn(40, 1, 8, 8) @ torch.randn(8, 8)
    kept = BlockTransform(1, 8, 5)
    kept.start_from(x)
    _, singular, _ = np.linalg.svd(x.flatten(1).numpy(), full_matrices=False)
    lost = float((x - kept.inverse(kept(x))).square().sum())
    assert lost == pytest.approx(float((singular[5:] ** 2).sum()), rel=1e-3)
    np.testing.assert_allclose(kept.deviation, singular[:5] / 40**0.5, rtol=1e-3)


def test_all_components_lose_nothing() -> None:
    model = small_coder()
    x = model.padded(cutout(32, 48))
    torch.testing.assert_close(model.transform.inverse(model.transform(x)), x, rtol=0, atol=2e-3)


def test_groups_and_turns_cover_every_coefficient_once() -> None:
    for count in (1, 3, 17, 192, 768):
        groups = groups_of(count)
        assert [i for group in groups for i in range(*group)] == list(range(count))
    at = torch.cat([places(5, 7, 0), places(5, 7, 1)])
    assert sorted(at.tolist()) == list(range(35))


def test_nothing_is_expected_of_numbers_from_later_ones() -> None:
    """Changing a number changes what is expected of later steps alone."""
    model = small_coder()
    x = cutout(32, 48)
    steps = model(Batch(x), Mean()).steps
    for changed in (1, 4, len(steps) - 1):
        latents = [step.z + 7 * (level == changed) for level, step in enumerate(steps)]
        again = model(Batch(x), Given(latents)).steps
        for level, (one, other) in enumerate(zip(steps, again, strict=True)):
            same = torch.equal(one.prior.location, other.prior.location)
            assert same if level <= changed else level > changed
        assert changed == len(steps) - 1 or not torch.equal(
            steps[changed + 1].prior.location, again[changed + 1].prior.location
        )


def test_the_bound_is_rate_and_squared_error() -> None:
    model = small_coder()
    batch = tiles().batch(torch.arange(6), None)
    bound = ELBO()(model, batch)
    trace = model(batch, Mean())
    rate = -sum(step.prior.log_prob(step.z) for step in trace.steps)[0]
    step = float(model.steps[model.level]) / 255
    error = (trace.likelihood.mean[0] - batch.x).square().flatten(1).sum(1)
    numbers = batch.x[0].numel()
    constant = numbers * 0.5 * np.log(2 * np.pi * step**2 / 12)
    torch.testing.assert_close(
        -bound.value, rate + 6 * error / step**2 + constant, rtol=1e-4, atol=1
    )


def test_coarser_steps_cost_less_and_lose_more() -> None:
    model = small_coder()
    batch = tiles().batch(torch.arange(6), None)
    rates, errors = [], []
    for level in (0, 40, 80, 112):
        model.level = level
        trace = model(batch, Mean())
        rates.append(
            -sum(float(step.prior.log_prob(step.z).sum().detach()) for step in trace.steps)
        )
        errors.append(float((trace.likelihood.mean[0] - batch.x).square().mean().detach()))
    assert rates == sorted(rates, reverse=True)
    assert errors == sorted(errors)


def test_codes_decode_to_what_the_pass_said() -> None:
    model = small_coder()
    trace = model(tiles().batch(torch.arange(4), None), Mean())
    again = model.decode(model.code(trace))
    torch.testing.assert_close(again.mean, trace.likelihood.mean, rtol=0, atol=1e-6)


def test_draws_of_the_prior_have_the_shape_of_rows() -> None:
    model = small_coder()
    trace = model.imagine(Batch(condition=torch.zeros(2, 1)), Draw(3))
    assert trace.likelihood.mean.shape == (3, 2, *tiles().schema.event_shape)
    assert torch.isfinite(score(model, tiles().thinned(4), samples=2).elbo).all()


def test_training_only_adds_to_the_linear_start() -> None:
    """Before any update the decoder is the transform and nothing else."""
    model = assemble(tiles().schema, ModelOptions(model="transform"))
    picture, step = torch.randn(1, 3, 32, 32), torch.ones(1, 1, 1, 1)
    told = torch.zeros(1, 1, 1, 1)
    assert torch.equal(model.decoder(picture, step, told), picture)
    whole = torch.randint(-3, 4, (1, 5, 2, 2)).float()
    assert torch.equal(model.recentering(whole, torch.randn(1, 5, 2, 2), whole * 0), whole)


@pytest.mark.parametrize(
    ("raw", "options", "sentence"),
    [
        (np.random.default_rng(0).normal(size=(9, 5)), {}, "for pictures"),
        (None, {"likelihood": "bernoulli"}, "gaussian likelihood"),
        (None, {"model_options": {"block": 12}}, "block is one of"),
        (None, {"model_options": {"depth": 0}}, "at least 1"),
    ],
)
def test_what_it_cannot_do_is_said(raw: object, options: dict, sentence: str) -> None:
    data = tiles() if raw is None else load(raw)
    with pytest.raises(OptionError, match=sentence):
        assemble(data.schema, ModelOptions(model="transform", **options))


def test_the_second_turn_knows_where_the_first_has_decided() -> None:
    """A channel of the hints is 1 there; in the first turn it is 0 everywhere."""
    model = small_coder()
    hints: list[torch.Tensor] = []
    model.contexts[0].register_forward_pre_hook(lambda _, given: hints.append(given[1].clone()))
    known = model.begin(torch.zeros(1, dtype=torch.long), (64, 64))
    for turn in range(2):
        expected = model.expected(known, turn)
        known = model.settle(known, turn, expected.location.round(), expected)
    decided = torch.zeros(known.blocks).flatten()
    decided[places(*known.blocks, 0)] = 1
    assert not bool(hints[0][:, 1].any())
    assert torch.equal(hints[1][0, 1].flatten(), decided)
    assert 0 < float(decided.mean()) < 1
