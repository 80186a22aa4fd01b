"""Tasks of the DeepMind control suite as gymnasium environments (Tassa et al. 2018)."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from lowerbound.data.arrays import Array
from lowerbound.errors import MissingExtraError, OptionError

SIDE = 64
CAMERA = 0


class ControlTask(gymnasium.Env[Array, Array]):
    """A task of the suite, named dmc/DOMAIN-TASK. Episodes have no end, only a limit of time.

    Pictures have no shadows.

    Args:
        domain, task: names in the suite.
        render_mode: "rgb_array", or None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - as gymnasium's
    action_space: spaces.Box
    observation_space: spaces.Box

    def __init__(self, domain: str, task: str, render_mode: str | None = None) -> None:
        self.render_mode, self._names = render_mode, (domain, task)
        self._env = self._loaded()
        actions = self._env.action_spec()
        low, high = (np.asarray(v, np.float32) for v in (actions.minimum, actions.maximum))
        self.action_space = spaces.Box(low, high, dtype=np.float32)
        count = sum(int(np.prod(spec.shape)) for spec in self._env.observation_spec().values())
        self.observation_space = spaces.Box(-np.inf, np.inf, (count,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._env.task._random = np.random.RandomState(seed % 2**32)
        return self._numbers(self._env.reset()), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        found = self._env.step(action)
        over = found.last()
        terminated = over and found.discount == 0
        reward = float(found.reward or 0.0)
        return self._numbers(found), reward, bool(terminated), bool(over and not terminated), {}

    def render(self) -> Array:
        picture: Array = self._env.physics.render(SIDE, SIDE, camera_id=CAMERA)
        return picture

    def _loaded(self) -> Any:
        suite = _suite()
        try:
            env = suite.load(*self._names)
        except (ValueError, KeyError) as error:
            raise OptionError(
                f"dmc/{'-'.join(self._names)} is no task of the suite: {error}"
            ) from error
        # without a graphics card shadows take two thirds of the time, and at 64x64 few pixels
        env.physics.model.vis.quality.shadowsize = 0
        return env

    @staticmethod
    def _numbers(found: Any) -> Array:
        parts = [np.ravel(value) for value in found.observation.values()]
        return np.concatenate(parts).astype(np.float32)


def register(name: str) -> None:
    """Register a task under its name, dmc/DOMAIN-TASK.

    Raises:
        OptionError: the name has another form.
    """
    domain, _, task = name.removeprefix("dmc/").partition("-")
    if not task:
        raise OptionError(
            f"{name!r} is no task: names have the form dmc/DOMAIN-TASK, such as "
            "dmc/cartpole-swingup"
        )
    if name not in gymnasium.registry:
        entry = "lowerbound.fitting.control.dm_control:ControlTask"
        gymnasium.register(name, entry, kwargs={"domain": domain, "task": task})


def _suite() -> Any:
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        from dm_control import suite
    except ImportError as error:
        raise MissingExtraError("dm_control", "dmc") from error
    return suite
