"""The base class of quantizers, which map vectors to codes and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lowerbound.registry import Registry


class Quantizer(nn.Module, ABC):
    """One codebook of K codes; each code represents a vector.

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
        """The vectors of codes, (...) to (..., dim)."""

    def within(self, encoded: Tensor) -> Tensor:
        """The part of the encoder's output that is quantized, (..., dim); by default all of it."""
        return encoded

    def penalty(self, encoded: Tensor, vectors: Tensor) -> Tensor | None:
        """A penalty added to the loss but not to the bound, (...); None: no penalty."""
        return None

    @torch.no_grad()
    def standardize(self, encoded: Tensor) -> None:
        """Set what ``within`` needs from the untrained encoder's output, (rows, dim)."""

    @torch.no_grad()
    def initialize(self, vectors: Tensor) -> None:
        """Start from vectors of training rows, (rows, dim): what ``within`` gives, or the rest that
        the codebooks before leave."""

    @torch.no_grad()
    def learn(self, vectors: Tensor, codes: Tensor) -> None:
        """Learn from an update's quantized vectors, (rows, dim), and their codes, (rows,)."""
        self.use += torch.bincount(codes, minlength=self.codes)

    def forget_use(self) -> None:
        """Start to count use again."""
        self.use.zero_()


QUANTIZERS: Registry[Callable[..., list[Quantizer]]] = Registry("quantizer")
"""Each name builds the codebooks of a latent for vectors of ``dim`` numbers, coarse to fine."""
