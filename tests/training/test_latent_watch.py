"""What the latents of held-out rows carry, against models that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.evaluation.aggregate import units
from lowerbound.likelihoods import Gaussian
from lowerbound.models import VariationalAutoencoder
from lowerbound.objectives import ELBO, Adversarial, ImportanceWeighted, Objective
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.trace import Draw, Step, Trace
from lowerbound.training import train
from lowerbound.training.held_out import HeldOut, LatentWatch, collapse_message
from lowerbound.training.reporter import History
from tests.objectives.test_rate_weight import collapsing
from tests.oracles.linear_gaussian import Affine
from tests.training.cases import grey_rows, options, real_rows, vae
from tests.training.test_loop import Recorder

GAINS = (2.0, 0.5, 0.2, 0.09, 0.0)  # of x to the mean; the variance of a mean is its square
DEVIATIONS = (0.3, 0.9, 0.99, 0.99, 0.5)


def linear(gains: tuple[float, ...] = GAINS) -> VariationalAutoencoder:
    """q(z_j | x) = N(gain_j x_j, deviation_j^2) of x ~ N(0, I)."""
    dim = len(gains)
    encoder, decoder = Affine(dim, 2 * dim).double(), Affine(dim, dim).double()
    log_variance = 2 * torch.tensor(DEVIATIONS[:dim], dtype=torch.float64).log()
    weight = torch.cat([torch.diag(torch.tensor(gains)).double(), torch.zeros(dim, dim)])
    encoder.weight.data = weight
    encoder.bias.data = torch.cat([torch.zeros(dim), 14 * torch.atanh(log_variance / 14)])
    likelihood = Gaussian((dim,), scale="fixed", tau=1.0).double()
    prior = StandardNormal(dim).double()
    return VariationalAutoencoder(encoder, GaussianPosterior(dim), prior, decoder, likelihood)


def white(rows: int, dim: int, seed: int = 0) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
    return Dataset(Schema("vectors", (dim,)), x)


def readings(
    model: VariationalAutoencoder,
    dataset: Dataset,
    objective: Objective | None = None,
    rows: int = 512,
) -> dict[str, tuple[float, ...]]:
    dtype = next(model.parameters()).dtype
    watch = LatentWatch()
    held_out = HeldOut(dataset, torch.device("cpu"), dtype, rows)
    held_out.bound(model, objective or ELBO(), watch)
    return watch.readings()


def test_units_are_active_where_the_mean_varies() -> None:
    """Variances 4, .25, .04, .0081 and 0, of which the first three are above .01."""
    found = readings(linear(), white(4000, 5))
    assert found["active units"] == (3, 5)


def test_they_are_the_units_that_evaluation_counts() -> None:
    model, dataset = linear(), white(700, 5, seed=3)
    found = units(model, dataset)
    assert readings(model, dataset)["active units"] == (found.count, 5)
    batches = [readings(model, dataset, rows=rows)["active units"] for rows in (7, 100, 699)]
    assert batches == [(found.count, 5)] * 3


def test_a_unit_that_only_follows_its_prior_is_not_active() -> None:
    """The mean varies with the latent above it, and the rate is zero."""
    loc = torch.linspace(-1, 1, 20).view(1, 20, 1)
    prior = diagonal_normal(loc, torch.ones_like(loc))
    follows, knows = prior, diagonal_normal(2 * loc, torch.ones_like(loc))
    for posterior, active in ((follows, 0), (knows, 1)):
        watch, step = LatentWatch(), Step(loc, posterior, prior)
        watch.add(Trace((step, step), None))  # type: ignore[arg-type]
        assert watch.readings() == {"active units": (2 * active, 2)}


@pytest.mark.parametrize("gains", [(1.0,), (1.0, 0.5), (2.0, 0.5, 0.2)])
def test_mutual_information_is_that_of_the_linear_model(gains: tuple[float, ...]) -> None:
    """I = sum of 1/2 log(1 + (gain / deviation)^2), and the estimate is a little below."""
    noise = zip(gains, DEVIATIONS, strict=False)
    exact = sum(0.5 * math.log(1 + (gain / deviation) ** 2) for gain, deviation in noise)
    model = linear(gains)
    found = [
        readings(model, white(512, len(gains), seed))["mutual information"][0] for seed in range(20)
    ]
    mean, error = sum(found) / 20, float(torch.tensor(found).std()) / 20**0.5
    assert exact - 0.1 - 3 * error < mean < exact + 3 * error


def test_it_is_at_most_the_logarithm_of_the_rows_of_a_batch() -> None:
    model = linear((30.0, 30.0))
    assert readings(model, white(512, 2), rows=64)["mutual information"][0] <= math.log(64)


def test_the_bound_is_the_same_with_and_without_a_watch() -> None:
    model, held_out = vae(), HeldOut(grey_rows(), torch.device("cpu"), torch.float32, 32)
    assert held_out.bound(model, ELBO()) == held_out.bound(model, ELBO(), LatentWatch())
    assert not model._forward_hooks


@pytest.mark.parametrize("objective", [ImportanceWeighted(samples=3), ELBO(samples=4)])
def test_several_draws_count_as_one_pass(objective: Objective) -> None:
    model, dataset = linear(), white(700, 5, seed=3)
    assert readings(model, dataset, objective.double())["active units"] == (3, 5)


def test_a_batch_with_several_passes_counts_once() -> None:
    class Twice(ELBO):
        def forward(self, model, batch):  # type: ignore[no-untyped-def]
            model(batch, Draw(1))
            return super().forward(model, batch)

    assert readings(linear(), white(700, 5, seed=3), Twice())["active units"] == (3, 5)


def test_records_and_progress_have_the_readings() -> None:
    reporter = Recorder()
    history = train(
        vae(), ELBO(warm_up=0.5), real_rows(), options(updates=120), validation=real_rows(20, 1),
        reporter=reporter,
    )  # fmt: skip
    names = {"active units", "mutual information", "rate weight"}
    assert [set(record.readings) for record in history] == [names] * 3
    assert set(reporter.states[-1].readings) == names
    assert "active units" in reporter.states[-1].beside()
    assert History.from_lines(history.to_lines()) == history


def test_without_held_out_rows_there_is_no_reading() -> None:
    history = train(vae(), ELBO(), grey_rows(), options(updates=60))
    assert [dict(record.readings) for record in history] == [{}] * len(history)


def test_an_objective_without_rates_has_no_reading_and_no_warning() -> None:
    class OfTheDecoder(ELBO):
        def forward(self, model, batch):  # type: ignore[no-untyped-def]
            bound = super().forward(model, batch)
            return replace(bound, rates=bound.rates[:0])

    reporter = Recorder()
    history = train(
        vae(), OfTheDecoder(), real_rows(), options(updates=60), validation=real_rows(20, 1),
        reporter=reporter,
    )  # fmt: skip
    assert [dict(record.readings) for record in history] == [{}] * len(history)
    assert not [text for text in reporter.messages if "collapsed" in text]


@pytest.mark.slow
def test_a_collapse_is_reported_with_its_numbers_and_remedies() -> None:
    reporter = Recorder()
    data, validation = real_rows(450).split(0.1, 0)
    history = train(
        collapsing(), ELBO(), data, options(updates=600), validation=validation, reporter=reporter
    )
    warning = reporter.messages[-1]
    assert history.last is not None
    assert "latents have collapsed" in warning
    assert "0 of 2 units" in warning
    for remedy in ("warm_up", "cycles", "free_bits", "beta", "target_rate"):
        assert remedy in warning
    assert history.last is not None
    unused = replace(history.last, readings={"active units": (1, 2)}, rates=(0.001,))
    assert "units are active" not in collapse_message(unused)
    assert "the rate is 0.001 nats per row, so z says" in collapse_message(unused)
    note = collapse_message(history.last, needed=False)
    assert "Drawn rows need no more" in note
    assert "objective." not in note  # columns that are drawn one after another need no latents


def test_used_latents_are_no_collapse() -> None:
    reporter = Recorder()
    data, validation = real_rows(450).split(0.1, 0)
    history = train(
        vae("gaussian"), ELBO(), data, options(updates=200), validation=validation,
        reporter=reporter,
    )  # fmt: skip
    assert history.last is not None
    assert history.last.readings["active units"] == (2, 2)
    assert collapse_message(history.last) == ""
    assert not [text for text in reporter.messages if "collapsed" in text]


def test_an_objective_with_a_critic_is_watched_too() -> None:
    dataset = grey_rows(64)
    objective = Adversarial()
    model = vae()
    objective.prepare(model, dataset)
    assert readings(model, dataset, objective)["active units"][1] == 2


def test_an_objective_that_never_passes_a_batch_through_the_model_has_no_reading() -> None:
    class Apart(ELBO):
        def forward(self, model, batch):  # type: ignore[no-untyped-def]
            return super().forward(model.forward, batch)

    assert readings(linear(), white(100, 5), Apart()) == {}
