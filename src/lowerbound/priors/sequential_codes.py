"""p(z) over codes that depend on each other: one code after another, in raster order."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import PushedCodes
from lowerbound.priors.codes import CodePrior
from lowerbound.priors.narrowing import PLAIN, Narrowing

Step = Callable[[Tensor, int], Tensor]


class Conditionals(ABC):
    """log p(z_i | z_{<i}) of every place of some rows."""

    @abstractmethod
    def logits(self, z: Tensor) -> Tensor:
        """Of all places, (rows, places, K), for codes z, (rows, places)."""

    @abstractmethod
    def steps(self) -> Step:
        """A function of (z, place) that returns the logits of that place, (rows, K).

        It must be called for one place after the other, from 0, and reads only the codes before.
        """


class SequentialDistribution(PushedCodes):
    """Codes of one codebook, each given those before it, event ``shape``.

    Args:
        prior: whose conditionals they are.
        above: codes of the codebooks above, (1 | samples, 1 | rows, *their places).
        prompt: (rows, fields), or None.
        narrowing: of draws; the density is that of the model.
    """

    def __init__(
        self,
        prior: SequentialCodes,
        above: Sequence[Tensor] = (),
        prompt: Tensor | None = None,
        narrowing: Narrowing = PLAIN,
    ) -> None:
        self.prior, self.above, self.prompt, self.narrowing = prior, above, prompt, narrowing
        shapes = [codes.shape[:2] for codes in above]
        if prompt is not None:
            shapes.append(torch.Size((1, len(prompt))))
        batch = torch.broadcast_shapes((1, 1), *shapes)
        super().__init__(batch, torch.Size(prior.shape), validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (samples, rows), of codes (samples, rows, *shape)."""
        rows = z.flatten(0, 1).flatten(1)
        logits = self._conditionals(z.shape[:2]).logits(rows)
        if not logits.dtype.is_floating_point or logits.dtype == torch.bfloat16:
            logits = logits.float()
        each = torch.log_softmax(logits, -1).gather(-1, rows.unsqueeze(-1)).squeeze(-1)
        summed: Tensor = each.sum(-1).unflatten(0, z.shape[:2])
        return summed

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Map standard normal noise to codes, place by place, by the inverse cumulative
        distribution."""
        uniform = torch.special.ndtr(noise.double()).flatten(0, 1).flatten(1)

        def drawn(logits: Tensor, place: int) -> Tensor:
            upper = self.narrowing.shares(logits).cumsum(-1)
            wanted = uniform[:, place : place + 1] * upper[:, -1:]
            return torch.searchsorted(upper, wanted, right=True).squeeze(1)

        return self._generated(noise.shape[:2], drawn)

    def tempered(self, temperature: float) -> SequentialDistribution:
        narrowing = replace(self.narrowing, temperature=temperature)
        tempered = SequentialDistribution(self.prior, self.above, self.prompt, narrowing)
        tempered._batch_shape = self._batch_shape
        return tempered

    @property
    def mean(self) -> Tensor:
        """The likeliest code of each place given those before it, because codes have no mean."""
        return self._generated(self.batch_shape, lambda logits, place: logits.argmax(-1))

    @property
    def like(self) -> Tensor:
        return torch.zeros(1, 1, *self.prior.shape, device=self.prior.device)

    @torch.no_grad()
    def _generated(self, batch: torch.Size, choose: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Codes, (*batch, *shape), each chosen from its logits."""
        places = math.prod(self.prior.shape)
        z = torch.zeros(batch.numel(), places, dtype=torch.long, device=self.prior.device)
        step = self._conditionals(batch).steps()
        for place in range(places):
            logits = step(z, place)
            z[:, place] = choose(logits, place).clamp_max(self.prior.codes - 1)
        codes: Tensor = z.unflatten(1, self.prior.shape).unflatten(0, batch)
        return codes

    def _conditionals(self, batch: torch.Size) -> Conditionals:
        above = [
            codes.expand(*batch, *codes.shape[2:]).flatten(0, 1).flatten(1) for codes in self.above
        ]
        prompt = self.prompt
        if prompt is not None:
            prompt = prompt.expand(*batch, prompt.shape[1]).flatten(0, 1)
        return self.prior.conditionals(above, prompt)


class SequentialCodes(CodePrior):
    """A prior whose codes depend on those before them, and on the codebooks above."""

    @abstractmethod
    def conditionals(self, above: Sequence[Tensor], prompt: Tensor | None = None) -> Conditionals:
        """Of rows with these codes above, (rows, places) each, and prompts, (rows, fields)."""

    @property
    def device(self) -> torch.device:
        """Where the prior is."""
        every = (*self.parameters(), *self.buffers())
        return every[0].device

    def forward(self) -> SequentialDistribution:
        return self.given()

    def given(
        self, above: Sequence[Tensor] = (), prompt: Tensor | None = None
    ) -> SequentialDistribution:
        if prompt is not None:
            super().given(above, prompt)  # refuses
        return SequentialDistribution(self, above, None, self.narrowing)
