"""From vectors to codes and back: what the quantizers of a discrete latent have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lowerbound.registry import Registry


class Quantizer(nn.Module, ABC):
    """One codebook: K codes, each of which stands for a vector.

    Args:
        dim: numbers in a vector.
        codes: K.

    Attributes:
        use: how often each code was chosen in training since ``forget_use``, (K,).
    """

    use: Tensor

    def __init__(self, dim: int, codes: int) -> None:
        super().__init__()
        self.dim = dim
        self.codes = codes
        self.register_buffer("use", torch.zeros(codes, dtype=torch.long))

    @abstractmethod
    def nearest(self, vectors: Tensor) -> Tensor:
        """The code of each vector, (..., dim) to (...), int64."""

    @abstractmethod
    def vectors(self, codes: Tensor) -> Tensor:
        """What codes stand for, (...) to (..., dim)."""

    def within(self, encoded: Tensor) -> Tensor:
        """What is quantized of the encoder's answer, (..., dim): the answer, unless bounded."""
        return encoded

    def penalty(self, encoded: Tensor, vectors: Tensor) -> Tensor | None:
        """What is differentiated besides the bound, (...); None: nothing."""
        return None

    @torch.no_grad()
    def initialize(self, vectors: Tensor) -> None:
        """Start from what the untrained encoder says of training rows, (rows, dim)."""

    @torch.no_grad()
    def learn(self, vectors: Tensor, codes: Tensor) -> None:
        """Follow an update: what was quantized in it, (rows, dim), and to which codes, (rows,)."""
        self.use += torch.bincount(codes, minlength=self.codes)

    def forget_use(self) -> None:
        """Count use anew."""
        self.use.zero_()


QUANTIZERS: Registry[Callable[..., list[Quantizer]]] = Registry("quantizer")
"""Each name builds the codebooks of a latent for vectors of ``dim`` numbers, coarse to fine."""
