"""A run that was stopped and resumed is the run that never was, bit for bit."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lowerbound import durable
from lowerbound.data.dataset import Dataset
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.likelihoods.bernoulli import ContinuousBernoulli
from lowerbound.models import Model
from lowerbound.objectives import ELBO, Objective, TargetRate
from lowerbound.training import History, Interrupted, loop, run, train
from lowerbound.training.loop import listening
from lowerbound.training.saving import identity, refuse_another_run
from tests.training.cases import (
    FEATURES,
    assert_same_weights,
    at_call,
    grey_rows,
    options,
    real_rows,
    vae,
    weights,
)
from tests.training.test_loop import FEW, Recorder

LONG = options(updates=130, threads=1, weight_average=0.9, checkpoint_seconds=3600.0)
VALIDATION = grey_rows(20, seed=1)


def interrupted_at(
    update: int, model: Model, objective: Objective, dataset: Dataset, chosen: Any, **keywords: Any
) -> Interrupted:
    """Train until a signal comes with that update."""
    number = keywords.pop("number", signal.SIGINT)
    objective.after_update = at_call(update, lambda: os.kill(os.getpid(), number))  # type: ignore[method-assign, assignment]
    with pytest.raises(Interrupted) as caught:
        train(model, objective, dataset, chosen, **keywords)
    return caught.value


def without_time(history: History) -> History:
    return replace(history, records=tuple(replace(record, seconds=0.0) for record in history))


@pytest.mark.parametrize("stops", [(37,), (1,), (50,), (20, 30, 61)])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, stops: tuple[int, ...]) -> None:
    """Stops in the middle of a pass (90 rows, batches of 16), new bits at each visit, averages."""
    straight, data = vae(), grey_rows()
    expected = train(straight, ELBO(), data, LONG, validation=VALIDATION)
    where: dict[str, Any] = {"validation": VALIDATION, "folder": tmp_path, "resume": True}
    for session, stop in enumerate(stops):
        # only the first session starts from its model's weights; the checkpoint's replace the rest
        interrupted_at(stop, vae(seed=session), ELBO(), data, LONG, **where)
        torch.manual_seed(session)
    resumed = vae(seed=99)
    history = train(resumed, ELBO(), data, LONG, **where)
    assert_same_weights(weights(resumed), weights(straight))
    assert without_time(history) == without_time(expected)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
def test_a_compiled_run_in_bf16_resumes_bit_for_bit_too(tmp_path: Path) -> None:
    chosen = replace(LONG, precision="bf16", compile="on")
    straight, resumed, reporter = vae(), vae(seed=99), Recorder()
    where: dict[str, Any] = {"validation": VALIDATION, "reporter": reporter}
    expected = train(straight, ELBO(), grey_rows(), chosen, **where)
    assert not [text for text in reporter.messages if "failed" in text]
    where |= {"folder": tmp_path, "resume": True}
    interrupted_at(37, vae(), ELBO(), grey_rows(), chosen, **where)
    history = train(resumed, ELBO(), grey_rows(), chosen, **where)
    assert_same_weights(weights(resumed), weights(straight))
    assert without_time(history) == without_time(expected)


def test_rows_and_bits_are_the_same_too(tmp_path: Path) -> None:
    """Every batch of the two sessions, bits included, beside those of the uninterrupted run."""

    def spied(objective: Objective, batches: list[Tensor]) -> Objective:
        objective.register_forward_pre_hook(
            lambda module, inputs: batches.append(
                torch.cat((inputs[1].x.flatten(), inputs[1].ids.float()))
            )
        )
        return objective

    straight: list[Tensor] = []
    train(vae(), spied(ELBO(), straight), grey_rows(), LONG)
    broken: list[Tensor] = []
    where: dict[str, Any] = {"folder": tmp_path, "resume": True}
    interrupted_at(37, vae(), spied(ELBO(), broken), grey_rows(), LONG, **where)
    train(vae(seed=3), spied(ELBO(), broken), grey_rows(), LONG, **where)
    assert len(straight) == len(broken) == 130
    assert all(torch.equal(a, b) for a, b in zip(straight, broken, strict=True))


def test_the_state_of_the_objective_is_kept(tmp_path: Path) -> None:
    def target() -> TargetRate:
        return TargetRate(target=0.5)

    straight, objective = vae(), target()
    train(straight, objective, grey_rows(), LONG)
    stopped, resumed = target(), target()
    climb = stopped.after_update

    def climb_then_stop(bound: Any, calls: list[int] = []) -> None:  # noqa: B006
        climb(bound)
        calls.append(1)
        if len(calls) == 37:
            os.kill(os.getpid(), signal.SIGINT)

    stopped.after_update = climb_then_stop  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        train(vae(), stopped, grey_rows(), LONG, folder=tmp_path)
    model = vae(seed=3)
    train(model, resumed, grey_rows(), LONG, folder=tmp_path, resume=True)
    assert_same_weights(weights(model), weights(straight))
    assert torch.equal(resumed.log_weight, objective.log_weight)


@pytest.mark.slow
def test_patience_goes_on_counting(tmp_path: Path) -> None:
    chosen = options(
        updates=3000,
        learning_rate=0.03,
        schedule="constant",
        patience=3,
        checkpoint_seconds=3600.0,
    )
    where: dict[str, Any] = {"validation": VALIDATION}
    expected = train(vae(), ELBO(), FEW, chosen, **where)
    assert expected.ended == "early stop"
    assert expected.best is not None
    stop = expected.best + 70
    interrupted_at(stop, vae(), ELBO(), FEW, chosen, folder=tmp_path, **where)
    history = train(vae(), ELBO(), FEW, chosen, folder=tmp_path, resume=True, **where)
    assert without_time(history) == without_time(expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_after_the_update_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    model, reporter = vae(), Recorder()
    stopped = interrupted_at(
        60, model, ELBO(), grey_rows(), LONG, folder=tmp_path, reporter=reporter, number=number
    )
    assert isinstance(stopped, KeyboardInterrupt)
    assert "update 60" in str(stopped)
    assert str(tmp_path / "checkpoint") in str(stopped)
    assert stopped.history.ended == "interrupted"
    assert [record.updates for record in stopped.history] == [50]
    assert reporter.calls == ["start", "stop"]
    assert not model.training
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_a_folder_an_interruption_says_that_nothing_was_saved() -> None:
    stopped = interrupted_at(5, vae(), ELBO(), grey_rows(), LONG)
    assert "nothing was saved" in str(stopped)


def test_a_signal_with_the_last_update_is_not_lost(tmp_path: Path) -> None:
    stopped = interrupted_at(130, vae(), ELBO(), grey_rows(), LONG, folder=tmp_path)
    assert "as training ended (finished)" in str(stopped)
    assert stopped.history.ended == "finished"
    history = train(vae(), ELBO(), grey_rows(), LONG, folder=tmp_path, resume=True)
    assert history == stopped.history


def test_a_second_signal_does_not_wait() -> None:
    with listening() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_training_works_beside_the_main_thread() -> None:
    histories: list[History] = []
    thread = threading.Thread(
        target=lambda: histories.append(train(vae(), ELBO(), grey_rows(), options(updates=3)))
    )
    thread.start()
    thread.join()
    assert histories[0].ended == "finished"


def test_resuming_without_a_checkpoint_starts_and_says_so(tmp_path: Path) -> None:
    fresh, resumed, reporter = vae(), vae(), Recorder()
    train(fresh, ELBO(), grey_rows(), options())
    train(resumed, ELBO(), grey_rows(), options(), folder=tmp_path, resume=True, reporter=reporter)
    assert_same_weights(weights(fresh), weights(resumed))
    assert "from the beginning" in reporter.messages[0]


def test_a_run_that_is_over_gives_its_weights_and_history_again(tmp_path: Path) -> None:
    model = vae()
    history = train(model, ELBO(), grey_rows(), LONG, validation=VALIDATION, folder=tmp_path)
    again, reporter = vae(seed=5), Recorder()
    where: dict[str, Any] = {"validation": VALIDATION, "folder": tmp_path, "resume": True}
    assert train(again, ELBO(), grey_rows(), LONG, **where, reporter=reporter) == history
    assert_same_weights(weights(again), weights(model))
    assert not again.training
    assert "already ended (finished)" in reporter.messages[0]


def test_without_resume_training_starts_anew(tmp_path: Path) -> None:
    interrupted_at(37, vae(), ELBO(), grey_rows(), LONG, folder=tmp_path)
    model, fresh = vae(), vae()
    train(model, ELBO(), grey_rows(), LONG, folder=tmp_path)
    train(fresh, ELBO(), grey_rows(), LONG)
    assert_same_weights(weights(model), weights(fresh))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": replace(LONG, learning_rate=0.02)}, "learning_rate was 0.01 and is 0.02"),
        ({"options": replace(LONG, updates=200, seed=1)}, "updates was 130 and is 200; seed was 0"),
        ({"objective": ELBO(beta=2.0)}, "objective beta was 1.0 and is 2.0"),
        ({"objective": TargetRate()}, "objective kind was 'ELBO' and is 'TargetRate'"),
        ({"dataset": grey_rows(91)}, "data rows was 90 and is 91"),
        ({"dataset": grey_rows(seed=4)}, "data content was"),
        ({"validation": VALIDATION}, "validation data was not given and is given"),
        ({"model": vae("gaussian"), "dataset": real_rows()}, "model likelihood"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_another_run_is_not_resumed_and_all_that_differs_is_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    interrupted_at(5, vae(), ELBO(), grey_rows(), LONG, folder=tmp_path)
    run = {"model": vae(), "objective": ELBO(), "dataset": grey_rows(), "options": LONG, **change}
    with pytest.raises(OptionError, match="cannot resume") as caught:
        train(**run, folder=tmp_path, resume=True)
    assert words in str(caught.value)


def test_how_often_to_save_may_differ(tmp_path: Path) -> None:
    interrupted_at(5, vae(), ELBO(), grey_rows(), LONG, folder=tmp_path)
    chosen = replace(LONG, checkpoint_seconds=1.0, threads=1)
    assert train(vae(), ELBO(), grey_rows(), chosen, folder=tmp_path, resume=True).ended


def test_a_damaged_checkpoint_is_an_error_and_no_silent_start(tmp_path: Path) -> None:
    interrupted_at(5, vae(), ELBO(), grey_rows(), LONG, folder=tmp_path)
    (tensors,) = (tmp_path / "checkpoint").glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-3])
    with pytest.raises(ModelFolderError, match="damaged"):
        train(vae(), ELBO(), grey_rows(), LONG, folder=tmp_path, resume=True)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the clock, and so a checkpoint, after every update."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr("lowerbound.training.saving.SHARE_OF_TIME", 1e9)


@pytest.mark.slow
@pytest.mark.usefixtures("busy")
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving fails for a while; training goes on to the same end and says what happened."""
    chosen = replace(LONG, checkpoint_seconds=0.0)
    straight, model, reporter = vae(), vae(), Recorder()
    train(straight, ELBO(), grey_rows(), chosen)
    sync, calls = durable.sync, 0

    def full_for_a_while(path: Path) -> None:
        nonlocal calls
        calls += 1
        if 100 < calls < 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(path)

    monkeypatch.setattr(durable, "sync", full_for_a_while)
    train(model, ELBO(), grey_rows(), chosen, folder=tmp_path, reporter=reporter)
    said = [text for text in reporter.messages if "No space left on device" in text]
    assert said
    assert "the previous one is intact" in said[0]
    assert_same_weights(weights(model), weights(straight))


