"""Running means over updates, without synchronizing with the device at each update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lowerbound.objectives import Bound

MOST_PENDING = 64


class Meter:
    """Sums bounds, distortions and rates over rows, in double precision.

    Bounds are stored and summed a few dozen at a time. The sums are added update by update, so they
    do not depend on the time of the summation, and a resumed run has the same means bit for bit.
    """

    def __init__(self) -> None:
        self._pending: list[Bound] = []
        self.reset()

    def reset(self) -> None:
        """Set all sums to zero."""
        self._pending.clear()
        self.rows = 0
        self.bound = 0.0
        self.distortion = 0.0
        self.rates: list[float] = []

    def add(self, bound: Bound) -> None:
        """Add the bound of one update."""
        self._pending.append(bound)
        if len(self._pending) >= MOST_PENDING:
            self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Sum the pending bounds."""
        if not self._pending:
            return
        for value in _row_sums([bound.value for bound in self._pending]):
            self.bound += value
        for value in _row_sums([bound.distortion for bound in self._pending]):
            self.distortion += value
        for rates in _row_sums([bound.rates for bound in self._pending]):
            known = self.rates or [0.0] * len(rates)
            self.rates = [total + rate for total, rate in zip(known, rates, strict=True)]
        self.rows += sum(len(bound.value) for bound in self._pending)
        self._pending.clear()

    def means(self) -> tuple[float, float, tuple[float, ...]]:
        """(bound, distortion, rates) in nats per row; NaN if no row was seen."""
        self.settle()
        if not self.rows:
            return math.nan, math.nan, ()
        rates = tuple(rate / self.rows for rate in self.rates)
        return self.bound / self.rows, self.distortion / self.rows, rates

    def to_mapping(self) -> dict[str, Any]:
        """JSON values, with exact floats."""
        self.settle()
        names = ("rows", "bound", "distortion", "rates")
        return {name: getattr(self, name) for name in names}

    def restore(self, mapping: Mapping[str, Any]) -> None:
        """Restore the values of ``to_mapping``."""
        self.reset()
        for name, value in mapping.items():
            setattr(self, name, value)


def _row_sums(values: list[Tensor]) -> list[Any]:
    """The sum over the last axis of each tensor, as Python numbers."""
    sums: list[Any] = torch.stack(values).double().sum(-1).tolist()
    return sums
