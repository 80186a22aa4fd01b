from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dp_accounting
import pytest
from dp_accounting import pld, rdp

from lowerbound.errors import OptionError
from lowerbound.training.private import accounting
from lowerbound.training.private.accounting import (
    Mechanism,
    epsilons,
    noise_multiplier_for,
)
from lowerbound.training.private.declarations import SchemaRecord
from lowerbound.training.private.options import PrivacyOptions
from lowerbound.training.private.plan import PrivatePlan
from lowerbound.training.private.record import record_of

# rate, noise multiplier, updates, delta; the first two are the table of notes/tables.md
CASES = [
    (0.00427, 1.10, 14_040, 1e-5),
    (0.0509, 1.00, 400, 8e-4),
    (0.016, 5.0, 1_500, 1.7e-7),
    (1.0, 50.0, 100, 1e-5),
]


def event(rate: float, sigma: float, updates: int) -> dp_accounting.DpEvent:
    one = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(sigma))
    return dp_accounting.SelfComposedDpEvent(one, updates)


@pytest.mark.parametrize(("rate", "sigma", "updates", "delta"), CASES)
def test_both_accountants_agree_with_another_library(
    rate: float, sigma: float, updates: int, delta: float
) -> None:
    found = epsilons(Mechanism(rate, sigma, updates), delta)
    assert found.prv is not None
    composed = event(rate, sigma, updates)
    exact = pld.PLDAccountant(value_discretization_interval=1e-4).compose(composed)
    assert found.rdp == pytest.approx(
        rdp.RdpAccountant().compose(composed).get_epsilon(delta), rel=1e-3
    )
    assert 1.0 <= found.prv / exact.get_epsilon(delta) <= 1.01
    assert found.larger == max(found.rdp, found.prv)


def test_a_single_full_release_is_the_gaussian_mechanism() -> None:
    """Balle & Wang 2018, equation 6: delta(epsilon) of the Gaussian mechanism in closed form."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    sigma, delta = 3.0, 1e-5

    def excess(epsilon: float) -> float:
        a, b = 1 / (2 * sigma), epsilon * sigma
        return norm.cdf(a - b) - pow(2.718281828459045, epsilon) * norm.cdf(-a - b) - delta

    exact = brentq(excess, 0.01, 10)
    found = epsilons(Mechanism(1.0, sigma, 1), delta)
    assert found.prv == pytest.approx(exact, rel=5e-3)
    assert exact <= found.prv <= found.rdp


@pytest.mark.slow
def test_epsilon_grows_with_updates_and_rate_and_falls_with_noise() -> None:
    def at(rate: float = 0.02, sigma: float = 1.0, updates: int = 60) -> tuple[float, float]:
        found = epsilons(Mechanism(rate, sigma, updates), 1e-5)
        assert found.prv is not None
        return found.rdp, found.prv

    middle = at()
    for less, more in [(at(updates=20), at(updates=180)), (at(rate=0.01), at(rate=0.04))]:
        assert all(a < b < c for a, b, c in zip(less, middle, more, strict=True))
    assert all(a < b < c for a, b, c in zip(at(sigma=2.0), middle, at(sigma=0.7), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.5, 8.0])
def test_calibrated_noise_spends_the_epsilon_and_no_more(epsilon: float) -> None:
    sigma = noise_multiplier_for(epsilon, 1e-6, 0.02, 500)
    assert 0.995 * epsilon <= epsilons(Mechanism(0.02, sigma, 500), 1e-6).larger <= epsilon


def test_a_failure_of_prv_leaves_rdp(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> float:
        raise RuntimeError("Discrete mean differs significantly from continuous mean.")

    monkeypatch.setattr(accounting, "_prv", fail)
    found = epsilons(Mechanism(0.01, 1.0, 100), 1e-5)
    assert found.prv is None
    assert "Discrete mean" in found.prv_failure
    assert found.larger == found.rdp


@pytest.mark.parametrize(
    ("mechanism", "delta", "words"),
    [
        (Mechanism(0.01, 0.0, 10), 1e-5, "adds no noise"),
        (Mechanism(0.01, 1.0, 10, "shuffled"), 1e-5, "Poisson"),
        (Mechanism(1.5, 1.0, 10), 1e-5, "rate"),
        (Mechanism(0.01, 1.0, 0), 1e-5, "update"),
        (Mechanism(0.01, 1.0, 10), 1.0, "delta"),
    ],
)
def test_no_epsilon_is_stated_where_none_holds(
    mechanism: Mechanism, delta: float, words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        epsilons(mechanism, delta)


@pytest.mark.parametrize("epsilon", [0.0, -1.0])
def test_an_epsilon_is_positive(epsilon: float) -> None:
    with pytest.raises(OptionError, match="epsilon"):
        noise_multiplier_for(epsilon, 1e-5, 0.01, 100)


SCHEMA = SchemaRecord(0.7, 4e-7, rho=0.01, threshold_delta=1e-7, columns=("age",))


def test_a_record_claims_its_epsilon_at_the_delta_of_the_noise_alone() -> None:
    """What a schema has spent is added to both, and buys no smaller epsilon of the noise."""
    mechanism, delta = Mechanism(0.05, 1.5, 80), 6e-7
    record = record_of(PrivatePlan(mechanism, delta, 1.0, 2_000), (), SCHEMA)
    exact = rdp.RdpAccountant().compose(event(0.05, 1.5, 80)).get_epsilon(delta)
    assert record.rdp == pytest.approx(exact, rel=1e-3)
    assert record.prv is not None
    assert record.epsilon == max(record.rdp, record.prv) + 0.7
    assert record.delta == pytest.approx(1e-6)
    alone = record_of(PrivatePlan(mechanism, delta, 1.0, 2_000), ())
    assert (alone.epsilon, alone.delta) == (pytest.approx(record.epsilon - 0.7), delta)


def test_the_noise_of_a_plan_is_that_of_what_the_schema_left() -> None:
    training: Any = SimpleNamespace(updates=80, minutes=None, batch_size=100)
    options = PrivacyOptions(epsilon=2.0, delta=1e-6)
    plan = PrivatePlan.of(options, training, 2_000, SCHEMA)
    assert (plan.mechanism.rate, plan.mechanism.updates) == (0.05, 80)
    assert plan.delta == pytest.approx(6e-7)
    spent = epsilons(plan.mechanism, 6e-7).larger
    assert 0.99 * 1.3 < spent <= 1.3
    assert SCHEMA.rest(2.0, 1e-6) == pytest.approx((1.3, 6e-7))


def test_delta_is_less_than_one_over_the_rows() -> None:
    assert PrivacyOptions(epsilon=1.0).delta_of(10_000) == pytest.approx(1e-6)
    assert PrivacyOptions(epsilon=1.0, delta=3e-7).delta_of(10_000) == 3e-7
