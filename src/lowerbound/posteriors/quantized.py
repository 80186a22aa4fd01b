"""q(z | x) of a quantized latent: all probability at one code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.reparameterization import Pushed


class Quantized(Pushed):
    r"""q(z) = 1 at ``codes`` and 0 elsewhere: the entropy is zero, so the rate is -log p(codes).

    A draw is the code itself and carries no gradient. The model that made it hands the decoder's
    gradient on to the encoder past the quantization, which it says by ``straight_through``.

    Args:
        codes: (1 | samples, rows, *shape), int64.
    """

    straight_through = True

    def __init__(self, codes: Tensor) -> None:
        self.codes = codes
        super().__init__(codes.shape[:2], codes.shape[2:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """0 where every code of a row is the one, else minus infinity, (samples, rows)."""
        same = (z == self.codes).flatten(2).all(-1)
        return torch.where(same, 0.0, -math.inf)

    def push(self, noise: Tensor) -> Tensor:
        """The codes, once per draw; the noise only says how many."""
        return self.codes.expand(noise.shape)

    @property
    def mean(self) -> Tensor:
        """The codes: what is certain is its own mean."""
        return self.codes

    @property
    def like(self) -> Tensor:
        return torch.zeros((), device=self.codes.device).expand(self.codes.shape)
