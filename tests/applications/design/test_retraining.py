"""Weighted retraining, against weights on paper and a table whose best rows are rare."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.design import retraining
from lowerbound.applications.design.engine import SearchOptions
from lowerbound.applications.design.goals import DesignTask, Goal
from lowerbound.applications.design.retraining import (
    _with_found,
    rank_weights,
    retrained,
    search_and_retrain,
)
from lowerbound.data import Dataset, load
from lowerbound.errors import DataError, OptionError, TrainingError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from lowerbound.training.private.options import PrivacyOptions

TASK = DesignTask((Goal("a", lambda frame: frame["a"].to_numpy()),))


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = np.random.default_rng(0)
    a = generator.normal(size=400)
    return load(pd.DataFrame({"a": a, "b": a + 0.3 * generator.normal(size=400)}))


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> Fitted:
    training = TrainingOptions(epochs=20, compile="off", validation=0.0)
    return fit(data, FitOptions(ModelOptions(latent_dim=2), training=training))


def test_weights_by_rank() -> None:
    """1 / (k N + rank), and a row without a score has the last rank."""
    weights = rank_weights(torch.tensor([1.0, -torch.inf, 3.0, 2.0]))
    expected = 1 / (4e-3 + torch.tensor([2.0, 3.0, 0.0, 1.0]).double())
    assert torch.allclose(weights, expected / expected.sum())


@pytest.mark.slow
def test_a_retrained_model_draws_more_of_the_best_rows(fitted: Fitted, data: Dataset) -> None:
    scores = data.schema.units(data.x)[:, 0].double()
    before = {name: value.clone() for name, value in fitted.model.state_dict().items()}
    better = retrained(fitted, data, scores)
    assert all(torch.equal(before[name], v) for name, v in fitted.model.state_dict().items())

    def mean(model: Fitted) -> float:
        return float(sample_prior(model.model, 2000, seed=0).x[:, 0].mean())

    assert mean(better) > mean(fitted) + 0.4


@pytest.mark.long
def test_a_search_goes_on_after_each_retraining(fitted: Fitted, data: Dataset) -> None:
    said: list[str] = []
    options = SearchOptions(method="random", calls=30, batch=5)
    result = search_and_retrain(fitted, data, TASK, options, 2, say=said.append)
    assert said == [
        "retraining 1 of 2 on 410 rows, best ones most often",
        "retraining 2 of 2 on 420 rows, best ones most often",
    ]
    assert result.called == 30
    assert result.calls == 30
    table = result.table
    assert list(table["call"]) == sorted(table["call"])
    assert not table["known"].any()
    assert float((table["score"] - table["a"]).abs().max()) < 1e-9 * float(table["a"].abs().max())
    again = search_and_retrain(fitted, data, TASK, options, 2)
    assert table.equals(again.table)


@pytest.mark.slow
def test_no_retraining_is_one_search(fitted: Fitted, data: Dataset) -> None:
    options = SearchOptions(method="random", calls=10, batch=5)
    whole = search_and_retrain(fitted, data, TASK, options, 0)
    assert whole.called == 10


@pytest.mark.slow
@pytest.mark.parametrize("end", [KeyboardInterrupt(), DataError("none"), TrainingError("NaN")])
def test_a_retraining_that_ends_early_loses_no_call(
    fitted: Fitted, data: Dataset, end: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*args: Any, **kwargs: Any) -> Any:
        raise end

    options, few = SearchOptions(method="random", calls=8, batch=4), data.subset(range(60))
    monkeypatch.setattr(retraining, "retrained", ends)
    result = search_and_retrain(fitted, few, TASK, options, 1)
    assert result.stopped is end
    assert result.called == 4
    monkeypatch.setattr(retraining.Designer, "search", ends)
    with pytest.raises(type(end)):
        search_and_retrain(fitted, few, TASK, options, 1)


@pytest.mark.slow
def test_a_later_part_that_ends_at_once_loses_no_call(
    fitted: Fitted, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    options, few = SearchOptions(method="random", calls=8, batch=4), data.subset(range(60))
    monkeypatch.setattr(retraining, "retrained", lambda fitted, *args, **kwargs: fitted)
    monkeypatch.setattr(retraining.Designer, "search", _second_search(ends))
    result = search_and_retrain(fitted, few, TASK, options, 1)
    assert isinstance(result.stopped, KeyboardInterrupt)
    assert result.called == 4


@pytest.mark.slow
def test_what_ends_the_last_part_ends_the_search(
    fitted: Fitted, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, few = SearchOptions(method="random", calls=8, batch=4), data.subset(range(60))
    search, stop = retraining.Designer.search, KeyboardInterrupt()

    def stopped(*args: Any, **kwargs: Any) -> Any:
        return replace(search(*args, **kwargs), stopped=stop)

    monkeypatch.setattr(retraining, "retrained", lambda fitted, *args, **kwargs: fitted)
    monkeypatch.setattr(retraining.Designer, "search", _second_search(stopped))
    result = search_and_retrain(fitted, few, TASK, options, 1)
    assert (result.stopped, result.called) == (stop, 8)


def _second_search(ends: Any) -> Any:
    """A search of which the second call ends."""
    calls, search = [0], retraining.Designer.search

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return (search if calls[0] == 1 else ends)(*args, **kwargs)

    return counted


def test_impossible_retrainings_are_refused(fitted: Fitted, data: Dataset) -> None:
    options = SearchOptions(calls=10)
    for times in (-1, 10):
        with pytest.raises(OptionError, match=f"{times} retrainings with 10 calls"):
            search_and_retrain(fitted, data, TASK, options, times)
    private = replace(fitted, options=replace(fitted.options, privacy=PrivacyOptions(epsilon=1.0)))
    with pytest.raises(OptionError, match="a private model cannot be retrained"):
        search_and_retrain(private, data, TASK, options, 1)


def test_rows_of_a_search_join_the_data_unless_they_were_known(data: Dataset) -> None:
    candidates = [
        SimpleNamespace(row=n, known=n == 1, outcome=SimpleNamespace(values=(float(n),)))
        for n in range(3)
    ]
    form = SimpleNamespace(dataset=lambda rows: (data.subset(rows), range(len(rows))))
    designer: Any = SimpleNamespace(form=form, values=torch.zeros(len(data), 1).double())
    result: Any = SimpleNamespace(ranked=lambda: candidates)
    both, values = _with_found(designer, data, result)
    assert torch.equal(both.x, torch.cat([data.x, data.x[[0, 2]]]))
    assert values[len(data) :].flatten().tolist() == [0.0, 2.0]
