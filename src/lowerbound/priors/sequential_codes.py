"""p(z) over codes that depend on each other: one code after another, in raster order.

The simplest is a table, each code given its left neighbor.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import PushedCodes
from lowerbound.priors.codes import CODE_PRIORS, PLAIN, CodePrior, Narrowing

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


STRENGTHS = tuple(2.0**power for power in range(-4, 15))


@CODE_PRIORS.register("markov")
class MarkovCodes(SequentialCodes):
    r"""p(z_i | z_{i-1}), the same for all places; the first place of a line has a table of its own.

    .. math:: p(k \mid j) = \frac{n(j, k) + c\, p(k)}{n(j) + c}, \qquad
        p(k) = \frac{n(k) + 1/2}{\sum_l n(l) + K / 2}

    with n the counts of training rows and the strength c that makes these rows likeliest when each
    code is predicted from all others (leave one out).
    """

    shares: Tensor

    def __init__(self, shape: tuple[int, ...], codes: int) -> None:
        super().__init__(shape, codes)
        even = torch.full((codes + 1, codes), 1.0 / codes)
        self.register_buffer("shares", even)  # of each code after each code, and at a line's start

    def conditionals(self, above: Sequence[Tensor], prompt: Tensor | None = None) -> Conditionals:
        return TableConditionals(self.shares.log(), self.shape[-1])

    @torch.no_grad()
    def start_from_codes(self, z: Tensor) -> None:
        counts = self._counts(z)
        base = counts.sum(0) + 0.5
        base = base / base.sum()
        strength = max(STRENGTHS, key=lambda c: _left_out(counts, base, c))
        totals = counts.sum(1, keepdim=True)
        self.shares.copy_((counts + strength * base) / (totals + strength))

    def _counts(self, z: Tensor) -> Tensor:
        """How often each code comes after each, and starts a line, (K + 1, K) float64."""
        pairs = before(z.flatten(1).cpu(), self.shape[-1], self.codes) * self.codes
        pairs = pairs + z.flatten(1).cpu()
        return (
            torch.bincount(pairs.flatten(), minlength=(self.codes + 1) * self.codes)
            .double()
            .view(self.codes + 1, self.codes)
        )


class TableConditionals(Conditionals):
    """Rows of a table, chosen by the left neighbor.

    Args:
        logits: (K + 1, K), the last row for the start of a line.
        line: places of a line.
    """

    def __init__(self, logits: Tensor, line: int) -> None:
        self.table, self.line = logits, line

    def logits(self, z: Tensor) -> Tensor:
        return F.embedding(before(z, self.line, self.table.shape[1]), self.table)

    def steps(self) -> Step:
        start = torch.tensor(self.table.shape[1], device=self.table.device)

        def step(z: Tensor, place: int) -> Tensor:
            left = z[:, place - 1] if place % self.line else start.expand(len(z))
            return F.embedding(left, self.table)

        return step


def before(z: Tensor, line: int, start: int) -> Tensor:
    """The left neighbor of each place of codes (rows, places), ``start`` where there is none."""
    lines = z.unflatten(1, (-1, line))
    return F.pad(lines[:, :, :-1], (1, 0), value=start).flatten(1)


def _left_out(counts: Tensor, base: Tensor, strength: float) -> float:
    """Log-likelihood of the counted codes, each given all others, nats."""
    seen = counts > 0
    rest = (counts - 1 + strength * base) / (counts.sum(1, keepdim=True) - 1 + strength)
    return float((counts[seen] * rest[seen].clamp_min(math.ulp(0.0)).log()).sum())
