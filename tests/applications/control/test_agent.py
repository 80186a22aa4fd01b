"""Agents: exact resuming, reproducible runs, and learning GridCatch."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lowerbound.applications.control import agent as agents, training
from lowerbound.applications.control.agent import LONGEST, AgentOptions, AgentRun, duration
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.environments import Environment
from lowerbound.applications.control.grid_catch import SIDE
from lowerbound.applications.control.imagined_returns import ImaginationOptions
from lowerbound.applications.control.player import (
    AgentRecord,
    EvaluationOptions,
    play,
    read_records,
)
from lowerbound.applications.control.training import AgentSettings, TrainedAgent, train_agent
from lowerbound.errors import OptionError
from lowerbound.fitting import folder as model_folder
from lowerbound.models import RecurrentStateSpace
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.training import Interrupted, checkpoint as checkpoints

pytest.importorskip("gymnasium")
SIZES = {"memory": 16, "groups": 4, "classes": 4, "width": 16}
SMALL = AgentSettings(
    EnvironmentOptions("lowerbound/GridCatch-v0"),
    ModelOptions(network="mlp", network_options={"hidden": (16,)}, model_options=SIZES),
    ImaginationOptions(horizon=4, starts=16),
    AgentOptions(steps=160, prefill=60, every=2, explore=0.2, batch=4, length=8),
    EvaluationOptions(evaluate_every=80, episodes=2),
)


def weights(trained: TrainedAgent) -> dict[str, torch.Tensor]:
    return trained.fitted.model.state_dict()


@pytest.mark.slow
def test_a_seed_fixes_the_weights_after_fifty_updates() -> None:
    first, again = train_agent(SMALL), train_agent(SMALL)
    assert first.records[-1].updates == 51
    for name, value in weights(first).items():
        assert torch.equal(value, weights(again)[name]), name
    other = train_agent(replace(SMALL, agent=replace(SMALL.agent, seed=1)))
    assert not torch.equal(
        weights(other)["cell.of_state.weight"], weights(first)["cell.of_state.weight"]
    )


@pytest.mark.parametrize(
    ("precision", "native", "rounded"),
    [("auto", True, True), ("auto", False, False), ("bf16", False, True), ("float32", True, False)],
)
def test_auto_rounds_to_bf16_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, precision: str, native: bool, rounded: bool
) -> None:
    monkeypatch.setattr(agents, "native_bf16", lambda: native)
    inside = []
    monkeypatch.setattr(
        ELBO, "bound", lambda *given: inside.append(torch.is_autocast_enabled("cpu")) or 1 / 0
    )
    agent = replace(SMALL.agent, precision=precision, device="cpu")
    with pytest.raises(ZeroDivisionError):
        train_agent(replace(SMALL, agent=agent))
    assert inside == [rounded]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'bf16'"):
        AgentOptions(precision="bf17")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [30, 77, 120])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    whole = train_agent(SMALL)

    def interrupt(record: AgentRecord, total: int) -> None:
        if record.steps >= stop:
            signal.raise_signal(signal.SIGINT)

    from lowerbound.applications.control import training

    class Impatient(training._Watch):
        def after_step(self) -> None:
            super().after_step()
            interrupt(self.now(), 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_Watch", Impatient)
        with pytest.raises(Interrupted, match=f"at step {stop} and saved"):
            train_agent(SMALL, folder=tmp_path)
    said: list[str] = []
    resumed = train_agent(SMALL, folder=tmp_path, resume=True, say=said.append)
    assert said == [f"resumed at step {stop}"]
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    plain = [replace(record, seconds=0.0) for record in whole.records]
    assert [replace(record, seconds=0.0) for record in resumed.records] == plain
    assert [replace(record, seconds=0.0) for record in read_records(tmp_path)] == plain


@pytest.mark.slow
def test_a_run_that_ends_where_it_was_interrupted_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(record: AgentRecord, total: int) -> None:
        if record.steps == 62:
            signal.raise_signal(signal.SIGINT)

    ticks = SimpleNamespace(monotonic=count().__next__, process_time=time.process_time)
    monkeypatch.setattr(training, "time", ticks)  # each step is shown
    silent = replace(SMALL, evaluation=EvaluationOptions(evaluate_every=0, episodes=2))
    with pytest.raises(Interrupted, match="at step 62 and saved"):
        train_agent(silent, folder=tmp_path, shown=stop)
    short = replace(silent, agent=replace(SMALL.agent, steps=62))
    assert [one.steps for one in train_agent(short, folder=tmp_path, resume=True).records] == [62]


@pytest.mark.slow
def test_evaluation_changes_no_weights() -> None:
    silent = replace(SMALL, evaluation=EvaluationOptions(evaluate_every=0, episodes=0))
    for name, value in weights(train_agent(silent)).items():
        assert torch.equal(value, weights(train_agent(SMALL))[name]), name
        break


@pytest.mark.slow
def test_other_settings_are_not_resumed(tmp_path: Path) -> None:
    train_agent(SMALL, folder=tmp_path)
    changed = replace(SMALL, agent=replace(SMALL.agent, learning_rate=0.1))
    with pytest.raises(OptionError, match=r"learning_rate was not given and is 0\.1"):
        train_agent(changed, folder=tmp_path, resume=True)
    longer = replace(SMALL, agent=replace(SMALL.agent, steps=170))
    assert train_agent(longer, folder=tmp_path, resume=True).records[-1].steps == 170


@pytest.mark.slow
def test_an_agent_is_a_model_folder(tmp_path: Path) -> None:
    trained = train_agent(SMALL)
    model_folder.write(tmp_path / "agent.lb", trained.fitted)
    again = model_folder.read(tmp_path / "agent.lb")
    assert isinstance(again.model, RecurrentStateSpace)
    env = Environment(SMALL.environment, 0, "evaluation")
    found = play(again.model, env, env.form.frame, 3, greedy=True)
    assert {episode.steps for episode in found} == {7}
    assert {abs(episode.score) for episode in found} == {1.0}


def test_kept_actions_have_inverse_square_durations() -> None:
    found = torch.tensor([duration(float(u)) for u in torch.linspace(0, 1, 20_001)])
    assert found.min() == 1
    assert found.max() == LONGEST
    weights = torch.arange(1, LONGEST + 1).double() ** -2
    shares = torch.stack([(found == n).double().mean() for n in range(1, LONGEST + 1)])
    torch.testing.assert_close(shares, weights / weights.sum(), atol=1e-3, rtol=0)


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match="raise prefill or lower length"):
        AgentOptions(prefill=10, length=20)
    for steps, every in ((50, 2), (70, 40)):
        with pytest.raises(OptionError, match=r"steps must be above agent\.prefill"):
            AgentOptions(steps=steps, prefill=50, every=every)


@pytest.mark.long
def test_an_agent_learns_to_catch() -> None:
    settings = AgentSettings(
        SMALL.environment,
        ModelOptions(
            network_options={"hidden": (64,)},
            network="mlp",
            model_options={"memory": 64, "width": 64},
        ),
        ImaginationOptions(horizon=8, starts=64),
        AgentOptions(steps=10_000, prefill=500, every=2),
        EvaluationOptions(evaluate_every=0, episodes=100),
    )
    record = train_agent(settings).records[-1]
    assert sum(record.greedy) / 100 >= 0.95


def random_run(steps: int, limit: int = 0) -> AgentRun:
    """A run that has acted at random for some steps."""
    environment = replace(SMALL.environment, limit=limit)
    made = AgentRun(environment, SMALL.model, SMALL.imagination, SMALL.agent)
    for _ in range(steps):
        made.step()
    return made


@pytest.mark.parametrize(("limit", "ends"), [(0, 4), (5, 0), (SIDE - 1, 4)])
def test_an_episode_that_a_limit_of_time_cut_off_would_go_on(limit: int, ends: int) -> None:
    steps = 4 * (SIDE - 1)
    made = random_run(steps, limit)
    outcomes = made.replay.windows(torch.arange(len(made.replay))[None]).outcomes
    assert outcomes is not None
    assert int((outcomes[..., 1] == 0).sum()) == ends
    assert len(made.scores) == steps // (limit or SIDE - 1)
    assert int(made.replay.clips().terminated.sum()) == ends  # type: ignore[union-attr]


def test_time_and_counts_before_a_stop_count_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(0, 50)
    clock = SimpleNamespace(monotonic=time.monotonic, process_time=lambda: float(next(ticks)))
    monkeypatch.setattr(training, "time", clock)
    made = random_run(20)
    made.learner.seconds, made.learner.skipped = {"model": 3.0, "behavior": 4.0}, 5
    made.updates, made.score, made.kept, made.readings = 6, 2.5, 3, {"rate": 1.0}
    watch = training._Watch(made, SMALL, tmp_path, None)
    watch.save()
    saved = checkpoints.load(tmp_path)
    assert saved is not None
    again = random_run(0)
    after = training._Watch(again, SMALL, tmp_path, None)
    after.restore(saved)
    assert again.values() == made.values()
    assert saved.values["seconds"] == 50.0
    assert after.now().seconds == 100.0
