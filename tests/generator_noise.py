"""Standard normal noise from a generator of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TorchNoise:
    """Noise of a ``torch.Generator``, so that a call neither reads nor changes global state."""

    generator: torch.Generator

    def normal(self, shape: Sequence[int], like: Tensor, level: int) -> Tensor:
        return torch.randn(
            tuple(shape), generator=self.generator, dtype=like.dtype, device=like.device
        )
