"""p(z) of a diffusion model: draws by a differential equation, and a bound on its density."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.point import Density
from lowerbound.distributions.reparameterization import Pushed
from lowerbound.priors.diffusion.process import NoiseProcess, OdeSampler, Predict

NOISE, TIMES = 0, 1  # levels of the keyed noise
CELL = 0.125  # of standardized latents: the noise is keyed by cells, so that rounding changes none


class Guided(Protocol):
    """A network that predicts with a prompt, or with other numbers that describe a row."""

    def __call__(
        self, x: Tensor, t: Tensor, prompt: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor: ...


class DiffusionDistribution(Pushed):
    """p(z | prompt), batch shape (1, rows of the prompt), event (numbers,).

    The prompt may be any numbers that the network takes beside x.

    Args:
        predict: the network on standardized rows, (rows, numbers).
        process: what it was trained to undo.
        loc, scale: of the latents, (1, 1 | rows, numbers): z = loc + scale x.
        sampler: from noise to x.
        guidance: strength of the prompt in draws; the density is always that of guidance 1.
        prompt: (rows, codes or numbers); None: p(z).
        spread: standard deviation of the numbers of x, (1, 1, numbers); None: 1.
        times: how many times each row's bound averages over.
        rows_at_once: rows of one pass of the network.
    """

    density: ClassVar[Density] = "bound"
    smooth: ClassVar[bool] = True

    def __init__(
        self,
        predict: Guided,
        process: NoiseProcess,
        loc: Tensor,
        scale: Tensor,
        sampler: OdeSampler,
        *,
        guidance: float = 1.0,
        prompt: Tensor | None = None,
        spread: Tensor | None = None,
        times: int = 16,
        rows_at_once: int = 1024,
    ) -> None:
        self.predict, self.process, self.sampler = predict, process, sampler
        self.loc, self.scale = loc, scale
        self.guidance, self.prompt = guidance, prompt
        self.deviation = scale if spread is None else scale * spread
        self.times, self.rows_at_once = times, rows_at_once
        rows = 1 if prompt is None else len(prompt)
        super().__init__(torch.Size((1, rows)), loc.shape[2:], validate_args=False)

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Standard normal noise (samples, batch, numbers) to draws; no gradient passes."""
        rows = noise.flatten(0, -2)
        prompts = self._prompts(noise)
        parts = []
        for part in self._chunks(len(rows), 1):
            x = self.sampler(self._guided(prompts, part), rows[part])
            parts.append(x.to(noise.dtype))
        z: Tensor = self.loc + self.scale * torch.cat(parts).reshape(noise.shape)
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """A lower bound on log p(z) in nats, (samples, rows), of z (samples, rows, numbers).

        Its times are stratified and its noise is keyed by the content of z, so the bound of a z is
        always the same number; over many z its mean is unbiased for the bound's.
        """
        x = ((z - self.loc) / self.scale).flatten(0, -2)
        keys = row_keys((x / CELL).round())
        prompts = self._prompts(z)
        with torch.autocast(z.device.type, enabled=False):
            parts = [
                self._bound(x[part], keys[part], None if prompts is None else prompts[part])
                for part in self._chunks(len(x), self.times)
            ]
        bound = torch.cat(parts) if parts else x.new_zeros(0)
        total: Tensor = bound.reshape(z.shape[:-1]) - self.scale.log().sum()
        return total

    @property
    def mean(self) -> Tensor:
        """The mean of the latents that the prior was trained on, (1, 1 | rows, numbers)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of the latents that the prior was trained on, (1, 1, numbers)."""
        return self.deviation.square()

    @property
    def like(self) -> Tensor:
        return self.loc

    def _bound(self, x: Tensor, keys: Tensor, prompts: Tensor | None) -> Tensor:
        """The bound of standardized rows, (rows,)."""
        shape = (self.times, *x.shape)
        noise = KeyedNoise(keys).normal(shape, x, NOISE).flatten(0, 1)
        like = torch.empty((), dtype=torch.float64, device=x.device)
        offset = torch.special.ndtr(KeyedNoise(keys).normal((1, len(x)), like, TIMES))
        strata = torch.arange(self.times, dtype=torch.float64, device=x.device).unsqueeze(1)
        t, nats = self.process.by_importance(((strata + offset) / self.times).flatten())
        clean = x.repeat(self.times, 1)
        known = None if prompts is None else prompts.repeat(self.times, 1)
        found = self.predict(self.process.noised(clean, noise, t), t, known)
        error = self.process.squared_error(found, clean, noise, t)
        of_times: Tensor = (nats * error).unflatten(0, (self.times, -1)).mean(0)
        return self.process.ends(x) - of_times

    def _guided(self, prompts: Tensor | None, part: slice) -> Predict:
        known = None if prompts is None else prompts[part]
        return lambda x, t: self.predict(x, t, known, self.guidance)

    def _prompts(self, z: Tensor) -> Tensor | None:
        """The prompt of every row of z, (all rows, codes)."""
        if self.prompt is None:
            return None
        return self.prompt.expand(*z.shape[:-1], -1).flatten(0, -2)

    def _chunks(self, rows: int, copies: int) -> Iterator[slice]:
        each = max(1, self.rows_at_once // copies)
        return (slice(start, min(start + each, rows)) for start in range(0, rows, each))
