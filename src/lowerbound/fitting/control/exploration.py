r"""Noise of actions that is kept for a while, so that an agent goes somewhere and does not tremble.

An action is drawn by standard normal noise: a class by Gumbel noise made of it, numbers by their
mean and deviation. Each single action has exactly the distribution of the policy, but the noise of
one step is that of the step before, for a time n with P(n) in proportion to 1 / n. Where the policy
is sure, nothing changes. Where it is not, it does the same for some steps in a row, and reaches
states that independent draws do not.

Sources: Dabney et al. 2021 (random actions that are kept for random times), Eberhard et al. 2023
(noise with long correlations in time).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.training.checkpoints.randomness import generator

LONGEST = 10  # steps that noise is kept


class Exploration:
    """The noise of one agent; ``tensors`` and ``values`` continue it exactly.

    Args:
        seed: of the noise.
        numbers: of an action.
        classes: of an action that is a class; 0: it is numbers in [-1, 1].
        share: of actions that do not come from the policy, but are uniform.
    """

    def __init__(self, seed: int, numbers: int, classes: int, share: float) -> None:
        self.seed, self.numbers, self.classes, self.share = seed, numbers, classes, share
        self.left, self.uniform, self.noise = 0, False, torch.zeros(numbers)

    def start(self) -> None:
        """Forget the noise: an episode starts."""
        self.left = 0

    def next(self, step: int) -> None:
        """Go on to the noise of the next step: the same, or fresh.

        Args:
            step: number of the step in the run, which the noise depends on.
        """
        if not self.left:
            fresh = generator(self.seed, f"explore {step}", torch.device("cpu"))
            chances = torch.rand(2, generator=fresh)
            self.left, self.uniform = duration(float(chances[0])), bool(chances[1] < self.share)
            self.noise = torch.randn(self.numbers, generator=fresh)
        self.left -= 1

    def uniform_action(self) -> Tensor:
        """The uniform action of the noise, (numbers,)."""
        if self.classes:
            return F.one_hot(self.noise.argmax(), self.classes).float()
        chances: Tensor = torch.special.ndtr(self.noise)
        return 2 * chances - 1

    def values(self) -> dict[str, Any]:
        """The JSON values of a checkpoint."""
        return {"left": self.left, "uniform": self.uniform}

    def restore(self, values: Mapping[str, Any], noise: Tensor) -> None:
        """Continue from ``values`` and the noise."""
        self.left, self.uniform, self.noise = values["left"], values["uniform"], noise


def duration(chance: float) -> int:
    """Steps that noise is kept: P(n) in proportion to 1 / n, from 1 to ``LONGEST``.

    Args:
        chance: a uniform draw, from 0 to 1.
    """
    weights = torch.arange(1, LONGEST + 1, dtype=torch.float64) ** -1
    below = weights.cumsum(0) / weights.sum() < chance
    return min(int(below.sum()) + 1, LONGEST)
