"""From data to noise and back, without randomness: how latents are edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from lowerbound.priors.diffusion.process import NoiseProcess, Predict


@dataclass(frozen=True)
class Inversion:
    r"""Solves the probability-flow equation in both directions, from data to a time and back.

    .. math:: \frac{d y}{d \tau} = \hat\epsilon(x_t, t), \qquad y = x_t / \alpha_t, \;
        \tau = \sigma_t / \alpha_t

    by Heun's method, two evaluations of the network for a step. Its first order is DDIM, and
    DDIM inversion (Song et al. 2021; Mokady et al. 2023).

    Attributes:
        process: the noise process.
        times: from the least noise up.
    """

    process: NoiseProcess
    times: Sequence[int]

    @classmethod
    def up_to(cls, process: NoiseProcess, strength: float, steps: int) -> Inversion:
        """At most ``steps`` times, evenly spread over the share ``strength`` of all times."""
        noisiest = process.drawing_times(1 + 1)[0]
        last = max(1, round(strength * noisiest))
        spread = torch.linspace(0, last, steps + 1, dtype=torch.float64).round().long()
        return cls(process, sorted(set(spread.tolist())))

    @torch.no_grad()
    def noised(self, predict: Predict, x: Tensor) -> Tensor:
        """x at the last time, of clean rows (rows, numbers)."""
        first = self.times[0]
        y = x + self._tau(first) * self._noise(predict, x, first)
        return self._solved(predict, y, self.times) * self.process.alpha[self.times[-1]]

    @torch.no_grad()
    def cleaned(self, predict: Predict, x: Tensor) -> Tensor:
        """Clean rows of x at the last time, (rows, numbers)."""
        first, last = self.times[0], self.times[-1]
        y = self._solved(predict, x / self.process.alpha[last], self.times[::-1])
        return y - self._tau(first) * self._noise(predict, y, first)

    @torch.no_grad()
    def stepped(self, predict: Predict, x: Tensor, t: int, s: int) -> Tensor:
        """x at time s of x at time t, (rows, numbers), by one step."""
        y = self._solved(predict, x / self.process.alpha[t], (t, s))
        return y * self.process.alpha[s]

    def _solved(self, predict: Predict, y: Tensor, times: Sequence[int]) -> Tensor:
        for t, next_t in pairwise(times):
            step = self._tau(next_t) - self._tau(t)
            slope = self._noise(predict, y, t)
            end = self._noise(predict, y + step * slope, next_t)
            y = y + step * (slope + end) / 2
        return y

    def _tau(self, t: int) -> Tensor:
        return self.process.sigma[t] / self.process.alpha[t]

    def _noise(self, predict: Predict, y: Tensor, t: int) -> Tensor:
        """The noise that the network finds in x_t = alpha_t y."""
        x = y * self.process.alpha[t]
        found = predict(x, torch.full((1,), t, device=x.device)).to(x.dtype)
        return self.process.noise_of(found, x, t)
