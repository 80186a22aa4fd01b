"""``Environment`` as gymnasium's interface, for other libraries."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from lowerbound.data.arrays import Array
from lowerbound.fitting.control.environments import Environment, EnvironmentOptions


class FrameEnv(gymnasium.Env[Array, Any]):
    """Packed frames, (channels, height, width) or (numbers,), and actions in [-1, 1] or classes.

    Args:
        options: the environment.
        seed: of its episodes, unless ``reset`` has one.
        stream: name of the random stream.
        stack: newest frames that are seen together, side by side on the first axis; before an
            episode starts, its first frame counts.
    """

    action_space: Any
    observation_space: spaces.Box

    def __init__(
        self,
        options: EnvironmentOptions,
        seed: int = 0,
        stream: str = "training",
        stack: int = 1,
    ) -> None:
        self.inner = Environment(options, seed, stream)
        self._seen: deque[Array] = deque(maxlen=stack)
        frame, inner = self.inner.frame, self.inner
        shape = (stack * frame.event_shape[0], *frame.event_shape[1:])
        if frame.levels is None:
            self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)
        else:
            self.observation_space = spaces.Box(0, frame.top_code, shape, np.uint8)
        self.action_space = (
            spaces.Discrete(inner.classes)
            if inner.classes
            else spaces.Box(-1.0, 1.0, (inner.actions,), np.float32)
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.inner.seed, self.inner.episode = seed, 0
        first = self.inner.reset().numpy()
        self._seen.extend([first] * (self._seen.maxlen or 1))
        return np.concatenate(self._seen), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        if self.inner.classes:
            given = torch.zeros(self.inner.classes)
            given[int(action)] = 1.0
        else:
            given = torch.as_tensor(np.asarray(action, np.float32))
        found = self.inner.step(given)
        self._seen.append(found.frame.numpy())
        return np.concatenate(self._seen), found.reward, found.terminated, found.truncated, {}

    def show(self, seen: Array) -> None:
        """Set the frames that are seen together, as ``step`` gave them."""
        self._seen.extend(np.split(seen, self._seen.maxlen or 1))

    def render(self) -> Array:
        return self.inner.picture()

    def close(self) -> None:
        self.inner.close()
