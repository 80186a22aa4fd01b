"""A dear bound on some rows, carried over to all; and annealing beside L_K."""

from __future__ import annotations

import json

import pytest
import torch

from lowerbound.data.dataset import spread_rows
from lowerbound.evaluation.likelihood.tighter import (
    Carried,
    CrossCheck,
    _sum,
    carry_over,
    cross_check,
)
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.suites import likelihood_suite
from lowerbound.inference.annealing import AnnealingOptions
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.likelihood import score
from tests.evaluation.small_models import linear_autoencoder, vectors
from tests.oracles import linear_gaussian as oracle

ROWS = vectors(oracle.data(400))
EXACT = oracle.log_marginal(ROWS.x)

pytestmark = pytest.mark.filterwarnings("ignore:the median effective sample size")


def test_the_carried_bound_is_that_of_the_dear_samples() -> None:
    model = oracle.model("mean_field", 1.8)
    cheap, dear = score(model, ROWS, samples=4), score(model, ROWS, samples=200)
    found = carry_over(model, ROWS, cheap, 200, 100)
    index = spread_rows(400, 100)
    assert found.rows == 100
    assert found.difference == Estimate.of((dear.bound - cheap.bound)[index])
    assert found.bound.mean == pytest.approx(float(cheap.bound.mean()) + found.difference.mean)
    left = found.bound.mean - float(dear.bound.mean())
    assert abs(left) < 4 * (found.difference.standard_error or 0)
    assert found.bound.standard_error > Estimate.of(cheap.bound).standard_error


def test_on_all_rows_it_is_the_dear_bound_itself() -> None:
    model = oracle.model("mean_field", 1.5)
    found = carry_over(model, ROWS, score(model, ROWS, samples=4), 30, 0)
    assert found.bound.mean == pytest.approx(float(score(model, ROWS, samples=30).bound.mean()))


def test_annealing_beside_the_bound_of_the_same_rows() -> None:
    model = oracle.model("mean_field", 0.5)
    scores = score(model, ROWS, samples=4)
    check = cross_check(model, ROWS, scores, AnnealingOptions(temperatures=60, chains=4), 30)
    index = spread_rows(400, 30)
    short = Estimate.of(EXACT[index] - scores.bound[index])
    assert check.rows == 30
    assert check.gain.mean == pytest.approx(short.mean, abs=4 * (short.standard_error or 0))
    assert check.bound.mean == pytest.approx(float(EXACT[index].mean()), abs=0.1)
    assert check.simulated_lower.mean <= check.simulated_upper.mean + 0.05
    assert abs(check.gap.mean) < 0.3
    assert 0.3 < check.acceptance < 0.9
    json.dumps(check.to_mapping(), allow_nan=False)


def test_the_suite_does_it_when_asked() -> None:
    model = oracle.model("mean_field")
    few = SuiteOptions(samples=4, rows=50, gap_rows=0)
    plain = likelihood_suite(model, ROWS, few)
    assert isinstance(plain.tighter, Skipped)
    assert isinstance(plain.annealed, Skipped)
    dear = SuiteOptions(
        samples=4,
        rows=50,
        gap_rows=0,
        tight_samples=20,
        tight_rows=10,
        ais_rows=5,
        ais_temperatures=5,
        ais_chains=2,
    )
    found = likelihood_suite(model, ROWS, dear)
    assert isinstance(found.tighter, Carried)
    assert isinstance(found.annealed, CrossCheck)
    assert (found.tighter.samples, found.tighter.rows, found.annealed.rows) == (20, 10, 5)
    assert found.annealed.options.temperatures == 5
    json.dumps(found.to_mapping(), allow_nan=False)
    nothing = likelihood_suite(
        linear_autoencoder(oracle.FEATURES, 2), vectors(ROWS.x.float()), dear
    )
    assert isinstance(nothing.annealed, Skipped)
    assert isinstance(nothing.leaderboard(), Skipped)


def test_rows_are_spread_evenly() -> None:
    assert torch.equal(spread_rows(9, 3), torch.tensor([0, 4, 8]))
    assert torch.equal(spread_rows(4, 0), torch.arange(4))
    assert torch.equal(spread_rows(4, 9), torch.arange(4))


@pytest.mark.parametrize("rows", [2**24 + 3, 56_250_000, 10**12 + 1])
def test_spread_rows_of_many_rows_are_in_range(rows: int) -> None:
    index = spread_rows(rows, 1_001)
    assert index[[0, -1]].tolist() == [0, rows - 1]
    assert bool((index.diff() > 0).all())


def test_the_error_of_a_sum_is_that_of_independent_parts() -> None:
    assert _sum(Estimate(-80.0, 0.3), Estimate(2.0, 0.4)) == Estimate(-78.0, 0.5)
    assert _sum(Estimate(-80.0, 0.3), Estimate(2.0, None)) == Estimate(-78.0, None)
