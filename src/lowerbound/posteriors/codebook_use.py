r"""Use of a codebook: the share of its codes that are used, and their perplexity.

.. math:: H = -\sum_k f_k \log f_k, \qquad \text{perplexity} = e^H \le K

with f_k the share of places, over all rows, at which code k was chosen. If the perplexity is far
below K, the codebook has collapsed: a smaller one would hold as much information.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodebookUse:
    """The use of one codebook.

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
        """H, nats per code: the cost of a code if it is coded with these shares."""
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
