"""A table as prior over codes: each code given its left neighbor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.priors.codes import CODE_PRIORS
from lowerbound.priors.sequential_codes import Conditionals, SequentialCodes, Step

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
