from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
import torch

from lowerbound.data.columns.matrix import Column
from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError, TrainingError
from lowerbound.objectives import ELBO, ImportanceWeighted, TargetRate
from lowerbound.training import Progress, SilentReporter, loop, train
from lowerbound.training.held_out import HeldOut
from tests.training.cases import (
    assert_same_weights,
    average_factors,
    grey_rows,
    options,
    real_rows,
    vae,
    weights,
)


class Recorder(SilentReporter):
    """Remembers everything it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.states: list[Progress] = []
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def message(self, text: str) -> None:
        self.messages.append(text)

    def update(self, progress: Progress) -> None:
        self.states.append(progress)

    def stop(self) -> None:
        self.calls.append("stop")


def spoiled_rows(bad: list[int]) -> Dataset:
    """Real rows, some of which are NaN although the schema knows no missing values."""
    dataset = real_rows()
    dataset.x[bad] = math.nan
    return dataset


def held_out_bound(model: torch.nn.Module) -> float:
    held_out = HeldOut(grey_rows(40, seed=1), torch.device("cpu"), torch.float32, 256)
    return held_out.bound(model, ELBO()).value  # type: ignore[arg-type]


def test_training_raises_the_bound_and_leaves_the_model_in_evaluation_mode() -> None:
    model = vae()
    before = held_out_bound(model)
    history = train(model, ELBO(), grey_rows(), options(updates=300))
    assert not model.training
    assert held_out_bound(model) > before + 0.3
    assert history.ended == "finished"
    assert history.last is not None
    assert history.last.updates == 300
    assert history.last.epoch == pytest.approx(300 * 16 / 90)


@pytest.mark.parametrize(
    "objective",
    [ELBO(analytic=False, samples=2), ImportanceWeighted(samples=3), TargetRate(target=0.5)],
    ids=["elbo", "importance_weighted", "target_rate"],
)
def test_other_objectives_train_too(objective: ELBO) -> None:
    history = train(vae(), objective, grey_rows(), options(updates=60), validation=grey_rows(20, 1))
    assert [math.isfinite(r.bound) and r.validation is not None for r in history] == [True, True]


def test_batches_of_one_row_train() -> None:
    model = vae()
    before = held_out_bound(model)
    train(model, ELBO(), grey_rows(), options(updates=400, batch_size=1, learning_rate=3e-3))
    assert held_out_bound(model) > before


@pytest.mark.usefixtures("untouched_random_state")
def test_global_random_state_is_untouched() -> None:
    train(vae(), ELBO(), grey_rows(), options(updates=60), validation=grey_rows(20, 1))


def test_the_seed_decides_the_run_whatever_the_global_state_is() -> None:
    runs = []
    for global_seed, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(global_seed)
        model = vae()
        train(model, ELBO(), grey_rows(), options(seed=seed))
        runs.append(weights(model))
    assert_same_weights(runs[0], runs[1])
    assert not torch.equal(runs[1]["encoder.layers.0.weight"], runs[2]["encoder.layers.0.weight"])


def test_records_have_training_and_validation_values() -> None:
    data, validation = grey_rows(), grey_rows(20, 1)
    history = train(vae(), ELBO(), data, options(updates=120), validation=validation)
    assert [record.updates for record in history] == [50, 100, 120]
    for record in history:
        assert record.bound == pytest.approx(-record.distortion - sum(record.rates))
        assert record.validation is not None
        assert abs(record.validation - record.bound) < 3
    assert history.best in (50, 100, 120)


def test_bounds_are_in_the_datas_own_units() -> None:
    plain = real_rows()
    columns = tuple(Column(f"x{i}", scale=10.0) for i in range(12))
    scaled = replace(plain, schema=replace(plain.schema, columns=columns))
    first, second = (
        train(vae("gaussian"), ELBO(), data, options(), validation=data) for data in (plain, scaled)
    )
    shift = 12 * math.log(10)
    assert first.last is not None
    assert second.last is not None
    assert second.last.bound == pytest.approx(first.last.bound - shift)
    assert second.last.distortion == pytest.approx(first.last.distortion + shift)
    assert second.last.validation == pytest.approx((first.last.validation or 0) - shift)


FEW = grey_rows(6)
"""So few rows that a model soon knows them by heart, and others get worse."""


@pytest.mark.slow
def test_the_weights_kept_are_those_of_the_best_validation() -> None:
    model, validation = vae(), grey_rows(40, seed=1)
    chosen = options(updates=600, learning_rate=0.03, schedule="constant")
    history = train(model, ELBO(), FEW, chosen, validation=validation)
    bounds = [record.validation for record in history if record.validation is not None]
    assert len(bounds) == 12
    assert history.validation == max(bounds) > bounds[-1]
    assert held_out_bound(model) == history.validation


def test_training_stops_when_patience_runs_out() -> None:
    chosen = options(updates=5000, learning_rate=0.03, schedule="constant", patience=3)
    history = train(vae(), ELBO(), FEW, chosen, validation=grey_rows(40, seed=1))
    assert history.ended == "early stop"
    assert history.last is not None
    assert history.best is not None
    assert history.last.updates == history.best + 3 * 50


@pytest.mark.parametrize("validation", [None, grey_rows(20, 1)], ids=["no rows", "rows"])
def test_the_averaged_weights_are_validated_and_kept(validation: Dataset | None) -> None:
    averaged, plain = vae(), vae()
    chosen = options(updates=40, weight_average=0.9)
    train(averaged, ELBO(), grey_rows(), chosen, validation=validation)
    path: list[dict[str, torch.Tensor]] = []
    objective = ELBO()
    objective.after_update = lambda bound: path.append(weights(plain))  # type: ignore[method-assign]
    train(plain, objective, grey_rows(), options(updates=40, weight_average=0.0))
    assert_same_weights(weights(plain), path[-1])
    factors = average_factors(0.9, 40)
    for name, value in averaged.state_dict().items():
        steps = zip(factors, path, strict=True)
        expected = sum(f * step[name].double() for f, step in steps)
        assert torch.allclose(value.double(), expected, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_updates_that_are_not_finite_are_skipped_and_counted() -> None:
    model = vae("gaussian")
    history = train(
        model, ELBO(), spoiled_rows([3]), options(updates=45, batch_size=10, weight_average=0.0)
    )
    assert history.last is not None
    assert history.last.skipped == 5  # nine batches a pass, in one of which the row is
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert math.isfinite(history.last.bound)


def test_the_reporter_hears_of_skipped_updates() -> None:
    reporter = Recorder()
    data = spoiled_rows([3])
    train(vae("gaussian"), ELBO(), data, options(updates=45, batch_size=10), reporter=reporter)
    assert reporter.states[-1].skipped == 5


def test_too_many_skipped_in_a_row_end_training_with_advice() -> None:
    reporter, data = Recorder(), spoiled_rows(list(range(90)))
    with pytest.raises(TrainingError, match=r"last 50 updates .* lower learning_rate"):
        train(vae("gaussian"), ELBO(), data, options(updates=100), reporter=reporter)
    assert reporter.calls == ["start", "stop"]


def test_minutes_end_a_run() -> None:
    started = time.perf_counter()
    history = train(vae(), ELBO(), grey_rows(), options(updates=None, minutes=0.01))
    assert 0.6 <= time.perf_counter() - started < 10
    assert history.ended == "finished"
    assert history.last is not None
    assert history.last.learning_rate < 0.01 * 0.1  # the schedule came down with the time


def test_warm_ups_of_the_objective_follow_the_run() -> None:
    seen: list[float] = []
    objective = ELBO(warm_up=1.0)
    objective.after_update = lambda bound: seen.append(objective.progress.item())  # type: ignore[method-assign]
    train(vae(), objective, grey_rows(), options(updates=10))
    assert seen == pytest.approx([i / 10 for i in range(10)])


def test_reports_are_rare_and_the_last_state_is_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 3600.0)
    reporter = Recorder()
    train(vae(), ELBO(), grey_rows(), options(updates=60), reporter=reporter)
    assert reporter.calls == ["start", "stop"]
    assert [state.updates for state in reporter.states] == [1, 60]
    assert reporter.states[-1].share == 1.0
    assert len(reporter.messages) == 1


def test_threads_are_set_inside_only() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    objective = ELBO()
    objective.after_update = lambda bound: seen.append(torch.get_num_threads())  # type: ignore[method-assign]
    train(vae(), objective, grey_rows(), options(updates=1, threads=2))
    assert seen == [2]
    assert torch.get_num_threads() == before


def test_no_rows_are_no_training_data() -> None:
    with pytest.raises(DataError, match="no rows"):
        train(vae(), ELBO(), grey_rows().subset([]), options())


def test_fewer_rows_than_a_batch_are_enough() -> None:
    history = train(vae(), ELBO(), grey_rows(5), options(updates=10))
    assert history.last is not None
    assert history.last.epoch == 10.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "end"), [(ELBO(warm_up=0.6), 0.6), (ELBO(cycles=4, warm_up=0.4), 0.85)]
)
def test_weights_of_the_warm_up_are_never_kept(objective: ELBO, end: float) -> None:
    """Overfitting makes the first bound the best, and patience is short."""
    chosen = options(updates=2000, learning_rate=0.03, schedule="constant", patience=2)
    where = {"validation": grey_rows(20, seed=1)}
    assert (train(vae(), ELBO(), FEW, chosen, **where).best or 0) < 600
    history = train(vae(), objective, FEW, chosen, **where)
    bounds = {record.updates: record.validation for record in history}
    assert history.best is not None
    assert history.best > end * 2000
    after = {update: bound for update, bound in bounds.items() if update > end * 2000}
    assert history.validation == max(after.values())  # type: ignore[type-var]


def test_a_target_rate_keeps_the_newest_weights() -> None:
    chosen = options(updates=300, patience=1)
    history = train(vae(), TargetRate(target=0.5), grey_rows(), chosen, validation=grey_rows(20, 1))
    assert (history.ended, history.best) == ("finished", 300)
