"""GridCatch, a small environment without further libraries: catch what falls."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from lowerbound.data.arrays import Array

NAME = "lowerbound/GridCatch-v0"
SIDE = 8
BALL, PADDLE = 0, 1  # channels of a frame
BRICK = 255


class GridCatch(gymnasium.Env[Array, np.int64]):
    """A ball falls from a random column of the first row; a paddle on the last row moves left,
    stays or moves right.

    The reward is 1 if the paddle is under the ball when it arrives, else -1, and the episode ends.
    A random policy has a mean return of about -.7, the best policy 1.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012 - as gymnasium has it
    action_space: spaces.Discrete
    observation_space: spaces.Box

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(3)
        self.observation_space = spaces.Box(0, 1, (SIDE, SIDE, 2), np.uint8)
        self._ball, self._paddle, self._height = 0, 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self._ball, self._paddle = (int(n) for n in self.np_random.integers(SIDE, size=2))
        self._height = 0
        return self._frame(), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self._paddle = min(max(self._paddle + int(action) - 1, 0), SIDE - 1)
        self._height += 1
        over = self._height == SIDE - 1
        reward = (1.0 if self._paddle == self._ball else -1.0) if over else 0.0
        return self._frame(), reward, over, False, {}

    def render(self) -> Array:
        red, green = (self._frame()[..., channel] * BRICK for channel in (BALL, PADDLE))
        return np.stack([red, green, np.zeros_like(red)], -1).astype(np.uint8)

    def _frame(self) -> Array:
        frame = np.zeros((SIDE, SIDE, 2), np.uint8)
        frame[self._height, self._ball, BALL] = 1
        frame[SIDE - 1, self._paddle, PADDLE] = 1
        return frame