def test_a_full_disk_at_the_interruption_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "sync", full)
    stopped = interrupted_at(5, vae(), ELBO(), grey_rows(), LONG, folder=tmp_path)
    assert "could not be written (No space left on device)" in str(stopped)


@pytest.mark.usefixtures("busy")
def test_what_is_published_is_what_would_be_kept(tmp_path: Path) -> None:
    model = vae()
    published: list[tuple[History, bool, dict[str, Tensor]]] = []
    chosen = replace(LONG, checkpoint_seconds=0.0, updates=60)

    def publish(history: History) -> None:
        published.append((history, model.training, weights(model)))

    where: dict[str, Any] = {"validation": VALIDATION, "folder": tmp_path, "publish": publish}
    history = train(model, ELBO(), grey_rows(), chosen, **where)
    assert [h.ended for h, _, _ in published[:-1]] == ["running"] * 59
    assert published[-1][0] == history
    assert not any(training for _, training, _ in published)
    assert_same_weights(published[-1][2], weights(model))
    straight = vae()
    assert without_time(
        train(straight, ELBO(), grey_rows(), chosen, validation=VALIDATION)
    ) == without_time(history)
    assert_same_weights(weights(straight), weights(model))  # publishing changed nothing


@pytest.mark.parametrize("kind", ["target rate", "cycles"])
@pytest.mark.parametrize("stop", [37, 75])
def test_a_run_with_a_changing_weight_resumes_bit_for_bit(
    tmp_path: Path, kind: str, stop: int
) -> None:
    """In the middle of a rise, and where the kept weights are only those until the next record."""

    def objective() -> ELBO:
        return TargetRate(target=0.5) if kind == "target rate" else ELBO(cycles=2, warm_up=0.4)

    straight, data, controlled = vae(), grey_rows(), objective()
    where: dict[str, Any] = {"validation": VALIDATION}
    expected = train(straight, controlled, data, LONG, **where)
    where |= {"folder": tmp_path, "resume": True}
    stopped = objective()
    step = stopped.after_update

    def step_then_stop(bound: Any, calls: list[int] = []) -> None:  # noqa: B006
        step(bound)
        calls.append(1)
        if len(calls) == stop:
            os.kill(os.getpid(), signal.SIGINT)

    stopped.after_update = step_then_stop  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        train(vae(), stopped, data, LONG, **where)
    resumed, continued = vae(seed=3), objective()
    history = train(resumed, continued, data, LONG, **where)
    assert_same_weights(weights(resumed), weights(straight))
    assert without_time(history) == without_time(expected)
    assert float(continued.weight()) == float(controlled.weight())


