"""A fit to rows on disk is the fit to the same rows in memory, bit for bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lowerbound.data import Dataset, dataset as datasets, load
from lowerbound.data.tables.on_disk import load_on_disk
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training import History, Interrupted, SilentReporter, TrainingOptions
from lowerbound.training.feed import DataOrder, Feed
from tests.data.tables.tables import mixed_frame, written

pytestmark = [
    pytest.mark.filterwarnings("ignore:column 'row'"),
    pytest.mark.filterwarnings("ignore:no variation in column 'fixed'"),
]
SHORT = TrainingOptions(updates=60, batch_size=64, seed=2, threads=1, checkpoint_seconds=3600.0)
MODELS: Mapping[str, ModelOptions] = {
    "vae": ModelOptions(latent_dim=3),
    "mlp": ModelOptions(latent_dim=3, network="mlp"),
    "semi_supervised": ModelOptions(model="semi_supervised", latent_dim=3),
    "conditional": ModelOptions(latent_dim=3, network="mlp", conditional=True),
}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table, of which no subset is read into memory."""
    monkeypatch.setattr(datasets, "MOST_IN_MEMORY", 0)
    return written(mixed_frame(), tmp_path / "t.parquet")


def options(name: str) -> FitOptions:
    return FitOptions(model=MODELS[name], training=SHORT, folds=0 if name[0] == "s" else None)


def assert_same_fit(one: Fitted, other: Fitted) -> None:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert without_time(one.history) == without_time(other.history)


def without_time(history: History) -> History:
    return replace(history, records=tuple(replace(each, seconds=0.0) for each in history))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_to_rows_on_disk_is_that_in_memory(table: Path, tmp_path: Path, name: str) -> None:
    label = {"label": "kind"} if name in ("semi_supervised", "conditional") else {}
    stored = load_on_disk(table, tmp_path / "cache", **label)  # type: ignore[arg-type]
    assert stored.folder is not None
    begun = fit(stored, replace(options(name), training=replace(SHORT, updates=1)))
    ours, theirs = fit(stored, options(name)), fit(load(table, **label), options(name))
    assert_same_fit(ours, theirs)
    first = begun.model.state_dict()
    assert any(
        not torch.equal(first[each], value) for each, value in ours.model.state_dict().items()
    )


class StopsAt(SilentReporter):
    """Sends a signal when training reports its progress."""

    def update(self, progress: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_a_resumed_fit_is_the_uninterrupted_one(table: Path, tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "model"
    whole = fit(load(table), options("mlp"))
    with pytest.raises(Interrupted):
        fit(load_on_disk(table, cache), options("mlp"), folder=folder, reporter=StopsAt())
    (file,) = cache.glob("*/x.bin")
    before = file.stat().st_mtime_ns
    resumed = fit(load_on_disk(table, cache), options("mlp"), folder=folder, resume=True)
    assert_same_fit(resumed, whole)
    assert file.stat().st_mtime_ns == before


def test_a_pass_visits_each_row_on_disk_once(table: Path, tmp_path: Path) -> None:
    stored, expected = load_on_disk(table, tmp_path / "cache"), load(table)
    feed, order = Feed(stored, torch.device("cpu"), torch.float32), DataOrder(600, 50, seed=1)
    assert feed.dataset.folder is not None
    for epoch in range(2):
        batches = [feed.batch(order.batch(12 * epoch + number)) for number in range(12)]
        rows = torch.cat([batch.ids for batch in batches if batch.ids is not None])
        assert not torch.equal(rows, rows.sort().values)
        values = torch.cat([batch.filled for batch in batches])[rows.argsort()]
        assert torch.equal(values, expected.batch(torch.arange(600)).filled.float())


def test_few_rows_are_read_into_memory(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = load_on_disk(table, tmp_path / "cache")
    monkeypatch.setattr(datasets, "MOST_IN_MEMORY", 50 * stored.schema.dimension)
    few: Dataset = stored.in_memory()
    assert (len(few), few.folder) == (50, None)
    assert stored.subset(range(50)).folder is None
    assert stored.subset(range(51)).folder is not None
    assert load(table).in_memory().folder is None
