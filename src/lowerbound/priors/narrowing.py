"""Draws of codes that are likelier and less varied than their distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.errors import OptionError


@dataclass(frozen=True)
class Narrowing:
    """How draws differ from p(z): likelier and less varied.

    Attributes:
        temperature: logits are divided by it; 0: always the likeliest code.
        top_k: only so many of the likeliest codes are drawn; None: all.
        top_p: only the likeliest codes that together have this probability are drawn.

    Raises:
        OptionError: a value is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise OptionError(f"a temperature is zero or more, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise OptionError(f"top_k is a number of codes, at least 1, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is a probability above 0, at most 1, not {self.top_p}")

    def shares(self, logits: Tensor) -> Tensor:
        """Probabilities that draws have, float64, of logits (rows, K)."""
        logits = logits.double()
        if self.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).double()
        return self.kept(torch.softmax(logits / self.temperature, -1))

    def kept(self, shares: Tensor) -> Tensor:
        """Probabilities (..., K) with those of codes that are never drawn set to zero."""
        if self.top_k is None and self.top_p == 1:
            return shares
        ordered, order = shares.sort(dim=-1, descending=True, stable=True)
        if self.top_k is not None:
            ordered[..., self.top_k :] = 0.0
        before = ordered.cumsum(-1) - ordered
        dropped = before >= self.top_p * ordered.sum(-1, keepdim=True)
        return shares.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), 0.0)


PLAIN = Narrowing()
