"""Scores of odd rows against models that are solved on paper."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.anomaly import reference as anomaly
from lowerbound.applications.anomaly.neighbors import kth_distance
from lowerbound.applications.anomaly.reference import AMONG_ANOMALIES, OF_PICTURES, Reference
from lowerbound.applications.anomaly.scores import RawScores, raw_scores, rebuild
from lowerbound.applications.anomaly.surfaces import UpperTail
from lowerbound.data import load
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import dry_run, first_row
from lowerbound.inference.shares import shares
from lowerbound.models.options import ModelOptions
from lowerbound.networks import processor
from tests.evaluation.small_models import binary_vae, linear_autoencoder, vectors
from tests.oracles import linear_gaussian as oracle

ROWS = vectors(oracle.data(300))


def test_the_bound_of_an_exact_posterior_is_minus_log_p() -> None:
    looks = raw_scores(oracle.model("exact"), ROWS)
    expected = -oracle.log_marginal(ROWS.x)
    np.testing.assert_allclose(looks.bound, expected.numpy(), rtol=1e-9)


def test_rows_with_even_weights_take_four_draws_and_the_others_all() -> None:
    model = oracle.model("mean_field", widen=1.2)
    few, all_draws = (score(model, ROWS, samples=count, seed=2) for count in (4, 16))
    even = (few.effective_sample_size >= 0.9 * 4).numpy()
    assert 0 < even.sum() < len(even)
    done: list[tuple[int, int]] = []
    bound = raw_scores(
        model, ROWS, samples=16, seed=2, progress=lambda *each: done.append(each)
    ).bound
    assert done == sorted(done)
    assert done[-1] == (len(ROWS), len(ROWS))
    assert (len(ROWS) // 4, len(ROWS)) in done
    expected = np.where(even, few.bound.numpy(), all_draws.bound.numpy())
    np.testing.assert_allclose(bound, -expected, rtol=1e-9)


def test_the_reconstruction_is_that_through_the_mean_code() -> None:
    weight, offset, sigma = oracle.parameters()
    gain, _ = oracle.posterior_matrices()
    rebuilt = (ROWS.x - offset) @ gain.T @ weight.T + offset
    looks = raw_scores(oracle.model("exact"), ROWS)
    expected = -torch.distributions.Normal(rebuilt, sigma).log_prob(ROWS.x).sum(1)
    np.testing.assert_allclose(looks.reconstruction, expected.numpy(), rtol=1e-9)
    np.testing.assert_allclose(looks.place, rebuilt.numpy(), rtol=1e-9)
    np.testing.assert_array_equal(looks.row, ROWS.x.numpy())


def test_the_latent_distance_is_that_to_the_neighbor_by_way_of_the_codes() -> None:
    looks = raw_scores(oracle.model("exact"), ROWS)
    reference = Reference.of(looks, neighbors=3)
    new = raw_scores(oracle.model("exact"), vectors(oracle.data(20, seed=5)))
    found = reference.components(new)["latent"]
    scale = looks.row.std(0)
    own = (((new.row - new.place) / scale) ** 2).sum(1)
    apart = ((new.place[:, None] - looks.place) / scale) ** 2
    third = np.sort(apart.sum(2), axis=1)[:, 2]
    np.testing.assert_allclose(found, np.sqrt(own + third), rtol=1e-9)


def test_a_known_row_is_no_neighbor_of_its_own() -> None:
    looks = raw_scores(oracle.model("exact"), ROWS)
    scale = looks.row.std(0)
    own = (((looks.row - looks.place) / scale) ** 2).sum(1)
    apart = ((looks.place[:, None] - looks.place) / scale) ** 2
    third = np.sort(apart.sum(2), axis=1)[:, 3]  # the first is itself
    tail = Reference.of(looks, neighbors=3).tails["latent"]
    assert tail.center == pytest.approx(np.median(np.sqrt(own + third)))


def test_combined_gives_nats_and_distance_a_vote_each() -> None:
    looks = raw_scores(oracle.model("exact"), ROWS)
    reference = Reference.of(looks)
    found = reference.components(looks)
    surprises = {name: tail(found[name]) for name, tail in reference.tails.items()}
    nats = (surprises["bound"] + surprises["reconstruction"]) / 2
    np.testing.assert_allclose(found["combined"], nats + surprises["latent"])
    pictures = Reference.of(looks, votes=OF_PICTURES).components(looks)
    np.testing.assert_allclose(pictures["combined"], nats)
    fewer = Reference.of(looks, votes=AMONG_ANOMALIES).components(looks)
    np.testing.assert_allclose(fewer["combined"], surprises["bound"] + surprises["latent"])


def test_order_and_chunks_change_nothing() -> None:
    model = oracle.model("mean_field")
    reference = Reference.of(raw_scores(model, ROWS))
    whole = reference.components(raw_scores(model, ROWS))
    memory = 16 * 4 * dry_run(model, first_row(ROWS, model)).bytes
    pieces = reference.components(raw_scores(model, ROWS, memory=memory))
    turned = reference.components(raw_scores(model, ROWS.subset(range(299, -1, -1))))
    for name in whole:
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(turned[name][::-1], whole[name], rtol=1e-9, atol=1e-9)


def test_going_away_raises_every_score() -> None:
    model = oracle.model("exact")
    reference = Reference.of(raw_scores(model, ROWS))
    steps = [
        reference.components(raw_scores(model, vectors(ROWS.x[:20] + away)))
        for away in (5.0, 10.0, 1e3)
    ]
    for name in steps[0]:
        assert (np.diff([step[name] for step in steps], axis=0) > 0).all(), name


def test_fresh_rows_say_where_the_tails_begin() -> None:
    model = oracle.model("exact")
    seen, fresh = raw_scores(model, ROWS), raw_scores(model, vectors(oracle.data(200, seed=3)))
    tail = Reference.of(seen, fresh).tails["bound"]
    assert fresh.bound is not None
    assert tail.values[-1] == pytest.approx(fresh.bound.max(), abs=1e-3)


def test_a_model_without_a_prior_has_no_bound() -> None:
    model, rows = linear_autoencoder(6, 2), vectors(ROWS.x.float())
    looks = raw_scores(model, rows)
    reference = Reference.of(looks)
    assert looks.bound is None
    assert set(reference.components(looks)) == {"combined", "reconstruction", "latent"}
    with pytest.raises(UnsupportedError, match="no prior and so no bound"):
        reference.check("bound")
    with pytest.raises(OptionError, match="did you mean 'latent'"):
        reference.check("latnt")


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [90, 2_100])
def test_wide_rows_are_compared_along_the_directions_in_which_they_differ(numbers: int) -> None:
    rng = np.random.default_rng(0)
    place = rng.normal(size=(400, 3)) @ rng.normal(size=(3, numbers))
    looks = RawScores(None, rng.normal(size=400), place, place)
    reference = Reference.of(looks)
    assert reference.directions.shape == (numbers, 3)
    apart = ((place[:, None] - place) / place.std(0)) ** 2
    fifth = np.sort(apart.sum(2), axis=1)[:, 4]
    found = reference.components(looks)["latent"]
    np.testing.assert_allclose(found, np.sqrt(fifth), rtol=1e-5, atol=1e-6)


def test_a_reference_takes_two_rows() -> None:
    with pytest.raises(DataError, match="at least 2 normal rows"):
        Reference.of(raw_scores(oracle.model("exact"), vectors(ROWS.x[:1])))


def test_a_tail_is_the_share_of_rows_that_score_as_high() -> None:
    scores = np.random.default_rng(0).normal(size=999)
    tail = UpperTail.of(scores)
    at = np.sort(scores)[[10, 500, 900, 998]]
    expected = [-np.log((1 + (scores >= value).sum()) / 1_000) for value in at]
    np.testing.assert_allclose(tail(at), expected, atol=0.01)
    grid = np.linspace(-4, 50, 2_000)
    assert (np.diff(tail(grid)) > 0).all()
    assert np.isfinite(tail(np.array([1e300, -1e300, np.inf, np.finfo(float).max]))).all()


@pytest.mark.parametrize("values", [np.zeros(50), np.repeat([1.0, 2.0], 25)])
def test_a_tail_of_ties_rises_all_the_same(values: np.ndarray) -> None:  # type: ignore[type-arg]
    assert (np.diff(UpperTail.of(values)(np.array([-1.0, 0.0, 1.0, 2.0, 3.0]))) > 0).all()


@pytest.mark.parametrize("samples", [1, 16])
@pytest.mark.parametrize("kind", ["exact", "mean_field"])
def test_shares_and_rate_sum_to_the_bound(kind: str, samples: int) -> None:
    model, rows = oracle.model(kind), vectors(oracle.data(30), scale=10.0)
    found = shares(model, rows, samples=samples, seed=2)
    bound = raw_scores(model, rows, samples=samples, seed=2).bound
    np.testing.assert_allclose(found.total, bound, atol=1e-6)
    memory = 4 * 4 * 3 * dry_run(model, first_row(rows, model)).bytes
    assert torch.allclose(
        shares(model, rows, samples=samples, seed=2, memory=memory).features, found.features
    )


def test_shares_of_an_exact_posterior_are_its_expectations() -> None:
    """E_q[-log p(x_j | z)] has a formula, and the rate is KL(q || p)."""
    weight, offset, sigma = oracle.parameters()
    gain, covariance = oracle.posterior_matrices()
    found = shares(oracle.model("exact"), ROWS, samples=4_000)
    center = (ROWS.x - offset) @ gain.T
    spread = torch.diagonal(weight @ covariance @ weight.T)
    off = (ROWS.x - offset - center @ weight.T).square() + spread
    expected = off / (2 * sigma**2) + np.log(sigma) + 0.5 * np.log(2 * np.pi)
    assert torch.allclose(found.features, expected, rtol=0.1, atol=0.1)
    q = torch.distributions.MultivariateNormal(center, covariance)
    p = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    kl = torch.distributions.kl_divergence(q, p)
    assert torch.allclose(found.rate, kl, rtol=0.1, atol=0.2)


def test_shares_in_excess_are_none_for_the_average_row() -> None:
    found = shares(oracle.model("exact"), ROWS)
    excess = found.above(found.mean())
    assert torch.allclose(excess.features.mean(0), torch.zeros(6).double(), atol=1e-9)
    assert float(excess.rate.mean()) == pytest.approx(0, abs=1e-9)


def test_an_autoencoder_has_no_rate_and_pictures_have_shares_by_pixel() -> None:
    found = shares(linear_autoencoder(6, 2), vectors(ROWS.x.float()))
    assert torch.allclose(found.rate, torch.zeros(300).double(), atol=1e-4)
    bits = load((np.random.default_rng(0).random((8, 12)) > 0.5).astype(np.uint8))
    pixels = shares(binary_vae(), bits)
    assert pixels.features.shape == (8, 12)
    bound = torch.from_numpy(raw_scores(binary_vae(), bits).bound)
    assert torch.allclose(pixels.total, bound, atol=1e-4)


def test_rows_in_float64_copy_a_model_in_float32_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, copies = oracle.model("mean_field", widen=1.2).float(), []

    def counted(made: Any) -> Any:
        copies.append(made)
        return copy.deepcopy(made)

    monkeypatch.setattr(processor, "copy", SimpleNamespace(deepcopy=counted))
    found = raw_scores(model, ROWS, seed=2)
    assert copies == [model]
    expected = raw_scores(copy.deepcopy(model).double(), ROWS, seed=2)
    np.testing.assert_array_equal(found.bound, expected.bound)
    np.testing.assert_array_equal(found.place, expected.place)


def test_rows_that_repeat_are_looked_at_once() -> None:
    model, dataset = oracle.model("mean_field"), vectors(oracle.data(12))
    many = dataset.subset([i % 12 for i in range(40)])
    once = raw_scores(model, dataset)
    seen: list[int] = []
    found = raw_scores(model, many, progress=lambda _, rows: seen.append(rows))
    assert seen[-1] == 12
    for name in ("bound", "reconstruction", "row", "place"):
        expected = getattr(once, name)[np.arange(40) % 12]
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-6)


def test_rows_that_repeat_ask_for_their_neighbors_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = raw_scores(oracle.model("exact"), ROWS)
    reference = Reference.of(looks, neighbors=3)
    once = reference.components(looks)["latent"]
    asked: list[int] = []

    def counting(known: Any, rows: Any, k: int) -> Any:
        asked.append(len(rows))
        return kth_distance(known, rows, k)

    monkeypatch.setattr(anomaly, "kth_distance", counting)
    place = np.arange(900) % 300
    np.testing.assert_allclose(reference.components(looks.rows(place))["latent"], once[place])
    assert max(asked) <= 310  # equal rows may differ in the last bit of their codes


@pytest.mark.parametrize("mixed", [False, True])
def test_unobserved_cells_are_no_distance(mixed: bool) -> None:
    """They are where the reconstruction is, and the others where they are without gaps."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    gaps = np.random.default_rng(2).random(x.shape) < 0.3
    holes = np.where(gaps, np.nan, x)
    given, gone = (
        pd.DataFrame(each, columns=list("abc")) if mixed else each for each in (x, holes)
    )
    rows = load(gone, missing="model")
    torch.manual_seed(0)
    model = assemble(rows.schema, ModelOptions(latent_dim=1)).eval()
    model.start(rows)
    found, whole = (rebuild(model, each) for each in (rows, load(given, schema=rows.schema)))
    np.testing.assert_array_equal(found.row[gaps], found.place[gaps])
    np.testing.assert_allclose(found.row[~gaps], whole.row[~gaps], rtol=1e-6)
    assert (found.row != found.place)[~gaps].mean() > 0.9