def test_a_checkpoint_from_before_an_option_goes_on_with_its_default() -> None:
    who = identity(vae(), ELBO(), grey_rows(), None, LONG)
    assert who["objective"] == {
        "kind": "ELBO",
        "samples": 1,
        "analytic": True,
        "beta": 1.0,
        "warm_up": 0.0,
        "free_bits": 0.0,
        "balance": 0.0,
    }
    other = identity(vae(), ELBO(cycles=2), grey_rows(), None, LONG)
    with pytest.raises(OptionError, match="objective cycles was not given and is 2"):
        refuse_another_run(who, other, Path())


def test_options_of_parts_that_differ_are_named_with_both_values() -> None:
    then = {"model": {"model": "vae", "model_options": {"memory": 32, "hidden": [9] * 99}}}
    now = {"model": {"model": "vae", "model_options": {"memory": 64, "hidden": [8] * 99}}}
    with pytest.raises(OptionError) as caught:
        refuse_another_run(then, now, Path())
    assert "model model_options memory was 32 and is 64; " in str(caught.value)
    assert "hidden was [9, 9, 9" in str(caught.value)
    assert len(str(caught.value)) < 450


def test_parts_without_weights_are_parts_of_the_run() -> None:
    who = identity(vae(), ELBO(), grey_rows(), None, LONG)
    other = vae()
    other.likelihood = ContinuousBernoulli((FEATURES,))
    found = identity(other, ELBO(), grey_rows(), None, LONG)
    words = "part likelihood was 'Bernoulli' and is 'ContinuousBernoulli'"
    with pytest.raises(OptionError, match=words):
        refuse_another_run(who, found, Path())
    del who["part"]  # as checkpoints from before have it
    refuse_another_run(who, found, Path())


