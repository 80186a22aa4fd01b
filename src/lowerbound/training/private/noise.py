"""The secret randomness of private training: which rows take part in an update, and the noise.

The guarantee holds only if nobody knows these draws. They therefore do not depend on the seed of
the fit, which the model folder contains, but on the system's entropy.
"""

from __future__ import annotations

import math
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.training.randomness import stream_seed

SUMMED = 4
"""Normal draws in one draw of secure noise, divided by sqrt(4), so that the rounding of a draw does
not reveal what it was added to (Holohan & Braghin 2021; as in Opacus' secure mode)."""


class SecretRandomness(ABC):
    """Draws of each update, which are independent of each other."""

    @abstractmethod
    def normal(self, update: int, count: int) -> Tensor:
        """Standard normal noise of an update, (count,) float32."""

    @abstractmethod
    def uniform(self, update: int, count: int) -> Tensor:
        """Uniform draws from [0, 1), (count,) float64."""

    def chosen(self, update: int, rows: int, rate: float) -> Tensor:
        """The rows of an update, increasing: each with probability ``rate``; maybe none."""
        return torch.nonzero(self.uniform(update, rows) < rate).flatten()

    def to_mapping(self) -> dict[str, Any]:
        """The secret state, for a checkpoint."""
        return {}

    def restore(self, mapping: Mapping[str, Any]) -> None:
        """Restore the state of ``to_mapping``."""
        del mapping  # there is none


class SeededRandomness(SecretRandomness):
    """Mersenne Twister with a secret 63-bit seed; a resumed run makes the same draws again.

    Args:
        secret: the seed; None: from the system's entropy.
    """

    def __init__(self, secret: int | None = None) -> None:
        self.secret = secrets.randbits(63) if secret is None else secret

    def normal(self, update: int, count: int) -> Tensor:
        return torch.randn(count, generator=self._generator("noise", update))

    def uniform(self, update: int, count: int) -> Tensor:
        generator = self._generator("rows", update)
        return torch.rand(count, generator=generator, dtype=torch.float64)

    def to_mapping(self) -> dict[str, Any]:
        return {"secret": self.secret}

    def restore(self, mapping: Mapping[str, Any]) -> None:
        self.secret = mapping["secret"]

    def _generator(self, name: str, update: int) -> torch.Generator:
        return torch.Generator().manual_seed(stream_seed(self.secret, f"{name} {update}"))


class SystemRandomness(SecretRandomness):
    """The system's cryptographic generator, which no seed repeats."""

    def normal(self, update: int, count: int) -> Tensor:
        pairs = SUMMED // 2 * count  # Box & Muller 1958: two uniform draws become two normal draws
        radius = np.sqrt(-2 * np.log1p(-_uniform(pairs)))
        angle = 2 * math.pi * _uniform(pairs)
        both = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))
        summed = both.reshape(SUMMED, count).sum(0) / math.sqrt(SUMMED)
        return torch.from_numpy(summed).float()

    def uniform(self, update: int, count: int) -> Tensor:
        return torch.from_numpy(_uniform(count))


def _uniform(count: int) -> Array:
    """Multiples of 2^-53 in [0, 1)."""
    bits = np.frombuffer(os.urandom(8 * count), dtype=np.uint64)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


class PoissonOrder:
    """A stream of row numbers, of another length for each update; see ``Mechanism``.

    Args:
        rows: number of rows.
        rate: q.
        randomness: secret.
    """

    def __init__(self, rows: int, rate: float, randomness: SecretRandomness) -> None:
        self.rows = rows
        self.rate = rate
        self.randomness = randomness

    def batch(self, number: int) -> Tensor:
        """Row numbers of update ``number``, counted from 0; maybe none."""
        return self.randomness.chosen(number, self.rows, self.rate)

    def epoch(self, batches: int) -> float:
        """Expected passes over the data after ``batches`` updates."""
        return batches * self.rate
