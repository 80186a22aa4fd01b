"""Histories of events: exact terms, no look ahead, draws that follow the model, a known chain."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lowerbound.applications.generation.sample import BLOCK, sample_histories
from lowerbound.applications.restoration.filling import impute
from lowerbound.data import Dataset, Events, history_frame, load
from lowerbound.data.sequences.event_layout import EventLayout
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods.histories import HistoryEmission
from lowerbound.models.options import ModelOptions
from lowerbound.models.sequences.event_history import EventHistory
from lowerbound.training import TrainingOptions
from tests.data.sequences.tables import visits
from tests.models.event_chains import TRANSITION, chains, log_likelihood, transitions

SMALL = {"hidden": 16, "width": 16, "vectors": 4, "context": 8}
pytestmark = pytest.mark.filterwarnings("ignore:column 'day'. its dates fit")


@cache
def data() -> Dataset:
    return load(visits(), entity="patient", time="day", kinds={"day": "datetime:%d.%m.%Y"})


def model(dataset: Dataset, seed: int = 0) -> EventHistory:
    """A model with weights at random, in float64."""
    torch.manual_seed(seed)
    built = assemble(dataset.schema, ModelOptions(latent_dim=3, model_options=SMALL))
    assert isinstance(built, EventHistory)
    built.start(dataset)
    for parameter in built.likelihood.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return built.double().eval()


def emission(built: EventHistory, z: Tensor) -> HistoryEmission:
    found = built.decode(z)
    assert isinstance(found, HistoryEmission)
    return found


def test_all_at_once_is_one_event_after_another() -> None:
    """log p of the first t events does not depend on whether later events are there."""
    dataset = data()
    built, batch = model(dataset), dataset.all().to(torch.float64)
    likelihood = emission(built, torch.randn(2, len(dataset), 3, dtype=torch.float64))
    assert batch.x is not None
    assert batch.observed is not None
    whole = likelihood.terms(batch.x, batch.observed)
    torch.testing.assert_close(whole.sum((2, 3)), likelihood.log_prob(batch.x, batch.observed))
    for length in range(1, batch.x.shape[1] + 1):
        seen = batch.observed.clone()
        seen[:, length:] = False
        part = likelihood.terms(batch.x, seen)
        torch.testing.assert_close(part[:, :, :length], whole[:, :, :length])
        assert (part[:, :, length:] == 0).all()


def test_no_cell_sees_a_later_one() -> None:
    dataset = data()
    built, batch = model(dataset), dataset.all().to(torch.float64)
    likelihood = emission(built, torch.randn(1, len(dataset), 3, dtype=torch.float64))
    assert batch.x is not None
    assert batch.observed is not None
    before = likelihood.terms(batch.x, batch.observed)[0]
    layout = EventLayout.of(dataset.schema)
    row = int(batch.observed[..., -1].sum(1).argmax())
    changed = 0
    for event, feature in product(range(5), range(batch.x.shape[2] - 1)):
        if not batch.observed[row, event, feature] or feature in layout.gates:
            continue
        x = batch.x.clone()
        x[row, event, feature] = 1 - x[row, event, feature].clamp(0, 1)
        after = likelihood.terms(x, batch.observed)[0]
        order = torch.arange(x[0].numel()).view_as(x[0])
        earlier = order < order[event, feature]
        torch.testing.assert_close(after[row][earlier], before[row][earlier])
        changed += int(not torch.allclose(after[row], before[row]))
    assert changed > 10


def test_the_levels_of_a_cell_sum_to_one() -> None:
    """They would not if a cell saw itself."""
    dataset = data()
    built, batch = model(dataset), dataset.all().to(torch.float64)
    likelihood = emission(built, torch.randn(1, len(dataset), 3, dtype=torch.float64))
    assert batch.x is not None
    assert batch.observed is not None
    place = EventLayout.of(dataset.schema).wait + 1
    each = []
    for level in range(3):
        x = batch.x.clone()
        x[:, 0, place] = level  # of the first event alone, since later ones see it
        each.append(likelihood.terms(x, batch.observed)[0, :, 0, place].exp())
    total = torch.stack(each).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_what_lies_in_the_padding_changes_nothing() -> None:
    dataset = data()
    built, batch = model(dataset), dataset.all().to(torch.float64)
    assert batch.x is not None
    assert batch.observed is not None
    odd = torch.where(batch.observed, batch.x, torch.nan)
    longer = torch.nn.functional.pad(odd, (0, 0, 0, 4), value=torch.inf)
    seen = torch.nn.functional.pad(batch.observed, (0, 0, 0, 4))
    z = torch.randn(1, len(dataset), 3, dtype=torch.float64)
    answers = []
    for x, mask in ((batch.x, batch.observed), (odd, batch.observed), (longer, seen)):
        built.zero_grad()
        wide = replace(batch, x=x, observed=mask)
        q = built.encode(wide)
        value = emission(built, z).log_prob(x, mask).sum() + q.mean.sum()
        value.backward()
        gradient = torch.cat([p.grad.flatten() for p in built.parameters() if p.grad is not None])
        assert gradient.isfinite().all()
        answers.append((value.detach(), q.mean.detach(), gradient))
    for answer in answers[1:]:
        for found, expected in zip(answer, answers[0], strict=True):
            torch.testing.assert_close(found, expected)


def test_rows_do_not_see_each_other() -> None:
    dataset = data()
    fitted = model(dataset)
    together = score(fitted, dataset, samples=2)
    for row in (0, 4, 11):
        alone = score(fitted, dataset.subset([row]), samples=2)
        torch.testing.assert_close(alone.bound[0], together.bound[row])


def tiny() -> Dataset:
    """Histories of at most two events of two kinds, at whole times."""
    rows = [("p", 0, "a"), ("p", 1, "b"), ("q", 0, "b"), ("r", 1, "a"), ("r", 3, "a")]
    return load(Events(pd.DataFrame(rows, columns=["who", "when", "what"]), "who", "when"))


def every_history(dataset: Dataset) -> Tensor:
    """All histories of the values that a model of ``tiny`` draws, (histories, 2, 4)."""
    nothing = float("nan")
    starts, waits = (dataset.x[..., i][dataset.mask[..., i]].unique().tolist() for i in (0, 1))
    found = []
    for start, first, last in product(starts, (0.0, 1.0), (0.0, 1.0)):
        begin = [start, nothing, first, last]
        if last:
            found.append([begin, [nothing] * 4])
        else:
            found += [[begin, [nothing, w, k, 1.0]] for w, k in product(waits, (0.0, 1.0))]
    return torch.tensor(found, dtype=torch.float64)


def test_draws_follow_the_model_by_enumeration() -> None:
    dataset = tiny()
    assert dataset.schema.event_shape == (2, 4)
    built = model(dataset)
    histories = every_history(dataset)
    z = torch.randn(1, 1, 3, dtype=torch.float64)
    likelihood = emission(built, z.expand(1, 20_000, 3))
    torch.manual_seed(0)
    drawn = likelihood.sample()[0]
    same = (drawn.unsqueeze(1).nan_to_num(-1) == histories.nan_to_num(-1)).all((2, 3))
    assert same.any(1).all()
    # a history that is cut off at two events: its last flag is set, not drawn
    seen = ~histories.isnan()
    seen[:, 1, 3] = False
    exact = emission(built, z.expand(1, len(histories), 3))
    p = exact.log_prob(histories.nan_to_num(0), seen)[0].exp().detach()
    shares = same.double().mean(0)
    # the tails of the histograms hold a thousandth, and draws leave them out
    assert abs(float(p.sum()) - 1) < 5e-3
    error = (p * (1 - p) / len(drawn)).sqrt()
    assert ((shares - p).abs() < 5 * error + 2e-3).all()
    assert float(p.max()) < 0.6


def test_hidden_cells_are_not_drawn_as_if_the_observed_ones_said_nothing() -> None:
    dataset = data()
    built, batch = model(dataset), dataset.all().to(torch.float64)
    likelihood = emission(built, torch.randn(1, len(dataset), 3, dtype=torch.float64))
    assert batch.observed is not None
    with pytest.raises(UnsupportedError, match="cells of a history also depend on each other"):
        likelihood.complete(batch.filled, batch.observed)
    with pytest.raises(UnsupportedError, match="cells of a history also depend on each other"):
        impute(built, dataset, samples=2)


def test_the_mean_and_draws_have_cells_where_events_have_them() -> None:
    dataset = data()
    built = model(dataset)
    layout = EventLayout.of(dataset.schema)
    drawn = next(sample_histories(built, 40, seed=1))
    seen = ~drawn.isnan()
    events = seen.any(2)
    assert (events.long().diff(dim=1) <= 0).all()
    assert events[:, 0].all()
    assert seen[:, 0, : layout.wait].any(0).all()
    assert not seen[:, 1:, : layout.wait].any()
    assert torch.equal(seen[:, 1:, layout.wait], events[:, 1:])
    gate = layout.gates[0]
    assert torch.equal(seen[..., gate + 1], events & (drawn[..., gate] == 1))
    assert (drawn[..., -1].nansum(1) == 1).all()
    frame = history_frame(dataset.schema, drawn)
    assert frame["sex"].notna().all()
    assert (frame.groupby("patient")["sex"].nunique() == 1).all()
    assert set(frame["sex"]) <= {"f", "m"}
    assert (frame["cost"] == frame["cost"].round(2)).all()


def test_large_numbers_are_drawn_to_the_last_digit() -> None:
    """float32, in which a network computes, has even numbers alone from 2**24 on."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"who": np.arange(300) // 3})
    frame["second"] = random.integers(0, 3 * 10**8, 300)
    frame["customer"] = random.integers(3 * 10**7, 9 * 10**7, 300)
    frame["paid"] = random.integers(3 * 10**7, 9 * 10**7, 300) / 100
    dataset = load(frame, entity="who", time="second")
    drawn = torch.cat(list(sample_histories(model(dataset).float(), 400, seed=1)))
    found = history_frame(dataset.schema, drawn)
    digits = {"customer": found["customer"], "second": found["second"], "paid": found["paid"] * 100}
    for name, values in digits.items():
        large = values[values > 2**24].round().astype("int64")
        assert len(large) > 100, name
        assert abs((large % 2).mean() - 0.5) < 0.2, name


