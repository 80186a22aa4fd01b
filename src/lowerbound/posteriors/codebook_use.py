r"""How codes are used: which share of a codebook, and as how many codes that are used alike.

.. math:: H = -\sum_k f_k \log f_k, \qquad \text{perplexity} = e^H \le K

with f_k the share of places, over all rows, at which code k was chosen. A codebook has collapsed
where the perplexity is far below K: the rows say no more than a smaller one would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodebookUse:
    """How the rows use one codebook.

    Attributes:
        counts: how often each code was chosen, (K,).
    """

    counts: Tensor

    @property
    def used(self) -> float:
        """Share of the codes that were chosen at all."""
        return float((self.counts > 0).double().mean())

    @property
    def entropy(self) -> float:
        """H, nats per code: what a code costs that is coded by these shares."""
        shares = self.counts.double() / self.counts.sum()
        return float(-torch.special.xlogy(shares, shares).sum())

    @property
    def perplexity(self) -> float:
        """e^H."""
        return math.exp(self.entropy)

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        numbers = {name: getattr(self, name) for name in ("used", "perplexity", "entropy")}
        return {"codes": len(self.counts), **numbers}
