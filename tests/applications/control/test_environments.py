"""Environments: packed frames, seeds of episodes, actions, and what is refused."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.applications.control import environments
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.environments import ControlTask, Environment, FrameEnv
from lowerbound.applications.control.grid_catch import SIDE, GridCatch
from lowerbound.errors import (
    DataError,
    MissingExtraError,
    MissingLibraryError,
    OptionError,
)

gymnasium = pytest.importorskip("gymnasium")
CATCH = EnvironmentOptions("lowerbound/GridCatch-v0")


def transitions(env: Environment, count: int = 500) -> str:
    """A hash of the first transitions under one sequence of actions."""
    digest, noise = hashlib.sha256(), np.random.default_rng(0)
    seen = env.reset()
    for _ in range(count):
        action = torch.zeros(env.actions)
        action[noise.integers(env.actions)] = 1.0
        arrival = env.step(action)
        for value in (seen, action, torch.tensor(arrival.reward)):
            digest.update(value.numpy().tobytes())
        seen = env.reset() if arrival.terminated or arrival.truncated else arrival.frame
    return digest.hexdigest()


def test_the_best_policy_catches_and_standing_still_misses() -> None:
    from gymnasium.utils.env_checker import check_env

    env = GridCatch()
    check_env(env, skip_render_check=True)
    caught = []
    for seed in range(30):
        frame, _ = env.reset(seed=seed)
        for _ in range(SIDE - 1):
            ball, paddle = (int(frame[..., channel].any(0).argmax()) for channel in (0, 1))
            frame, reward, over, _, _ = env.step(np.int64(1 + np.sign(ball - paddle)))
        assert over
        caught.append(reward)
    assert set(caught) == {1.0}
    assert env.render().shape == (SIDE, SIDE, 3)


def _space_env(monkeypatch: pytest.MonkeyPatch, space: Any, seen: Any) -> tuple[Any, list[int]]:
    """An environment that always shows the same, and the actions that it is given."""
    given: list[int] = []

    class Same(gymnasium.Env):  # type: ignore[misc]
        observation_space = space
        action_space = gymnasium.spaces.Discrete(3, start=-1)

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return seen, {}

        def step(self, action: Any) -> Any:
            given.append(action)
            return seen, 0.0, False, False, {}

    monkeypatch.setattr(environments, "make", lambda options, rendered=False: Same())
    return Environment(EnvironmentOptions("any")), given


@pytest.mark.parametrize(
    ("low", "high", "dtype", "picture"),
    [
        (0, 255, np.uint8, True),
        (0, 1, np.bool_, True),
        (0, 9, np.int64, True),
        (0, 256, np.int32, False),
        (-1, 1, np.int8, False),
        (0.0, 1.0, np.float64, False),
        (-5.0, 5.0, np.float32, False),
    ],
)
def test_pictures_are_of_bytes_or_bits(
    monkeypatch: pytest.MonkeyPatch, low: float, high: float, dtype: Any, picture: bool
) -> None:
    space = gymnasium.spaces.Box(low, high, (4, 3), dtype)
    seen = np.full((4, 3), high).astype(dtype)
    env, _ = _space_env(monkeypatch, space, seen)
    assert (env.frame.kind == "images") == picture
    assert env.reset().shape == ((1, 4, 3) if picture else (12,))
    assert float(env.reset().max()) == high


def test_actions_are_counted_from_the_start_of_their_space(monkeypatch: pytest.MonkeyPatch) -> None:
    env, given = _space_env(monkeypatch, gymnasium.spaces.Discrete(2), 0)
    env.reset()
    for row in torch.eye(3):
        env.step(row)
    assert given == [-1, 0, 1]


def test_frames_are_packed_channels_first() -> None:
    env = Environment(CATCH)
    frame = env.reset()
    assert frame.shape == (2, SIDE, SIDE)
    assert frame.dtype == torch.uint8
    assert env.frame.levels == 2
    assert (env.form.actions, env.form.classes) == (3, 3)


LIBRARIES = {
    "MinAtar/Breakout-v1": "minatar",
    "MinAtar/SpaceInvaders-v1": "minatar",
    "ALE/Pong-v5": "ale_py",
    "dmc/cartpole-swingup": "dm_control",
}


def test_a_seed_fixes_the_first_transitions() -> None:
    first, again = (transitions(Environment(CATCH, seed=3)) for _ in range(2))
    assert first == again
    assert transitions(Environment(CATCH, seed=4)) != first
    assert transitions(Environment(CATCH, seed=3, stream="evaluation")) != first


@pytest.mark.parametrize("name", LIBRARIES)
def test_games_are_reproduced(name: str) -> None:
    pytest.importorskip(LIBRARIES[name])
    options = EnvironmentOptions(name)
    assert transitions(Environment(options, 1)) == transitions(Environment(options, 1))


@pytest.mark.parametrize(
    ("name", "needed", "actions"),
    [
        ("ALE/Pong-v5", "ale_py", (6, 6)),
        ("dmc/cartpole-swingup", "dm_control", (0, 1)),
        ("CartPole-v1", "pygame", (2, 2)),
    ],
)
def test_rendered_pictures_are_seen(name: str, needed: str, actions: tuple[int, int]) -> None:
    pytest.importorskip(needed)
    env = Environment(EnvironmentOptions(name, pixels=24, repeat=3, colors="grey"), 1)
    first = env.reset()
    assert first.shape == (1, 24, 24)
    assert first.float().std() > 0
    assert (env.classes, env.actions) == actions
    moved = [env.step(torch.eye(env.actions)[0]).frame for _ in range(2)]
    assert any(not torch.equal(first, frame) for frame in moved)
    again = Environment(EnvironmentOptions(name, pixels=24, repeat=3, colors="grey"), 1)
    assert torch.equal(again.reset(), first)


def test_an_episode_is_restored_by_its_actions() -> None:
    pytest.importorskip("minatar")
    options = EnvironmentOptions("MinAtar/Breakout-v1")
    env, noise = Environment(options, 5), np.random.default_rng(1)
    actions = torch.eye(env.actions)
    env.reset()
    for _ in range(60):
        arrival = env.step(actions[noise.integers(3)])
        if arrival.terminated or arrival.truncated:
            env.reset()
    other = Environment(options, 5)
    other.restore(env.state())
    for _ in range(5):
        chosen = actions[noise.integers(3)]
        one, same = env.step(chosen), other.step(chosen)
        assert torch.equal(one.frame, same.frame)
        assert one[1:] == same[1:]
        if one.terminated:
            break


def test_numbers_are_mapped_to_the_bounds() -> None:
    env = Environment(EnvironmentOptions("Pendulum-v1", limit=7))
    assert (env.classes, env.actions) == (0, 1)
    env.reset()
    assert env._given(torch.tensor([1.0])) == pytest.approx(2.0)
    assert env._given(torch.tensor([-3.0])) == pytest.approx(-2.0)
    assert env._given(torch.tensor([-0.5])) == pytest.approx(-1.0)
    arrivals = [env.step(torch.zeros(1)) for _ in range(7)]
    assert [arrival.truncated for arrival in arrivals] == [False] * 6 + [True]
    assert not arrivals[-1].terminated


class Odd(gymnasium.Env[Any, Any]):  # type: ignore[misc]
    """An environment whose spaces and rewards are given."""

    fault: Exception = RuntimeError("no display")

    def __init__(self, seen: Any = None, done: Any = None, reward: float = 0.0) -> None:
        spaces = gymnasium.spaces
        self.observation_space = seen or spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = done or spaces.Discrete(2)
        self.reward = reward

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), self.reward, False, False, {}

    def render(self) -> None:
        raise self.fault


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda s: Odd(seen=s.Dict({"a": s.Discrete(2)})), "observations Dict"),
        (lambda s: Odd(seen=s.Text(3)), "observations Text"),
        (lambda s: Odd(done=s.MultiDiscrete([2, 3])), "actions MultiDiscrete"),
        (lambda s: Odd(done=s.Box(-np.inf, np.inf, (2,))), "finite bounds"),
    ],
)
def test_other_spaces_are_named(made: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "make", lambda *_: made(gymnasium.spaces))
    with pytest.raises(OptionError, match=said):
        Environment(EnvironmentOptions("odd"))


def test_rewards_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "make", lambda *_: Odd(reward=float("nan")))
    env = Environment(EnvironmentOptions("odd"))
    env.reset()
    with pytest.raises(DataError, match="reward nan in episode 0"):
        env.step(torch.tensor([1.0, 0.0]))


def test_observations_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    for wrong in (np.nan, np.inf, 1e300):  # the last is beyond float32
        seen = np.array([0.0, wrong, 1.0])
        with pytest.raises(DataError, match=r"observation (nan|inf) at place 2 in episode 0"):
            _space_env(monkeypatch, space, seen)


def test_a_failed_picture_names_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "make", lambda *_: Odd())
    with pytest.raises(OptionError, match="SDL_VIDEODRIVER=dummy"):
        Environment(EnvironmentOptions("odd", pixels=8))


@pytest.mark.parametrize("kind", [gymnasium.error.DependencyNotInstalled, ModuleNotFoundError])
def test_a_picture_without_its_library_says_only_what_to_install(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    monkeypatch.setattr(environments, "make", lambda *_: Odd())
    monkeypatch.setattr(Odd, "fault", kind("pygame is not installed, run pip install it"))
    with pytest.raises(
        OptionError, match="cannot be rendered: pygame is not installed, run pip"
    ) as (caught):
        Environment(EnvironmentOptions("odd", pixels=8))
    assert str(caught.value).endswith("pip install it")


def test_missing_libraries_and_names_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="cannot be made"):
        Environment(EnvironmentOptions("CartPoleX-v1"))
    with pytest.raises(OptionError, match="cannot be made: No module named 'nomod'"):
        Environment(EnvironmentOptions("nomod:my/Walk-v0"))
    with pytest.raises(MissingExtraError, match=r"lowerbound\[rl\]"):
        environments.library("no_such_library", "rl")
    with pytest.raises(MissingLibraryError, match="pip install some-game"):
        environments.library("no_such_library", packages="some-game")
    with pytest.raises(OptionError, match="DOMAIN-TASK"):
        Environment(EnvironmentOptions("dmc/cartpole"))


def test_other_libraries_are_told_a_limit_of_time_from_an_end() -> None:
    env = FrameEnv(EnvironmentOptions("lowerbound/GridCatch-v0", limit=3))
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False)] * 2 + [(False, True)]
    whole = FrameEnv(CATCH)
    whole.reset(seed=0)
    ends = [whole.step(0)[2:4] for _ in range(SIDE - 1)]
    assert ends == [(False, False)] * (SIDE - 2) + [(True, False)]


@pytest.mark.parametrize(
    ("last", "discount", "ends"),
    [
        (False, 1.0, (False, False)),
        (True, 1.0, (False, True)),
        (True, 0.0, (True, False)),
        (False, 0.0, (False, False)),
    ],
)
def test_an_episode_of_dm_control_ends_of_itself_where_its_discount_is_zero(
    last: bool, discount: float, ends: tuple[bool, bool]
) -> None:
    found = SimpleNamespace(
        last=lambda: last, discount=discount, reward=None, observation={"at": np.zeros(2)}
    )
    task = ControlTask.__new__(ControlTask)
    task._env = SimpleNamespace(step=lambda action: found)
    seen, reward, terminated, truncated, _ = task.step(np.zeros(1))
    assert (seen.shape, reward) == ((2,), 0.0)
    assert (terminated, truncated) == ends
