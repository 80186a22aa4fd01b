"""The mean of a coefficient within its step, given the rounded number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 8
FAR = 4.0
AT_ONCE = 1 << 15  # numbers, which the cache holds


class Recentering(nn.Module):
    """Moves rounded numbers by up to half a step; at the start of training it moves none.

    The input of a small network is the number's distance from its predicted location, the predicted
    scale, and whether the number is zero. The shift is symmetric about the predicted location.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, WIDTH)
        self.outer = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, whole: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        """Like ``whole``."""
        off = whole - location
        known = (off.abs().clamp_max(FAR), log_scale, (whole == 0).to(whole.dtype))
        parts = zip(*(x.flatten().split(AT_ONCE) for x in known), strict=True)
        change = torch.cat([self._change(torch.stack(part)) for part in parts])
        return whole - torch.sign(off) * 0.5 * torch.tanh(change.view(whole.shape))

    def _change(self, known: Tensor) -> Tensor:
        """What the network says of some numbers, (numbers,); ``known`` is (3, numbers)."""
        inside = torch.addmm(self.inner.bias[:, None], self.inner.weight, known)
        found: Tensor = torch.relu(inside).T @ self.outer.weight[0]
        return found + self.outer.bias
