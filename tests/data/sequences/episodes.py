"""Episodes of a dot that actions move."""

from __future__ import annotations

import numpy as np
import torch

from lowerbound.data import FrameClips, load

SIDE, LENGTH = 6, 20


def episodes(count: int = 12) -> FrameClips:
    """A dot on a square, which an action moves left, leaves, or moves right; the reward is its
    distance from the left, and an episode terminates at the right edge or at its last frame."""
    noise, frames, rows = np.random.default_rng(0), [], []
    for episode in range(count):
        place = int(noise.integers(SIDE))
        for time in range(LENGTH):
            frame = np.zeros((SIDE, SIDE), np.uint8)
            frame[SIDE // 2, place] = 1
            action = int(noise.integers(3))
            frames.append(frame)
            rows.append((episode, action, float(place), time == LENGTH - 1))
            place = min(max(place + action - 1, 0), SIDE - 1)
    episode, action, reward, terminated = (np.array(column) for column in zip(*rows, strict=True))
    return FrameClips(
        load(np.stack(frames)),
        torch.from_numpy(episode),
        torch.from_numpy(action).float().unsqueeze(1),
        torch.from_numpy(reward).float(),
        torch.from_numpy(terminated),
        3,
    )