@pytest.mark.slow
def test_threads_may_be_others_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    real = loop.processor_threads

    def watched(threads: int) -> Any:
        used.append(threads)
        return real(threads)

    monkeypatch.setattr(loop, "processor_threads", watched)
    data = grey_rows()
    where: dict[str, Any] = {"folder": tmp_path, "resume": True}
    interrupted_at(3, vae(), ELBO(), data, LONG, folder=tmp_path)
    train(vae(), ELBO(), data, replace(LONG, threads=2), **where)
    assert used == [1, 2]


class Clock:
    """A second for each update, and a signal at one of them."""

    def __init__(self, stop: int | None) -> None:
        self.now = self.start = 1e3 * (stop or 0)
        self.stop = stop

    def perf_counter(self) -> float:
        return self.now

    def after_update(self, argument: object) -> None:
        self.now += 1.0
        if self.now - self.start == self.stop:
            os.kill(os.getpid(), signal.SIGINT)


def timed(monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> ELBO:
    """An objective whose updates take a second each, by the clock of the run."""
    clock, objective = Clock(stop), ELBO()
    monkeypatch.setattr(run, "time", clock)
    objective.after_update = clock.after_update  # type: ignore[method-assign, assignment]
    return objective


def test_the_time_before_a_stop_counts_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = replace(LONG, updates=None, minutes=0.5)
    whole = train(vae(), timed(monkeypatch), grey_rows(), chosen)
    assert whole.records[-1].updates in (30, 31)
    where: dict[str, Any] = {"folder": tmp_path, "resume": True}
    for stop in (8, 9):
        with pytest.raises(Interrupted):
            train(vae(), timed(monkeypatch, stop), grey_rows(), chosen, **where)
    assert train(vae(), timed(monkeypatch), grey_rows(), chosen, **where) == whole