def test_a_history_depends_on_the_seed_and_its_number_alone() -> None:
    built = model(data())
    few = torch.cat(list(sample_histories(built, 5, seed=3)))
    many = torch.cat(list(sample_histories(built, BLOCK + 3, seed=3)))
    torch.testing.assert_close(few, many[:5], equal_nan=True)
    again = torch.cat(list(sample_histories(built, BLOCK + 3, seed=3)))
    torch.testing.assert_close(again, many, equal_nan=True)
    wide = torch.cat(list(sample_histories(built, 5, seed=3, temperature=2.0)))
    assert not torch.equal(few.nan_to_num(), wide.nan_to_num())
    other = torch.cat(list(sample_histories(built, 5, seed=4)))
    assert not torch.equal(few.nan_to_num(-1), other.nan_to_num(-1))
    with pytest.raises(OptionError, match="at least one history"):
        sample_histories(built, 0)


@cache
def learned() -> tuple[Fitted, Dataset]:
    dataset = load(Events(chains(6_000), "who", "day"))
    training = TrainingOptions(
        updates=100, batch_size=512, learning_rate=1e-2, weight_average=0.95, threads=1
    )
    sizes = {**SMALL, "dropout": 0.0}
    options = FitOptions(ModelOptions(latent_dim=2, model_options=sizes), training=training)
    return fit(dataset, options), dataset


