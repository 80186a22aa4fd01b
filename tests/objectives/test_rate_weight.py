"""The weight of the rate over a run: warm-up, cycles, free bits per unit, a target rate."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods import Gaussian
from lowerbound.models import VariationalAutoencoder
from lowerbound.networks import NETWORKS
from lowerbound.objectives import ELBO, Objective, TargetRate
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.trace import Batch
from lowerbound.training import train
from tests.oracles import linear_gaussian as oracle
from tests.training.cases import FEATURES, LATENTS, options, real_rows, vae

BATCH = Batch(oracle.data(30))


def collapsing(noise: float = 6.0) -> VariationalAutoencoder:
    """A model whose fixed noise is so large that its best bound leaves the latents unused."""
    network: Any = NETWORKS["mlp"](hidden=(8,))  # type: ignore[call-arg]
    with seeded(0):
        return VariationalAutoencoder(
            network.encoder((FEATURES,), 2 * LATENTS),
            GaussianPosterior(LATENTS),
            StandardNormal(LATENTS),
            network.decoder(LATENTS, (FEATURES,)),
            Gaussian((FEATURES,), scale="fixed", tau=noise),
        )


def rate_after(objective: Objective, model: VariationalAutoencoder, updates: int = 1500) -> float:
    """The rate of the training rows after a run with held-out rows."""
    data, validation = real_rows(450).split(0.1, 0)
    train(model, objective, data, options(updates=updates), validation=validation)
    with torch.no_grad():
        rates = ELBO()(model, data.all().to(torch.float32)).rates
    return float(rates.sum(0).mean())


@pytest.mark.parametrize(("cycles", "share"), [(1, 0.25), (4, 0.5), (3, 1.0), (2, 0.1)])
def test_the_weight_rises_in_each_cycle(cycles: int, share: float) -> None:
    """Fu et al. 2019, equations 7 and 8, at every update of a run of 240."""
    objective = ELBO(beta=2.0, warm_up=share, cycles=cycles)
    period = 240 // cycles
    for update in range(240):
        objective.progress.fill_(update / 240)
        expected = 2.0 * min(1.0, (update % period) / period / share)
        assert float(objective.weight()) == pytest.approx(expected, abs=1e-5)
    objective.progress.fill_(1.0)
    assert float(objective.weight()) == 2.0
    assert objective.readings() == {"rate weight": (2.0,)}


def test_without_a_warm_up_several_cycles_have_that_of_the_paper() -> None:
    assert ELBO(cycles=4).warm_up == 0.5
    assert ELBO().warm_up == 0.0
    assert ELBO().readings() == {}


@pytest.mark.parametrize(
    ("objective", "end"),
    [(ELBO(), 0.0), (ELBO(warm_up=0.3), 0.3), (ELBO(cycles=4), 0.875), (ELBO(warm_up=1.0), 1.0)],
)
def test_the_loss_is_settled_after_the_last_rise(objective: ELBO, end: float) -> None:
    for progress in (0.0, 0.29, 0.31, 0.86, 0.88, 0.99, 1.0):
        objective.progress.fill_(progress)
        assert objective.settled == (progress >= end)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"cycles": 0}, "cycles must be at least 1"),
        ({"cycles": 4, "warm_up": 0.0}, "repeats the warm-up"),
        ({"beta": 0.0, "warm_up": 0.5}, "leaves the rate out"),
        ({"beta": 0.0, "cycles": 4}, "leaves the rate out"),
        ({"beta": 0.0, "free_bits": 1.0}, "leaves the rate out"),
        ({"free_bits_per": "unit"}, "needs free_bits"),
        ({"free_bits_per": "row", "free_bits": 1.0}, "'latent' or 'unit'"),
        ({"free_bits_per": "unit", "free_bits": 1.0, "analytic": False}, "leave analytic true"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    chosen: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        ELBO(**chosen)


def test_free_bits_per_unit_are_a_floor_under_each_rate() -> None:
    model = oracle.model("mean_field", 1.5)
    with seeded(0), torch.no_grad():
        trace = model(BATCH)
        loc, scale = trace.steps[0].posterior.base_dist.loc, trace.steps[0].posterior.stddev
        by_hand = (0.5 * (loc**2 + scale**2 - 1) - scale.log()).mean((0, 1))
    floor = float(by_hand.mean())  # one of the two units is above, one below
    assert by_hand.min() < floor < by_hand.max()
    answers = []
    for objective in (ELBO(), ELBO(free_bits=floor, free_bits_per="unit")):
        with seeded(0), torch.no_grad():
            answers.append(objective(model, BATCH))
    plain, free = answers
    gain = float(free.loss - plain.loss)
    assert gain == pytest.approx(floor - float(by_hand.min()), rel=1e-9)
    assert torch.equal(plain.value, free.value)


def test_free_bits_per_unit_need_factorized_gaussians() -> None:
    with seeded(0), pytest.raises(UnsupportedError, match="leave free_bits_per out"):
        ELBO(free_bits=1.0, free_bits_per="unit")(oracle.model("exact"), BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("target", [0.5, 2.0])
@pytest.mark.parametrize("kind", ["uses its latents", "collapses"])
def test_a_target_rate_is_held_by_the_weights_that_are_kept(kind: str, target: float) -> None:
    """Below the rate of the bound, which is 4.7 nats for one model, and above it: 0 nats."""
    model = vae("gaussian") if kind == "uses its latents" else collapsing(2.0)
    assert rate_after(TargetRate(target=target), model) == pytest.approx(target, rel=0.05)


@pytest.mark.long
def test_a_target_rate_brings_back_latents_that_collapse_otherwise() -> None:
    assert rate_after(ELBO(), collapsing()) < 0.01
    # long enough for the average of the weights to forget those before
    brought_back = rate_after(TargetRate(target=1.0), collapsing(), updates=3000)
    assert brought_back == pytest.approx(1.0, rel=0.05)


@pytest.mark.slow
def test_free_bits_keep_latents_that_collapse_otherwise() -> None:
    for chosen in ({"free_bits": 1.0}, {"free_bits": 0.5, "free_bits_per": "unit"}):
        data = real_rows(450)
        model = collapsing()
        history = train(model, ELBO(**chosen), data, options(updates=1500))  # type: ignore[arg-type]
        assert history.last is not None
        # less than 1 nat: a batch of 16 rows above the floor is penalized, one below is not
        assert math.fsum(history.last.rates) > 0.5


def test_the_weight_of_a_target_rate_is_one_until_it_learns() -> None:
    objective = TargetRate(target=3.0, speed=0.1)
    assert float(objective.weight()) == 1.0
    objective.log_weight.fill_(math.log(3.0))
    assert float(objective.weight()) == pytest.approx(3.0)