@pytest.mark.long
def test_a_known_chain_is_recovered() -> None:
    fitted, _ = learned()
    drawn = torch.cat(list(sample_histories(fitted.model, 3_000, seed=0)))
    found = transitions(history_frame(fitted.schema, drawn))
    assert np.abs(found - TRANSITION).max() < 0.06


@pytest.mark.slow
def test_the_bound_is_near_the_exact_likelihood_of_the_chain() -> None:
    fitted, _ = learned()
    frame = chains(400, seed=1)
    fresh = load(frame, schema=fitted.schema)
    exact = log_likelihood(frame)
    assert fresh.ids is not None
    truth = np.array([exact[name] for name in fresh.ids])
    bound = score(fitted.model, fresh, samples=10).bound.numpy()
    gap = truth.mean() - bound.mean()
    assert -0.02 < gap < 0.15


def test_other_models_and_other_data_are_refused() -> None:
    with pytest.raises(OptionError, match="leave the model out, or choose 'event_history'"):
        fit(data(), FitOptions(ModelOptions(model="pca")))
    with pytest.raises(OptionError, match="name the columns of entities and times"):
        fit(load("wine"), FitOptions(ModelOptions(model="event_history")))
    with pytest.raises(OptionError, match="'vamp' encodes rows of its own"):
        fit(data(), FitOptions(ModelOptions(prior="vamp")))
